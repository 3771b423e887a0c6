//! Says which heartbeats are late, where results are said: to the results' queue, and so to the store and to the alerter.

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{CheckResult, Timestamp, partition};
use sonde_queue::{Queue, QueueName, results_messages};
use sonde_store::Calendar;
use tokio::time::Instant;

use crate::engine::Engine;

/// What was sent while nobody took results is on its way to who begins to.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// Knows when everything is heard that there is to hear.
pub(crate) struct Lateness {
    partitions: u16,
    /// Before it, pings may be on their way.
    from: Instant,
}

impl Lateness {
    /// Of an alerter that begins.
    pub(crate) fn new(partitions: u16) -> Self {
        Self {
            partitions,
            from: Instant::now() + ON_ITS_WAY,
        }
    }

    /// To be called when no result waits. What cannot be said now is tried again with the next look.
    pub(crate) async fn tell(
        &self,
        engine: &mut Engine,
        queue: &dyn Queue,
        calendar: &mut Calendar,
        now: Timestamp,
    ) {
        if Instant::now() < self.from {
            return;
        }
        if !engine.has_late() {
            return;
        }
        let late = engine.take_late(now, |monitor, slot| calendar.covers(monitor, slot));
        if late.is_empty() || !self.is_heard_of(queue, &late).await {
            return;
        }
        let messages = results_messages(late.clone(), self.partitions);
        if let Err(error) = queue.publish(messages).await {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot say that heartbeats are late: trying again");
            return;
        }
        // What comes back of it by the queue changes nothing any more.
        for result in &late {
            tracing::info!(
                workspace.id = %result.workspace,
                monitor.id = %result.monitor,
                slot = %result.slot,
                "a heartbeat is late"
            );
            engine.observe(result);
        }
    }

    /// Whether no ping waits in the queues of these monitors.
    async fn is_heard_of(&self, queue: &dyn Queue, late: &[CheckResult]) -> bool {
        let of =
            |result: &CheckResult| partition(&result.workspace, &result.monitor, self.partitions);
        let partitions: BTreeSet<u16> = late.iter().map(of).collect();
        for partition in partitions {
            match queue.depth(&QueueName::Alert { partition }).await {
                Ok(depth) if depth.ready == 0 => {}
                Ok(_) => return false,
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::debug!(error, "cannot see whether heartbeats wait");
                    return false;
                }
            }
        }
        true
    }
}
