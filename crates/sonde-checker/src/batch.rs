//! Results leave in batches; a task is acknowledged when its result is confirmed, never before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{CheckResult, RunId, Trigger};
use sonde_queue::{
    Announcement, Bus, Delivery, Outgoing, Queue, QueueError, RESULTS_PER_MESSAGE, ResultsMessage,
    Topic, results_messages,
};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::CheckerMetrics;

/// How long a result may wait for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Results that may wait for the publisher; beyond, probes wait with their permits.
pub(crate) const CAPACITY: usize = 1000;
/// Batches on their way at once: a broker on another continent confirms after 0.2 s, and the next batch need not wait.
const ON_THEIR_WAY: usize = 8;
/// Between two tries of a broker that fails: grows from the first to the last.
const RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Who waits for an announcement finds the row in the store as well.
const ANNOUNCING: Duration = Duration::from_secs(1);

/// A finished check and the task that it settles.
pub(crate) struct Done {
    pub(crate) result: CheckResult,
    pub(crate) delivery: Delivery,
    /// Of the task's queue: so many tasks may wait for their acknowledgement, then no more come.
    pub(crate) prefetch: u16,
}

/// Where results go.
pub(crate) struct Publisher {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) partitions: u16,
    /// From now on no result waits for others.
    pub(crate) draining: CancellationToken,
    pub(crate) metrics: CheckerMetrics,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Panicked(#[from] JoinError),
}

impl Publisher {
    /// Publishes until every sender is gone. Fails only when the queue has closed: then tasks are redelivered.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut finished: mpsc::Receiver<Done>,
    ) -> Result<(), PublishError> {
        let mut on_their_way = JoinSet::new();
        while let Some(first) = finished.recv().await {
            let batch = self.collect(first, &mut finished).await;
            self.metrics.batch(batch.len());
            on_their_way.spawn(Arc::clone(&self).deliver(batch));
            while let Some(ended) = on_their_way.try_join_next() {
                ended??;
            }
            if on_their_way.len() >= ON_THEIR_WAY
                && let Some(ended) = on_their_way.join_next().await
            {
                ended??;
            }
        }
        while let Some(ended) = on_their_way.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Not cancel safe: what it holds would be executed again.
    async fn collect(&self, first: Done, finished: &mut mpsc::Receiver<Done>) -> Vec<Done> {
        let mut share = first.share();
        let mut batch = vec![first];
        let deadline = Instant::now() + LONGEST_WAIT;
        while batch.len() < RESULTS_PER_MESSAGE && share < 1.0 {
            // What is there already is taken even when nothing waits any more.
            let next = tokio::select! {
                biased;
                next = finished.recv() => next,
                () = self.draining.cancelled() => None,
                () = sleep_until(deadline) => None,
            };
            let Some(done) = next else { break };
            share += done.share();
            batch.push(done);
        }
        batch
    }

    async fn deliver(self: Arc<Self>, batch: Vec<Done>) -> Result<(), PublishError> {
        let (results, deliveries): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|done| (done.result, done.delivery))
            .unzip();
        let on_demand = on_demand(&results);
        self.publish_at_last(results_messages(results, self.partitions))
            .await?;
        for delivery in deliveries {
            if let Err(error) = delivery.ack().await {
                tracing::warn!(
                    error = sonde_core::chain(&error),
                    "cannot acknowledge a task; it will run again"
                );
            }
        }
        self.announce(on_demand).await;
        Ok(())
    }

    /// One result, by who waits for it; tried once.
    pub(crate) async fn publish_one(&self, result: &CheckResult) -> Result<(), QueueError> {
        let results = vec![result.clone()];
        let on_demand = on_demand(&results);
        let messages = results_messages(results, self.partitions);
        self.queue.publish(messages).await?;
        self.announce(on_demand).await;
        Ok(())
    }

    async fn publish_at_last(&self, mut messages: Vec<Outgoing>) -> Result<(), QueueError> {
        let mut wait = RETRY;
        while let Err(error) = self.queue.publish(messages.clone()).await {
            match &error {
                QueueError::Closed => return Err(error),
                // The others are there; sent again, they would be there twice.
                QueueError::Unroutable { indexes, .. } => {
                    let mut indexes = indexes.iter().copied().peekable();
                    let mut place = 0..;
                    messages.retain(|_| indexes.next_if_eq(&place.next().unwrap_or(0)).is_some());
                }
                _ => {}
            }
            tracing::warn!(
                error = sonde_core::chain(&error),
                "cannot publish results; trying again"
            );
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_RETRY);
        }
        Ok(())
    }

    async fn announce(&self, runs: BTreeMap<RunId, Vec<CheckResult>>) {
        for (run_id, results) in runs {
            let announced = self.bus.announce(Announcement {
                topic: Topic::Run { run_id },
                payload: ResultsMessage::encode(&results),
            });
            if let Ok(Err(error)) = timeout(ANNOUNCING, announced).await {
                tracing::debug!(
                    error = sonde_core::chain(&error),
                    "cannot announce results of a run"
                );
            }
        }
    }
}

/// What somebody waits for.
fn on_demand(results: &[CheckResult]) -> BTreeMap<RunId, Vec<CheckResult>> {
    let mut runs: BTreeMap<RunId, Vec<CheckResult>> = BTreeMap::new();
    for result in results {
        if result.trigger == Trigger::OnDemand {
            runs.entry(result.run_id).or_default().push(result.clone());
        }
    }
    runs
}

impl Done {
    /// Of a batch. It is full when half of what a queue hands out at once waits in it: the other half is being executed
    /// meanwhile.
    fn share(&self) -> f64 {
        1.0 / f64::from((self.prefetch / 2).max(1))
    }
}

#[cfg(test)]
mod tests;
