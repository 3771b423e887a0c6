//! The alerter: any number may run, one leads. It follows the configuration all the while, so that whoever comes to lead
//! knows what there is to watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, PackedMonitor, QueueSettings};
use sonde_queue::{Bus, Election, Leader, Office, QueueError, QueueName, SealingKeys};
use sonde_store::{AlertStore, Calendar, Changes, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::deliver::Courier;
use crate::engine::Key;
use crate::leading::{End, Leading};
use crate::metrics::AlerterMetrics;

/// Between two tries of what failed.
const RETRY: Duration = Duration::from_secs(1);
/// An election that fails is news once a minute.
const TRIES_PER_LINE: u32 = 60;

#[derive(Debug, thiserror::Error)]
pub enum AlerterError {
    #[error("nobody tells the configuration any more")]
    FeedEnded,
}

/// Why somebody who was elected cannot lead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TermError {
    #[error("cannot consume {queue}")]
    Consume {
        queue: QueueName,
        #[source]
        source: QueueError,
    },
    #[error("cannot hear of changes of the channels")]
    Listen(#[source] QueueError),
    #[error("cannot read what was decided before")]
    Store(#[from] StoreError),
}

pub struct Alerter {
    pub election: Arc<dyn Election>,
    /// Tells that channels changed.
    pub bus: Arc<dyn Bus>,
    pub store: Arc<dyn AlertStore>,
    pub clock: Arc<dyn Clock>,
    pub queues: QueueSettings,
    /// Of the results.
    pub partitions: u16,
    /// Seal the tasks with which other regions are asked.
    pub task_keys: SealingKeys,
    /// Where people look at incidents.
    pub public_url: Option<Url>,
    /// Tells what the leader has decided.
    pub courier: Arc<Courier>,
    /// Rung when an incident was opened.
    pub opened: Arc<Notify>,
    pub metrics: AlerterMetrics,
}

/// The configuration as it was told.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) monitors: HashMap<Key, PackedMonitor>,
    pub(crate) calendar: Calendar,
    is_complete: bool,
}

impl Known {
    /// What is unreadable stays as it was.
    pub(crate) fn apply(&mut self, changes: &mut Changes) {
        for error in &changes.unreadable {
            let error = sonde_core::chain(error);
            tracing::error!(
                error,
                "a monitor is unreadable: what was known of it stands"
            );
        }
        if changes.complete {
            self.monitors.clear();
            self.is_complete = true;
        }
        for (workspace, id) in &changes.removed {
            self.monitors.remove(&(workspace.clone(), id.clone()));
        }
        for monitor in &changes.changed {
            let key = (monitor.workspace.clone(), monitor.id.clone());
            self.monitors.insert(key, monitor.clone());
        }
        let maintenance = std::mem::take(&mut changes.maintenance);
        self.calendar.apply(maintenance, changes.complete);
    }
}

impl Alerter {
    /// Follows `feed`, leads when it can, decides and tells, until `stop`; what is not decided by then comes again. It does
    /// not lead before the feed has told a complete configuration: incidents of what it does not know would end.
    ///
    /// A feed that ends is an error unless `stop` came first.
    pub async fn run(
        self,
        mut feed: mpsc::Receiver<Changes>,
        stop: CancellationToken,
    ) -> Result<(), AlerterError> {
        match self.alert(&mut feed, &stop).await {
            // Both were stopped, the feed a moment before this saw it.
            Err(AlerterError::FeedEnded) if stop.is_cancelled() => Ok(()),
            ended => ended,
        }
    }

    async fn alert(
        &self,
        feed: &mut mpsc::Receiver<Changes>,
        stop: &CancellationToken,
    ) -> Result<(), AlerterError> {
        let mut known = Known::default();
        loop {
            let Some(leader) = self.follow(&mut known, feed, stop).await? else {
                return Ok(());
            };
            self.metrics.leading.set(1);
            let end = Leading::run(self, leader, &mut known, feed, stop).await;
            self.metrics.leading.set(0);
            match end {
                Ok(End::Stopped) => return Ok(()),
                Ok(End::FeedEnded) => return Err(AlerterError::FeedEnded),
                Ok(End::Lost) => tracing::warn!("leadership is lost: following"),
                Ok(End::Conflict) => {
                    tracing::warn!("somebody else decided meanwhile: beginning anew from that");
                }
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::error!(error, "cannot alert: trying again");
                    if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits for leadership; none at `stop`.
    async fn follow(
        &self,
        known: &mut Known,
        feed: &mut mpsc::Receiver<Changes>,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<dyn Leader>>, AlerterError> {
        let elected = self.elected();
        tokio::pin!(elected);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                changes = feed.recv() => {
                    known.apply(&mut changes.ok_or(AlerterError::FeedEnded)?);
                }
                leader = &mut elected, if known.is_complete => return Ok(Some(leader)),
            }
        }
    }

    async fn elected(&self) -> Arc<dyn Leader> {
        let mut failures = 0_u32;
        loop {
            match self.election.lead(Office::Alerter).await {
                Ok(leader) => return leader,
                Err(error) if failures.is_multiple_of(TRIES_PER_LINE) => {
                    let error = sonde_core::chain(&error);
                    tracing::error!(error, "cannot stand for election");
                }
                Err(_) => {}
            }
            failures += 1;
            sleep(RETRY).await;
        }
    }
}
