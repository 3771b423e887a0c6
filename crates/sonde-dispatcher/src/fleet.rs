//! The dispatcher of a fleet: it follows the configuration, and dispatches while it leads.
//!
//! # Why a crash neither loses a slot nor claims one
//!
//! Slots are a function of time and configuration, so what a leader has to remember is how far it came. For the slots
//! between two watermarks it does, in this order, each step after the one before is confirmed:
//!
//! 1. publish the tasks, and rows for those that are missed or that no queue takes;
//! 2. count them, in memory;
//! 3. publish the ledger's entries of minutes that are over (and now and then of those that are not);
//! 4. save the watermark, together with the counts up to it of the minutes that are still open.
//!
//! Steps 3 and 4 are done by `saver` on a snapshot taken after step 2, while the next tick may already be at step 1: they
//! never write anything that step 1 has not confirmed, and no watermark before the ledger that it makes final.
//!
//! * *No slot is lost:* the saved watermark is only ever past slots that are published; the next leader plans from there.
//! * *None is claimed that is not there:* the next leader starts with the counts that were saved with that very
//!   watermark, and adds what it publishes itself. An entry that an earlier leader published beyond its last watermark counts
//!   what was confirmed; the store keeps the highest count of a minute, and the same slots give the same count again.
//! * *Nothing counts twice:* a slot published again has the same check id, and its rows merge.
//!
//! A gap after a long outage is a batch of its own, and waits until step 4 is done for it: else the next leader would begin
//! another gap, over what was published meanwhile. A leader that stops also tells the counts of minutes that are open.
//!
//! When the clock is set back, a class begins the current minute again, publishes all of it and counts from zero: the
//! argument above holds for that minute as for any other. What the argument does not cover is a configuration that changed
//! between the two leaders: then a monitor that is gone may have been published between the last watermark and the crash,
//! and its row is more than the ledger says, never less.

mod books;
mod classes;
mod leading;
mod saver;
mod services;

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, QueueSettings, Timestamp};
use sonde_queue::{Bus, Election, Leader, Office, SealingKeys};
use sonde_store::Changes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{DispatcherError, FleetMetrics};
use classes::Classes;
use leading::{Leading, Stop};

/// Between two tries of what failed.
const RETRY: Duration = Duration::from_millis(250);
/// Leaves others the time to stand for election.
const UNFIT: Duration = Duration::from_secs(5);
/// A replica may learn of a monitor so much later than the leader's: what is new began that long ago, at most.
const LEARNT_LATE_AT_MOST: Duration = Duration::from_mins(1);
/// What repairs a missing queue.
const APPLY_HINT: &str = ": declare the queues with `sonde queues apply`";
/// An election that fails is news once a minute.
const TRIES_PER_LINE: u32 = 240;

/// One of the dispatchers of a fleet. Any number may run; one leads.
pub struct FleetDispatcher {
    pub election: Arc<dyn Election>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<dyn Clock>,
    pub settings: QueueSettings,
    /// Partitions of the results.
    pub partitions: u16,
    pub keys: SealingKeys,
    pub metrics: FleetMetrics,
    /// Of this process, for people.
    pub id: String,
    /// Without it, only triggers from outside make checks due; what none asked for in time is missed.
    pub internal_clock: bool,
}

impl FleetDispatcher {
    /// Follows `feed`, leads when it can, and dispatches, until `shutdown`. It does not lead before the feed has told a
    /// complete configuration: the slots of what it does not know would be lost.
    ///
    /// A feed that ends is an error unless `shutdown` came first.
    pub async fn run(
        &self,
        mut feed: mpsc::Receiver<Changes>,
        shutdown: CancellationToken,
    ) -> Result<(), DispatcherError> {
        match self.dispatch(&mut feed, &shutdown).await {
            // Both were stopped, the feed a moment before this saw it.
            Err(DispatcherError::FeedEnded) if shutdown.is_cancelled() => Ok(()),
            ended => ended,
        }
    }

    async fn dispatch(
        &self,
        feed: &mut mpsc::Receiver<Changes>,
        shutdown: &CancellationToken,
    ) -> Result<(), DispatcherError> {
        let mut classes = Classes::new(&self.settings);
        loop {
            let Some(leader) = self.follow(&mut classes, feed, shutdown).await? else {
                return Ok(());
            };
            self.metrics.begin_to_lead();
            let stop = Leading::run(self, leader, &mut classes, feed, shutdown).await;
            self.metrics.leading.set(0);
            match stop {
                Stop::Shutdown => return Ok(()),
                Stop::FeedEnded => return Err(DispatcherError::FeedEnded),
                Stop::Lost => {
                    tracing::warn!(dispatcher.id = self.id, "leadership is lost: following");
                }
                Stop::Unfit => {
                    let _ = timeout(UNFIT, shutdown.cancelled()).await;
                }
            }
            classes.rest();
        }
    }

    /// Waits for leadership; none at shutdown.
    async fn follow(
        &self,
        classes: &mut Classes,
        feed: &mut mpsc::Receiver<Changes>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Arc<dyn Leader>>, DispatcherError> {
        let elected = self.elected();
        tokio::pin!(elected);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                changes = feed.recv() => {
                    let changes = changes.ok_or(DispatcherError::FeedEnded)?;
                    let since = self.begin_of_new(&changes);
                    self.apply(classes, changes, since);
                }
                leader = &mut elected, if classes.is_loaded() => return Ok(Some(leader)),
            }
        }
    }

    /// What a complete configuration names may have been there for long.
    fn begin_of_new(&self, changes: &Changes) -> Timestamp {
        if changes.complete {
            Timestamp::UNIX_EPOCH
        } else {
            self.clock.now() - LEARNT_LATE_AT_MOST
        }
    }

    fn apply(&self, classes: &mut Classes, changes: Changes, since: Timestamp) {
        for error in &changes.unreadable {
            tracing::error!(
                error = sonde_core::chain(error),
                "a monitor is unreadable: what was known of it stands"
            );
        }
        classes.apply(changes, since);
        let monitors = i64::try_from(classes.len()).unwrap_or(i64::MAX);
        self.metrics.dispatcher.monitors.set(monitors);
    }

    async fn elected(&self) -> Arc<dyn Leader> {
        let mut failures = 0_u32;
        loop {
            match self.election.lead(Office::Dispatcher).await {
                Ok(leader) => return leader,
                Err(error) if failures.is_multiple_of(TRIES_PER_LINE) => {
                    tracing::error!(
                        error = sonde_core::chain(&error),
                        dispatcher.id = self.id,
                        "cannot stand for election"
                    );
                }
                Err(_) => {}
            }
            failures += 1;
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests;
