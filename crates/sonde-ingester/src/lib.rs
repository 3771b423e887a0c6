//! The ingester: puts results into the store and only then acknowledges; turns dead letters into missed rows; takes
//! down the ledger; sets aside what nobody can read or store.

mod intake;
mod ledger;
mod metrics;
mod poison;
mod read;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::{Queue, QueueError, QueueName};
use sonde_results::Results;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::intake::Intake;

pub use metrics::IngesterMetrics;

/// Messages of results taken ahead of the store, over all partitions: two full inserts of full messages.
const PREFETCH: u16 = 600;
/// Of one partition at least, however many there are.
const LEAST_PREFETCH: u16 = 50;
/// Of dead letters, and of the ledger.
const OTHER_PREFETCH: u16 = 200;
/// Messages that are read and wait for an insert; the queues keep the rest.
const READ_AHEAD: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum IngesterError {
    #[error("cannot consume {queue}")]
    Consume {
        queue: QueueName,
        #[source]
        source: QueueError,
    },
    #[error("a loop of the ingester panicked")]
    Panicked(#[source] JoinError),
}

/// What is stored is told to whoever listens; a slow listener loses the oldest, never the store's time.
pub type Stored = broadcast::Sender<Arc<[CheckResult]>>;

#[derive(Debug, Clone, Copy)]
pub struct IngesterOptions {
    /// Rows in one insert.
    pub rows: usize,
    /// How long rows wait for each other.
    pub longest_wait: Duration,
    /// Take down the ledger, too: not where the dispatcher keeps it itself.
    pub ledger: bool,
}

impl IngesterOptions {
    /// A file on this machine: transactions are cheap, and people look at once.
    pub const LOCAL: Self = Self {
        rows: 5_000,
        longest_wait: Duration::from_millis(50),
        ledger: false,
    };
    /// A server that wants few and large inserts.
    pub const REMOTE: Self = Self {
        rows: 50_000,
        longest_wait: Duration::from_secs(1),
        ledger: true,
    };
}

/// Feeds one store from every partition, from the dead letters, and from the ledger.
pub struct Ingester {
    pub queue: Arc<dyn Queue>,
    pub results: Arc<dyn Results>,
    pub partitions: u16,
    pub options: IngesterOptions,
    pub stored: Stored,
    /// Whether the store took what it was last given.
    pub storing: watch::Sender<bool>,
    pub metrics: IngesterMetrics,
}

impl Ingester {
    /// Consumes until `shutdown`, or until the queue has closed and is empty; then stores what it holds.
    ///
    /// While the store is away it tries for ever and the queue keeps the rest; asked to shut down then, it gives up, and
    /// the queue delivers again what was not stored.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), IngesterError> {
        self.metrics.storing.set(i64::from(*self.storing.borrow()));
        let this = Arc::new(self);
        let mut loops = JoinSet::new();
        let (rows, waiting) = mpsc::channel(READ_AHEAD);
        let share = (PREFETCH / this.partitions.max(1)).max(LEAST_PREFETCH);
        let partitions = (0..this.partitions).map(|partition| QueueName::Store { partition });
        for name in partitions {
            let intake = this.intake(name, share).await?;
            loops.spawn(intake.run(read::results, rows.clone(), shutdown.clone()));
        }
        let dead = this.intake(QueueName::Dead, OTHER_PREFETCH).await?;
        loops.spawn(dead.run(read::dead_letter, rows, shutdown.clone()));
        loops.spawn(Arc::clone(&this).store_all(waiting, shutdown.clone()));
        if this.options.ledger {
            let (entries, waiting) = mpsc::channel(READ_AHEAD);
            let ledger = this.intake(QueueName::Ledger, OTHER_PREFETCH).await?;
            loops.spawn(ledger.run(read::ledger, entries, shutdown.clone()));
            loops.spawn(this.record_all(waiting, shutdown));
        }
        while let Some(ended) = loops.join_next().await {
            ended.map_err(IngesterError::Panicked)?;
        }
        Ok(())
    }

    async fn intake(&self, name: QueueName, prefetch: u16) -> Result<Intake, IngesterError> {
        let consumer = self.queue.consume(&name, prefetch).await;
        let consumer = consumer.map_err(|source| IngesterError::Consume {
            queue: name.clone(),
            source,
        })?;
        Ok(Intake {
            name,
            consumer,
            prefetch,
            queue: Arc::clone(&self.queue),
            metrics: self.metrics.clone(),
        })
    }
}
