//! The ingester: puts results into the store and only then acknowledges; turns dead letters into missed rows.

mod dead;
mod metrics;
mod store;

use std::sync::Arc;

use sonde_core::CheckResult;
use sonde_queue::{Queue, QueueError, QueueName};
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
            names.map(|name| this.store_partition(name, shutdown.clone())),
        );
        let dead = this.bury(shutdown.clone());
        tokio::try_join!(partitions, dead).map(|_| ())
    }
}
