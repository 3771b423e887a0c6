//! The ledger into the store: what was scheduled, against which the rows are counted.

use std::sync::Arc;

use sonde_queue::LedgerMessage;
use sonde_results::ResultsError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Ingester;
use crate::intake::{Batch, Taken};
use crate::store::{GaveUp, Retry};

/// Messages recorded together.
const MESSAGES: usize = 1000;

impl Ingester {
    /// Records what was taken, until nothing comes any more.
    pub(crate) async fn record_all(
        self: Arc<Self>,
        mut waiting: mpsc::Receiver<Taken<LedgerMessage>>,
        shutdown: CancellationToken,
    ) {
        let longest_wait = self.options.longest_wait;
        while let Some(mut batch) =
            Batch::collect(&mut waiting, MESSAGES, longest_wait, &shutdown).await
        {
            let messages = std::mem::take(&mut batch.items);
            let mut unreadable = std::mem::take(&mut batch.unreadable);
            let written = async {
                let refused = self.record_at_last(&messages, &shutdown).await?;
                unreadable.extend(refused.into_iter().map(LedgerMessage::encode));
                self.set_aside(unreadable, &shutdown).await
            };
            // What could not be written is dropped here, and so comes again.
            if let Ok(()) = written.await {
                batch.acknowledge().await;
            }
        }
    }

    /// Tries until the store has them; returns those that it refuses.
    async fn record_at_last<'a>(
        &self,
        messages: &'a [LedgerMessage],
        shutdown: &CancellationToken,
    ) -> Result<Vec<&'a LedgerMessage>, GaveUp> {
        if self.record_part(messages, shutdown).await? {
            return Ok(Vec::new());
        }
        // There are few, and hardly ever a bad one: one by one.
        let mut refused = Vec::new();
        for message in messages {
            if !self
                .record_part(std::slice::from_ref(message), shutdown)
                .await?
            {
                self.metrics.refused.inc();
                tracing::error!("the store refuses a part of the ledger, which is set aside");
                refused.push(message);
            }
        }
        Ok(refused)
    }

    /// Tries until the store has them, or refuses some of them: then it returns false.
    async fn record_part(
        &self,
        messages: &[LedgerMessage],
        shutdown: &CancellationToken,
    ) -> Result<bool, GaveUp> {
        let entries: Vec<_> = messages.iter().flat_map(|it| it.entries.clone()).collect();
        let gaps: Vec<_> = messages.iter().flat_map(|it| it.gaps.clone()).collect();
        let mut retry = Retry::new(shutdown);
        while let Err(error) = self.results.record(&entries, &gaps).await {
            if let ResultsError::Rejected(_) = error {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, "some of the ledger is refused");
                self.report(true);
                return Ok(false);
            }
            self.metrics.failures.inc();
            self.report(false);
            retry
                .wait("cannot take down the ledger; it waits in the queue", &error)
                .await?;
        }
        self.report(true);
        self.metrics.ledger_entries.inc_by(entries.len() as u64);
        Ok(true)
    }
}
