//! From a queue into the store, in batches.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::{Consumer, Delivery, QueueName, ResultsMessage, Unreadable};
use tokio_util::sync::CancellationToken;

use crate::{Ingester, IngesterError, IngesterMetrics, PREFETCH, next};

/// Rows in one insert, and how long they may wait for each other.
const ROWS: usize = 5_000;
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// Between two tries of a store that fails; the queue keeps the rest meanwhile.
const RETRY: Duration = Duration::from_secs(1);
/// A store that stays away is news once a minute.
const TRIES_PER_LINE: u32 = 60;

/// The rows of one delivery.
pub(crate) type Read = fn(&IngesterMetrics, &Delivery) -> Vec<CheckResult>;

impl Ingester {
    /// Stores what `read` makes of the deliveries of one queue until it ends.
    pub(crate) async fn drain(
        &self,
        name: QueueName,
        read: Read,
        shutdown: CancellationToken,
    ) -> Result<(), IngesterError> {
        let failed = |source| IngesterError {
            queue: name.clone(),
            source,
        };
        let mut consumer = self.queue.consume(&name, PREFETCH).await.map_err(failed)?;
        while let Some(first) = next(&mut *consumer, &shutdown).await.map_err(failed)? {
            let (rows, deliveries) = self.collect(first, &mut *consumer, read).await;
            if self.store_at_last(rows, &shutdown).await {
                acknowledge(deliveries).await;
            }
        }
        Ok(())
    }

    async fn collect(
        &self,
        first: Delivery,
        consumer: &mut dyn Consumer,
        read: Read,
    ) -> (Vec<CheckResult>, Vec<Delivery>) {
        let mut rows = read(&self.metrics, &first);
        let mut deliveries = vec![first];
        let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
        while rows.len() < ROWS && deliveries.len() < usize::from(PREFETCH) {
            // An error shows again at the next receive.
            let Ok(Ok(delivery)) = tokio::time::timeout_at(deadline, consumer.receive()).await
            else {
                break;
            };
            rows.extend(read(&self.metrics, &delivery));
            deliveries.push(delivery);
        }
        (rows, deliveries)
    }

    /// Tries until the store has them; gives up only at shutdown, and the queue delivers them again.
    async fn store_at_last(&self, rows: Vec<CheckResult>, shutdown: &CancellationToken) -> bool {
        let rows: Arc<[CheckResult]> = rows.into();
        let mut tries = 0_u32;
        while let Err(error) = self.results.store(&rows).await {
            if tries.is_multiple_of(TRIES_PER_LINE) {
                tracing::error!(
                    error = sonde_core::chain(&error),
                    "cannot store results; they wait in the queue"
                );
            }
            self.metrics.failures.inc();
            tries += 1;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        if tries > 0 {
            tracing::info!(rows = rows.len(), "the store takes results again");
        }
        self.metrics.rows.inc_by(rows.len() as u64);
        // Nobody listening is fine.
        let _ = self.stored.send(rows);
        true
    }
}

/// What cannot be read is set aside alone: logged, counted, never a reason to lose the others.
pub(crate) fn read(metrics: &IngesterMetrics, delivery: &Delivery) -> Vec<CheckResult> {
    match ResultsMessage::decode(&delivery.payload) {
        Ok(message) => {
            for Unreadable { error, .. } in &message.unreadable {
                metrics.unreadable.inc();
                tracing::error!(error, "a result is unreadable and is set aside");
            }
            message.results
        }
        Err(error) => {
            metrics.unreadable.inc();
            tracing::error!(
                error = sonde_core::chain(&error),
                "a results message is unreadable and is set aside"
            );
            Vec::new()
        }
    }
}

async fn acknowledge(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        if let Err(error) = delivery.ack().await {
            tracing::warn!(
                error = sonde_core::chain(&error),
                "cannot acknowledge results; they will be merged again"
            );
        }
    }
}
