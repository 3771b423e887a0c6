//! The loop: wait for the next slot, plan, record, publish.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sonde_core::{
    Check, CheckResult, Clock, Frequency, Monitor, MonitorId, QueueSettings, Reason, RunId,
    Timestamp, Trigger, WorkspaceId,
};
use sonde_queue::{Outgoing, Queue, QueueError, Route, SealingKeys, TaskMessage, results_messages};
use sonde_results::libsql::Dispatch;
use sonde_store::Calendar;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{DispatcherMetrics, Due, Journal, JournalError, Plan, Schedule};

/// Slots within this time of each other share a tick, and so a write of the journal.
const TICK: Duration = Duration::from_millis(20);
/// The longest sleep, so that a clock that jumps is noticed and the watermark moves.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How far the journal's watermark may be behind while nothing is due.
const IDLE: Duration = Duration::from_secs(30);
/// Between two tries of a journal that fails.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);
/// A journal that stays away is news once a minute.
const TRIES_PER_LINE: u32 = 60;

#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot publish tasks")]
    Queue(#[from] QueueError),
    /// Nobody tells what to schedule any more.
    #[error("the feed of the configuration has ended")]
    FeedEnded,
}

/// Plans, records and publishes. One per set of monitors.
pub struct Dispatcher {
    pub queue: Arc<dyn Queue>,
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub settings: QueueSettings,
    /// Partitions of the results.
    pub partitions: u16,
    /// Kept by whoever configures this machine.
    pub maintenance: Arc<Mutex<Calendar>>,
    pub metrics: DispatcherMetrics,
}

impl Dispatcher {
    /// Settles what an earlier process left behind, and returns where to go on.
    ///
    /// `previous` are the monitors that were scheduled then: what they missed is theirs, not of `monitors`.
    pub async fn resume(
        &self,
        previous: &[Arc<Monitor>],
        monitors: &[Arc<Monitor>],
    ) -> Result<Schedule, DispatcherError> {
        let recovered = self.journal.recover().await?;
        for error in &recovered.unreadable {
            tracing::error!(
                error = sonde_core::chain(error),
                "a task left by an earlier process is unreadable"
            );
        }
        let now = self.clock.now();
        let active = monitors.iter().filter(|monitor| !monitor.paused);
        let current: HashMap<_, _> = active.map(|monitor| (key(monitor), monitor)).collect();
        let still_wanted = |check: &Check| {
            let monitor = current.get(&key(&check.monitor));
            check.deadline > now && monitor.is_some_and(|m| m.regions.contains(&check.region))
        };
        let (mut again, lost): (Vec<_>, Vec<_>) =
            recovered.unsettled.into_iter().partition(still_wanted);
        for check in &mut again {
            // The classes may have other names by now.
            check.frequency = self.settings.class_of(check.monitor.interval).name.clone();
        }
        if !again.is_empty() || !lost.is_empty() {
            tracing::info!(
                again = again.len(),
                lost = lost.len(),
                "took over the tasks of an earlier process"
            );
        }
        let lost = lost
            .iter()
            .map(|check| CheckResult::missed(check, Reason::Unprocessed));
        self.publish_results(lost.collect()).await?;
        self.publish_tasks(&again).await?;

        let mut schedule = Schedule::new(previous, recovered.watermark.unwrap_or(now));
        loop {
            let mut plan = schedule.advance(now);
            for due in std::mem::take(&mut plan.due) {
                match current.get(&key(&due.monitor)) {
                    Some(&monitor) if monitor.interval == due.monitor.interval => {
                        let monitor = Arc::clone(monitor);
                        plan.due.push(Due { monitor, ..due });
                    }
                    _ => plan.missed.push(due),
                }
            }
            self.carry_out(&plan).await?;
            if !plan.is_behind(now) {
                break;
            }
        }
        schedule.replace(monitors);
        Ok(schedule)
    }

