//! The ingester: puts results into the store and only then acknowledges; turns dead letters into missed rows.

mod dead;
mod metrics;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sonde_core::CheckResult;
use sonde_queue::{Consumer, Delivery, Queue, QueueError, QueueName};
use sonde_results::Results;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use metrics::IngesterMetrics;

/// Deliveries taken ahead of the store.
const PREFETCH: u16 = 300;

#[derive(Debug, thiserror::Error)]
#[error("cannot consume {queue}")]
pub struct IngesterError {
    pub queue: QueueName,
    #[source]
    pub source: QueueError,
}

/// What is stored is told to whoever listens; a slow listener loses the oldest, never the store's time.
pub type Stored = broadcast::Sender<Arc<[CheckResult]>>;

/// Feeds one store from every partition and from the dead letters.
pub struct Ingester {
    pub queue: Arc<dyn Queue>,
    pub results: Arc<dyn Results>,
    pub partitions: u16,
    pub stored: Stored,
    pub metrics: IngesterMetrics,
}

impl Ingester {
    /// Consumes until `shutdown`, then stores what it holds.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), IngesterError> {
        let names = (0..self.partitions).map(|partition| QueueName::Store { partition });
        let this = &self;
        let partitions = futures_util::future::try_join_all(
            names.map(|name| this.drain(name, store::read, shutdown.clone())),
        );
        let dead = this.drain(QueueName::Dead, dead::read, shutdown.clone());
        tokio::try_join!(partitions, dead).map(|_| ())
    }
}

/// The next delivery; `None` when there will be none any more.
async fn next(
    consumer: &mut dyn Consumer,
    shutdown: &CancellationToken,
) -> Result<Option<Delivery>, QueueError> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Ok(None),
        received = consumer.receive() => match received {
            Ok(delivery) => Ok(Some(delivery)),
            Err(QueueError::Closed) => Ok(None),
            Err(error) => Err(error),
        },
    }
}
