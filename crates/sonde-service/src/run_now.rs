//! Checks on demand: asked for through the same queue, answered by the same rows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Check, CheckKey, CheckResult, Monitor, RunId, Timestamp};
use sonde_queue::{Outgoing, Route, SealingKeys, TaskMessage};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use crate::{Result, Service};

/// Monitors asked for at once: more would wait in the queue until their tasks expire.
const GROUP: usize = 50;
/// Beyond the checks' own deadlines: queueing, batching and storing.
const GRACE: Duration = Duration::from_secs(5);

impl Service {
    /// Runs `monitors` now, once in each of their regions, and waits for what comes of it.
    ///
    /// In groups, each waited for until all have answered or the last deadline is over; what has not answered is left out. Dropping it stops the waiting,
    /// not the checks.
    pub async fn run_now(&self, monitors: &[Monitor]) -> Result<Vec<CheckResult>> {
        let mut results = Vec::new();
        for group in monitors.chunks(GROUP) {
            results.extend(self.run_group(group).await?);
        }
        Ok(results)
    }

    async fn run_group(&self, monitors: &[Monitor]) -> Result<Vec<CheckResult>> {
        let now = self.clock.now();
        let checks: Vec<_> = monitors
            .iter()
            .flat_map(|monitor| self.on_demand(monitor, now))
            .collect();
        let mut stored = self.stored.subscribe();
        let messages = checks.iter().map(|check| Outgoing {
            route: Route::Now {
                region: check.region.clone(),
            },
            payload: TaskMessage::encode(check, &SealingKeys::none()),
        });
        self.queue.publish(messages.collect()).await?;

        let longest = checks.iter().map(|check| check.deadline.since(now)).max();
        let until = Instant::now() + longest.unwrap_or_default() + GRACE;
        let mut waiting: HashSet<CheckKey> = checks.iter().map(Check::key).collect();
        let mut results = Vec::new();
        while !waiting.is_empty() {
            match timeout_at(until, stored.recv()).await {
                Ok(Ok(batch)) => {
                    let ours = batch.iter().filter(|result| waiting.remove(&result.key()));
                    results.extend(ours.cloned().collect::<Vec<_>>());
                }
                // Too slow a listener: the rows are in the store all the same.
                Ok(Err(RecvError::Lagged(_))) => self.find(&mut waiting, &mut results).await?,
                Ok(Err(RecvError::Closed)) | Err(_) => break,
            }
        }
        Ok(results)
    }

    async fn find(
        &self,
        waiting: &mut HashSet<CheckKey>,
        results: &mut Vec<CheckResult>,
    ) -> Result<()> {
        for key in waiting.clone() {
            if let Some(result) = self.results.find(&key).await? {
                waiting.remove(&key);
                results.push(result);
            }
        }
        Ok(())
    }

    fn on_demand(&self, monitor: &Monitor, now: Timestamp) -> impl Iterator<Item = Check> {
        let run_id = RunId::random();
        let monitor = Arc::new(monitor.clone());
        let regions = monitor.regions.clone().into_iter();
        regions.map(move |region| {
            Check::on_demand(Arc::clone(&monitor), region, &self.settings, run_id, now)
        })
    }
}
