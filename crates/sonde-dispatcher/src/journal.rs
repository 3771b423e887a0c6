//! What the dispatcher must not forget: the watermark, the ledger, and the tasks that are on their way.

use std::sync::Arc;

use async_trait::async_trait;
use sonde_results::libsql::{Dispatch, LibsqlResults, Recovered};

/// The journal failed; the same record may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("the dispatcher's journal is unavailable")]
pub struct JournalError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Durable memory of one dispatcher. A record is atomic, and recording it twice changes nothing.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Where the previous dispatcher stopped, and what it left unsettled.
    async fn recover(&self) -> Result<Recovered, JournalError>;

    /// Accounts for tasks before they are handed to the queue.
    async fn record(&self, dispatch: &Dispatch<'_>) -> Result<(), JournalError>;
}

/// The journal of one machine: the results file, so that settling a task is the same write as storing its result.
#[derive(Clone)]
pub struct FileJournal(pub Arc<LibsqlResults>);

#[async_trait]
impl Journal for FileJournal {
    async fn recover(&self) -> Result<Recovered, JournalError> {
        self.0
            .recover()
            .await
            .map_err(|error| JournalError(Box::new(error)))
    }

    async fn record(&self, dispatch: &Dispatch<'_>) -> Result<(), JournalError> {
        self.0
            .record_dispatch(dispatch)
            .await
            .map_err(|error| JournalError(Box::new(error)))
    }
}
