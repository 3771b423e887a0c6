//! Results leave in batches; a task is acknowledged when its result is confirmed, never before.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::{Delivery, Queue, QueueError, RESULTS_PER_MESSAGE, results_messages};
use tokio::sync::mpsc;

use crate::CheckerMetrics;

/// How long a result may wait for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Results that may wait for the publisher; beyond, probes wait with their permits.
pub(crate) const CAPACITY: usize = 1000;
/// Between two tries of a broker that fails.
const RETRY: Duration = Duration::from_secs(1);

/// A finished check and the task that it settles.
pub(crate) struct Done {
    pub(crate) result: CheckResult,
    pub(crate) delivery: Delivery,
}

/// Publishes until every sender is gone. Fails only when the queue has closed: then tasks are redelivered.
pub(crate) async fn publish(
    queue: Arc<dyn Queue>,
    partitions: u16,
    mut finished: mpsc::Receiver<Done>,
    metrics: CheckerMetrics,
) -> Result<(), QueueError> {
    while let Some(first) = finished.recv().await {
        let batch = collect(first, &mut finished).await;
        metrics.batch(batch.len());
        let (results, deliveries): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|done| (done.result, done.delivery))
            .unzip();
        let messages = results_messages(results, partitions);
        while let Err(error) = queue.publish(messages.clone()).await {
            if matches!(error, QueueError::Closed) {
                return Err(error);
            }
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot publish results; trying again");
            tokio::time::sleep(RETRY).await;
        }
        for delivery in deliveries {
            if let Err(error) = delivery.ack().await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot acknowledge a task; it will run again");
            }
        }
    }
    Ok(())
}

async fn collect(first: Done, finished: &mut mpsc::Receiver<Done>) -> Vec<Done> {
    let mut batch = vec![first];
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    while batch.len() < RESULTS_PER_MESSAGE {
        match tokio::time::timeout_at(deadline, finished.recv()).await {
            Ok(Some(done)) => batch.push(done),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}
