//! Results into the store, in batches: tried until the store has them, halved until what it refuses stands alone.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::ResultsMessage;
use sonde_results::ResultsError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Ingester;
use crate::intake::{Batch, Taken};

/// Between two tries: grows from the first to the last. The queue keeps the rest meanwhile.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A store that stays away is news once a minute.
const TRIES_PER_LINE: u32 = 12;

/// Shutting down, and not everything is where it belongs: the queue delivers it again.
pub(crate) struct GaveUp;

impl Ingester {
    /// Stores what was taken, until nothing comes any more.
    pub(crate) async fn store_all(
        self: Arc<Self>,
        mut waiting: mpsc::Receiver<Taken<CheckResult>>,
        shutdown: CancellationToken,
    ) {
        let options = self.options;
        while let Some(mut batch) =
            Batch::collect(&mut waiting, options.rows, options.longest_wait, &shutdown).await
        {
            let rows: Arc<[CheckResult]> = std::mem::take(&mut batch.items).into();
            let mut unreadable = std::mem::take(&mut batch.unreadable);
            let written = async {
                let refused = self.store_at_last(&rows, &shutdown).await?;
                let refused = refused.iter().map(|row| std::slice::from_ref(&rows[*row]));
                unreadable.extend(refused.map(ResultsMessage::encode));
                self.set_aside(unreadable, &shutdown).await
            };
            // What could not be written is dropped here, and so comes again.
            if let Ok(()) = written.await {
                batch.acknowledge().await;
            }
        }
    }

    /// Tries until the store has them; returns the places of those that it refuses.
    async fn store_at_last(
        &self,
        rows: &Arc<[CheckResult]>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<usize>, GaveUp> {
        let mut refused = Vec::new();
        let whole = 0..rows.len();
        let mut parts: Vec<Range<usize>> = Vec::from([whole]);
        while let Some(part) = parts.pop() {
            if part.is_empty() || self.store_part(&rows[part.clone()], shutdown).await? {
                self.tell(rows, part);
            } else if part.len() == 1 {
                self.report_refused(&rows[part.start]);
                refused.push(part.start);
            } else {
                let middle = part.start + part.len() / 2;
                parts.extend([middle..part.end, part.start..middle]);
            }
        }
        Ok(refused)
    }

    /// Tries until the store has them, or refuses some of them: then it returns false.
    async fn store_part(
        &self,
        rows: &[CheckResult],
        shutdown: &CancellationToken,
    ) -> Result<bool, GaveUp> {
        let mut retry = Retry::new(shutdown);
        loop {
            match self.results.store(rows).await {
                Ok(()) => break,
                Err(ResultsError::Rejected(source)) => {
                    let error = ResultsError::Rejected(source);
                    let error = sonde_core::chain(&error);
                    tracing::warn!(error, rows = rows.len(), "some rows are refused");
                    self.report(true);
                    return Ok(false);
                }
                Err(error) => {
                    self.metrics.failures.inc();
                    self.report(false);
                    retry
                        .wait("cannot store results; they wait in the queue", &error)
                        .await?;
                }
            }
        }
        if retry.tries > 0 {
            tracing::info!(rows = rows.len(), "the store takes results again");
        }
        self.report(true);
        self.metrics.stored(rows.len());
        Ok(true)
    }

    fn tell(&self, rows: &Arc<[CheckResult]>, part: Range<usize>) {
        if part.is_empty() {
            return;
        }
        let stored = if part.len() == rows.len() {
            Arc::clone(rows)
        } else {
            rows[part].into()
        };
        // Nobody listening is fine.
        let _ = self.stored.send(stored);
    }

    fn report_refused(&self, row: &CheckResult) {
        self.metrics.refused.inc();
        tracing::error!(
            monitor.id = %row.monitor,
            region = %row.region,
            slot = %row.slot,
            "the store refuses a row, which is set aside"
        );
    }

    /// Whether the store takes what it is given.
    pub(crate) fn report(&self, storing: bool) {
        self.metrics.storing.set(i64::from(storing));
        self.storing.send_if_modified(|before| {
            let changed = *before != storing;
            *before = storing;
            changed
        });
    }
}

/// Waits between tries, longer each time, until shutdown.
pub(crate) struct Retry<'a> {
    shutdown: &'a CancellationToken,
    wait: Duration,
    pub(crate) tries: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(shutdown: &'a CancellationToken) -> Self {
        Self {
            shutdown,
            wait: FIRST_RETRY,
            tries: 0,
        }
    }

    pub(crate) async fn wait(
        &mut self,
        what: &str,
        error: &(dyn std::error::Error + Send + Sync),
    ) -> Result<(), GaveUp> {
        if self.tries.is_multiple_of(TRIES_PER_LINE) {
            tracing::error!(error = sonde_core::chain(error), "{what}");
        }
        self.tries += 1;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Err(GaveUp),
            () = tokio::time::sleep(self.wait) => {}
        }
        self.wait = (self.wait * 2).min(LONGEST_RETRY);
        Ok(())
    }
}
