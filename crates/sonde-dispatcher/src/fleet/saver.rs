//! Writes down how far dispatch has come: the ledger first, then the watermark, one after the other.
//!
//! It runs beside the ticks, so that they do not wait for it, and always writes the newest state: what it skipped is in it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sonde_queue::{Leader, LedgerMessage, Outgoing, Queue, QueueError, Route, WatermarkMessage};
use tokio::sync::watch;
use tokio::time::Instant;

use super::books::Page;
use super::{APPLY_HINT, RETRY};
use crate::FleetMetrics;

/// Counts of open minutes, too, are told to the store so often.
const OPEN_MINUTES: Duration = Duration::from_secs(10);
/// Between two watermarks: what a crash repeats is worth about this time.
const REST: Duration = Duration::from_millis(50);
/// Entries in one message: a region or two thousand more do not make it too large for the broker.
const ENTRIES_PER_MESSAGE: usize = 500;
/// A broker that stays away is news once a minute.
const TRIES_PER_LINE: u32 = 240;

/// All that was published and confirmed, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Without the counts.
    pub(super) watermark: WatermarkMessage,
    pub(super) page: Page,
}

/// What is durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    /// Final entries up to this number are in the store's queue.
    pub(super) last_number: u64,
}

pub(super) struct Saver {
    pub(super) leader: Arc<dyn Leader>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) metrics: FleetMetrics,
}

impl Saver {
    /// Saves until there is nothing more to come; fails when leadership is lost.
    pub(super) async fn run(
        self,
        mut snapshots: watch::Receiver<Option<Snapshot>>,
        saved: watch::Sender<Option<Saved>>,
    ) -> Result<(), QueueError> {
        let mut told_open = Instant::now();
        let mut failures = 0_u32;
        let mut open = Vec::new();
        // A value that was not seen yet is still handed out when the sender is gone.
        while snapshots.changed().await.is_ok() {
            loop {
                let Some(snapshot) = snapshots.borrow_and_update().clone() else {
                    break;
                };
                let counts = snapshot.page.open.clone();
                match self.save(snapshot, &mut told_open).await {
                    Ok(done) => {
                        failures = 0;
                        open = counts;
                        saved.send_replace(Some(done));
                        break;
                    }
                    Err(QueueError::Closed) => return Err(QueueError::Closed),
                    Err(error) => {
                        if failures.is_multiple_of(TRIES_PER_LINE) {
                            tracing::error!(
                                error = sonde_core::chain(&error),
                                "cannot save how far dispatch has come{}",
                                hint(&error)
                            );
                        }
                        failures += 1;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            tokio::time::sleep(REST).await;
        }
        // Nobody may lead for a while, and what was published has rows already.
        self.publish_ledger(open, Vec::new()).await
    }

    async fn save(&self, snapshot: Snapshot, told_open: &mut Instant) -> Result<Saved, QueueError> {
        let Snapshot {
            mut watermark,
            page,
        } = snapshot;
        let mut entries = page.finals;
        if told_open.elapsed() >= OPEN_MINUTES {
            entries.extend(page.open.iter().cloned());
            *told_open = Instant::now();
        }
        self.publish_ledger(entries, page.gaps).await?;
        watermark.open = page.open;
        self.metrics
            .timed(self.leader.save_watermark(&watermark))
            .await?;
        self.metrics.watermark_is_saved(watermark.watermark);
        let micros = watermark.watermark.as_micros();
        self.metrics
            .dispatcher
            .watermark
            .set(micros.div_euclid(1_000_000));
        Ok(Saved {
            last_number: page.last_number,
        })
    }

    async fn publish_ledger(
        &self,
        entries: Vec<sonde_core::LedgerEntry>,
        gaps: Vec<sonde_core::DispatchGap>,
    ) -> Result<(), QueueError> {
        let mut messages: Vec<_> = entries
            .chunks(ENTRIES_PER_MESSAGE)
            .map(|entries| LedgerMessage::new(entries.to_vec(), Vec::new()))
            .collect();
        if !gaps.is_empty() {
            messages.push(LedgerMessage::new(Vec::new(), gaps));
        }
        if messages.is_empty() {
            return Ok(());
        }
        let outgoing = messages.iter().map(|message| Outgoing {
            route: Route::Ledger,
            payload: message.encode(),
        });
        self.queue.publish(outgoing.collect()).await
    }
}

/// What to do about an error, where that is known.
pub(super) fn hint(error: &QueueError) -> &'static str {
    match error {
        QueueError::Unroutable { .. } | QueueError::NotDeclared(_) => APPLY_HINT,
        _ => "",
    }
}

impl FleetMetrics {
    /// Measures how long the broker takes to confirm.
    pub(super) async fn timed<T>(&self, confirmed: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let done = confirmed.await;
        self.confirm.observe(start.elapsed().as_secs_f64());
        done
    }
}