    /// Dispatches until `shutdown`; `monitors` may change at any time.
    pub async fn run(
        &self,
        mut schedule: Schedule,
        mut monitors: watch::Receiver<Arc<[Arc<Monitor>]>>,
        shutdown: CancellationToken,
    ) -> Result<(), DispatcherError> {
        let mut recorded = Timestamp::UNIX_EPOCH;
        loop {
            self.metrics
                .monitors
                .set(i64::try_from(monitors.borrow().len()).unwrap_or(i64::MAX));
            let mut changed = false;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                notified = monitors.changed() => {
                    if notified.is_err() {
                        return Ok(()); // who configures us is gone: the process is stopping
                    }
                    changed = true;
                }
                () = tokio::time::sleep(self.wait(&schedule)) => {}
            }
            let plan = schedule.advance(self.clock.now());
            // What is new has no slots before now, so the watermark must say how far the old ones came.
            if changed || !plan.is_empty() || plan.watermark.since(recorded) > IDLE {
                self.carry_out_at_last(&plan, &shutdown).await?;
                recorded = plan.watermark;
            }
            if changed {
                schedule.replace(&monitors.borrow_and_update());
            }
        }
    }

    fn wait(&self, schedule: &Schedule) -> Duration {
        let next = schedule
            .next_slot()
            .map(|slot| slot.since(self.clock.now()));
        next.unwrap_or(LONGEST_SLEEP).clamp(TICK, LONGEST_SLEEP)
    }

    /// A journal that fails is tried again until it works: nothing is dispatched that is not accounted for.
    async fn carry_out_at_last(
        &self,
        plan: &Plan,
        shutdown: &CancellationToken,
    ) -> Result<(), DispatcherError> {
        for tries in 0_u32.. {
            match self.carry_out(plan).await {
                Err(DispatcherError::Journal(error)) if tries.is_multiple_of(TRIES_PER_LINE) => {
                    tracing::error!(
                        error = sonde_core::chain(&error),
                        "cannot record what is due; checks are waiting"
                    );
                }
                Err(DispatcherError::Journal(_)) => {}
                done => return done,
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(JOURNAL_RETRY) => {}
            }
        }
        Ok(())
    }

    async fn carry_out(&self, plan: &Plan) -> Result<(), DispatcherError> {
        let now = self.clock.now();
        let mut checks: Vec<_> = plan
            .due
            .iter()
            .flat_map(|due| self.checks(due, now))
            .collect();
        let missed: Vec<(Frequency, CheckResult)> = plan
            .missed
            .iter()
            .flat_map(|due| self.checks(due, now))
            .map(|check| {
                (
                    check.frequency.clone(),
                    CheckResult::missed(&check, Reason::NotDispatched),
                )
            })
            .collect();
        let gaps: Vec<_> = plan.gap.into_iter().collect();
        let dispatch = Dispatch {
            checks: &checks,
            missed: &missed,
            gaps: &gaps,
            watermark: plan.watermark,
        };
        self.journal.record(&dispatch).await?;
        // The journal's own time is part of the lag, not of the queue's.
        let now = self.clock.now();
        for check in &mut checks {
            check.dispatched_at = now;
        }
        self.publish_tasks(&checks).await?;
        self.observe(&checks, missed.len(), plan.watermark);
        if let Some(gap) = plan.gap {
            tracing::warn!(gap.from = %gap.from, gap.to = %gap.to, "nothing was dispatched for a while");
        }
        Ok(())
    }

    /// One check per region.
    fn checks(&self, due: &Due, now: Timestamp) -> impl Iterator<Item = Check> {
        let frequency = self.settings.class_of(due.monitor.interval).name.clone();
        let in_maintenance = {
            let calendar = self.maintenance.lock();
            let mut calendar = calendar.unwrap_or_else(PoisonError::into_inner);
            calendar.covers(&due.monitor, due.slot)
        };
        due.monitor.regions.iter().map(move |region| Check {
            monitor: Arc::clone(&due.monitor),
            region: region.clone(),
            slot: due.slot,
            run_id: RunId::SCHEDULED,
            trigger: Trigger::Schedule,
            frequency: frequency.clone(),
            deadline: due.slot + due.monitor.interval,
            dispatched_at: now,
            in_maintenance,
        })
    }

    async fn publish_tasks(&self, checks: &[Check]) -> Result<(), QueueError> {
        if checks.is_empty() {
            return Ok(());
        }
        let messages = checks.iter().map(|check| Outgoing {
            route: Route::Checks {
                frequency: check.frequency.clone(),
                region: check.region.clone(),
            },
            payload: TaskMessage::encode(check, &SealingKeys::none()),
        });
        self.queue.publish(messages.collect()).await
    }

    async fn publish_results(&self, results: Vec<CheckResult>) -> Result<(), QueueError> {
        self.queue
            .publish(results_messages(results, self.partitions))
            .await
    }

    fn observe(&self, checks: &[Check], missed: usize, watermark: Timestamp) {
        let now = self.clock.now();
        self.metrics.dispatched.inc_by(checks.len() as u64);
        self.metrics.missed.inc_by(missed as u64);
        self.metrics
            .watermark
            .set(watermark.as_micros() / 1_000_000);
        for check in checks {
            self.metrics
                .lag
                .observe(now.since(check.slot).as_secs_f64());
        }
    }
}

fn key(monitor: &Monitor) -> (&WorkspaceId, &MonitorId) {
    (&monitor.workspace, &monitor.id)
}

#[cfg(test)]
mod tests;
