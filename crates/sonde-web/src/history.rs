//! The last day of every monitor, read at most once a minute however many look at the page.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{MonitorId, Timestamp};
use sonde_results::Bucket;
use sonde_service::Service;
use tokio::sync::Mutex;

use crate::sparkline::{DAY, STEP};

/// A bar stands for half an hour: a minute's delay does not show.
const KEPT: Duration = Duration::from_mins(1);
/// A young history changes visibly with every check.
const KEPT_WHILE_YOUNG: Duration = Duration::from_secs(4);
/// Checks of the day up to which a history is young, and quick to read.
const YOUNG: u64 = 10_000;

pub(crate) type Buckets = HashMap<MonitorId, Vec<Bucket>>;

/// The history as it was read last; whoever finds it too old reads it, and the others wait for that.
#[derive(Default)]
pub(crate) struct History(Mutex<Option<(Timestamp, Arc<Buckets>)>>);

impl History {
    pub(crate) async fn get(&self, service: &Service) -> sonde_service::Result<Arc<Buckets>> {
        let mut kept = self.0.lock().await;
        let now = service.clock.now();
        if let Some((read_at, buckets)) = &*kept
            && now.since(*read_at) < keep_for(buckets)
        {
            return Ok(Arc::clone(buckets));
        }
        let buckets = Arc::new(service.history(DAY, STEP).await?);
        *kept = Some((now, Arc::clone(&buckets)));
        Ok(buckets)
    }
}

fn keep_for(buckets: &Buckets) -> Duration {
    let checks = |bucket: &Bucket| bucket.ok + bucket.degraded + bucket.failed + bucket.missed;
    let total: u64 = buckets.values().flatten().map(checks).sum();
    if total < YOUNG {
        KEPT_WHILE_YOUNG
    } else {
        KEPT
    }
}
