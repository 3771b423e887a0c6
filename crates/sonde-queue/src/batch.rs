//! Results on their way: grouped by partition, in messages of bounded size.

use std::collections::BTreeMap;

use sonde_core::{CheckResult, partition};

use crate::{Outgoing, ResultsMessage, Route};

/// Results in one message at most: beyond this, a larger message saves no more of the broker's time.
pub const RESULTS_PER_MESSAGE: usize = 200;

/// The messages that carry `results`, each for one partition of `partitions`.
pub fn results_messages(results: Vec<CheckResult>, partitions: u16) -> Vec<Outgoing> {
    let mut by_partition: BTreeMap<u16, Vec<CheckResult>> = BTreeMap::new();
    for result in results {
        let partition = partition(&result.workspace, &result.monitor, partitions);
        by_partition.entry(partition).or_default().push(result);
    }
    let message = |partition, results: &[CheckResult]| Outgoing {
        route: Route::Results { partition },
        payload: ResultsMessage::encode(results),
    };
    by_partition
        .iter()
        .flat_map(|(&partition, results)| {
            results
                .chunks(RESULTS_PER_MESSAGE)
                .map(move |chunk| message(partition, chunk))
        })
        .collect()
}
