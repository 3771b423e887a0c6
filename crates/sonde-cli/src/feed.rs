//! The configuration as it changes, told to whoever works by it.

use std::sync::Arc;
use std::time::Duration;

use sonde_store::{Changes, ConfigStore, Revision, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// Changes that may wait to be taken over.
pub(crate) const WAITING: usize = 16;
/// Between two tries of a store that cannot be read.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Feed<T> {
    store: Arc<dyn ConfigStore>,
    touched: watch::Receiver<T>,
    known: Option<Revision>,
}

impl<T> Feed<T> {
    /// Of a store that changes only when something is `touched`.
    pub(crate) fn new(store: Arc<dyn ConfigStore>, mut touched: watch::Receiver<T>) -> Self {
        touched.mark_changed();
        Self {
            store,
            touched,
            known: None,
        }
    }

    /// The next change, the first time all that there is.
    pub(crate) async fn next(&mut self) -> Changes {
        loop {
            if self.touched.changed().await.is_err() {
                // Who touched it is gone: nothing changes any more.
                std::future::pending::<()>().await;
            }
            match self.store.changes(self.known).await {
                Ok(changes) => {
                    self.known = Some(changes.revision);
                    if !changes.is_empty() {
                        return changes;
                    }
                }
                // Its first sync touches it.
                Err(StoreError::Unsynced) => {}
                Err(error) => {
                    tracing::warn!(
                        error = sonde_core::chain(&error),
                        "cannot read the configuration: what is known of it stands"
                    );
                    sleep(RETRY).await;
                    self.touched.mark_changed();
                }
            }
        }
    }

    /// Tells every change for as long as somebody listens.
    pub(crate) async fn tell(mut self, feed: mpsc::Sender<Changes>) {
        while feed.send(self.next().await).await.is_ok() {}
    }
}
