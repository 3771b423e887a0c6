//! The loop: wait for the next slot, plan, record, publish.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    Check, CheckResult, Clock, Frequency, Monitor, MonitorId, QueueSettings, Reason, RunId,
    Timestamp, Trigger, WorkspaceId,
};
use sonde_queue::{Outgoing, Queue, QueueError, Route, TaskMessage, results_messages};
use sonde_results::libsql::Dispatch;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{DispatcherMetrics, Due, Journal, JournalError, Plan, Schedule};

/// Slots within this time of each other share a tick, and so a write of the journal.
const TICK: Duration = Duration::from_millis(20);
/// The longest sleep, so that a clock that jumps is noticed and the watermark moves.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Between two tries of a journal that fails.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot publish tasks")]
    Queue(#[from] QueueError),
}

/// Plans, records and publishes. One per set of monitors.
pub struct Dispatcher {
    pub queue: Arc<dyn Queue>,
    pub journal: Arc<dyn Journal>,
    pub clock: Arc<dyn Clock>,
    pub settings: QueueSettings,
    /// Partitions of the results.
    pub partitions: u16,
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
        let current: HashMap<_, _> = monitors
            .iter()
            .map(|monitor| (key(monitor), monitor))
            .collect();
        let (again, lost): (Vec<_>, Vec<_>) = recovered
            .unsettled
            .into_iter()
            .partition(|check| check.deadline > now && current.contains_key(&key(&check.monitor)));
        let lost: Vec<_> = lost
            .iter()
            .map(|check| CheckResult::missed(check, Reason::Unprocessed))
            .collect();
        if !again.is_empty() || !lost.is_empty() {
            tracing::info!(
                again = again.len(),
                lost = lost.len(),
                "took over the tasks of an earlier process"
            );
        }
        self.publish_results(lost).await?;
        self.publish_tasks(&again).await?;

        let mut schedule = Schedule::new(previous, recovered.watermark.unwrap_or(now));
        let mut plan = schedule.advance(now);
        for due in std::mem::take(&mut plan.due) {
            match current.get(&key(&due.monitor)) {
                Some(&monitor) if monitor.interval == due.monitor.interval => {
                    plan.due.push(Due {
                        monitor: Arc::clone(monitor),
                        ..due
                    });
                }
                _ => plan.missed.push(due),
            }
        }
        self.carry_out(&plan).await?;
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
        schedule.replace(&monitors.borrow_and_update());
        loop {
            self.metrics
                .monitors
                .set(i64::try_from(monitors.borrow().len()).unwrap_or(i64::MAX));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                changed = monitors.changed() => {
                    if changed.is_err() {
                        return Ok(()); // who configures us is gone: the process is stopping
                    }
                    schedule.replace(&monitors.borrow_and_update());
                }
                () = tokio::time::sleep(self.wait(&schedule)) => {
                    let plan = schedule.advance(self.clock.now());
                    self.carry_out_at_last(&plan, &shutdown).await?;
                }
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
        loop {
            match self.carry_out(plan).await {
                Err(DispatcherError::Journal(error)) => {
                    tracing::error!(
                        error = sonde_core::chain(&error),
                        "cannot record what is due; checks are waiting"
                    );
                }
                done => return done,
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(JOURNAL_RETRY) => {}
            }
        }
    }

    async fn carry_out(&self, plan: &Plan) -> Result<(), DispatcherError> {
        let now = self.clock.now();
        let checks: Vec<_> = plan
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
        due.monitor.regions.iter().map(move |region| Check {
            monitor: Arc::clone(&due.monitor),
            region: region.clone(),
            slot: due.slot,
            run_id: RunId::SCHEDULED,
            trigger: Trigger::Schedule,
            frequency: frequency.clone(),
            deadline: due.slot + due.monitor.interval,
            dispatched_at: now,
            in_maintenance: false,
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
            payload: TaskMessage::encode(check),
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
mod tests {
    use prometheus_client::registry::Registry;
    use sonde_core::{CheckKey, FrequencyClass, ManualClock, MonitorId, Outcome, Region};
    use sonde_queue::memory::MemoryQueue;
    use sonde_queue::{QueueName, Topology};
    use sonde_results::libsql::LibsqlResults;
    use sonde_results::{Results as _, TimeRange};

    use super::*;
    use crate::FileJournal;

    const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

    /// A dispatcher with its file; dropping it is a `kill -9`.
    struct Machine {
        dispatcher: Dispatcher,
        queue: Arc<MemoryQueue>,
        results: Arc<LibsqlResults>,
        clock: Arc<ManualClock>,
    }

    impl Machine {
        async fn start(folder: &tempfile::TempDir, now: Timestamp) -> Self {
            let file = folder.path().join("results.db");
            let results = Arc::new(LibsqlResults::open(&file).await.unwrap());
            let queue = Arc::new(MemoryQueue::new());
            let settings = QueueSettings {
                retry: Monitor::sample().retry,
                delivery_limit: 3,
                frequencies: vec![FrequencyClass {
                    name: Frequency::new("5s").unwrap(),
                    period: Duration::from_secs(5),
                    prefetch: 10,
                }],
            };
            queue
                .declare(&Topology::new(&settings, &[Region::local()], 1))
                .await
                .unwrap();
            let clock = Arc::new(ManualClock::at(now));
            let dispatcher = Dispatcher {
                queue: Arc::clone(&queue) as _,
                journal: Arc::new(FileJournal(Arc::clone(&results))),
                clock: Arc::clone(&clock) as _,
                settings,
                partitions: 1,
                metrics: DispatcherMetrics::register(&mut Registry::default()),
            };
            Self {
                dispatcher,
                queue,
                results,
                clock,
            }
        }

        async fn tasks(&self) -> u64 {
            let (frequency, region) = (Frequency::new("5s").unwrap(), Region::local());
            self.queue
                .depth(&QueueName::Checks { frequency, region })
                .await
                .unwrap()
        }

        async fn lost(&self) -> u64 {
            self.queue
                .depth(&QueueName::Store { partition: 0 })
                .await
                .unwrap()
        }

        async fn scheduled_and_settled(&self) -> (u64, u64) {
            let range = TimeRange {
                from: START - Duration::from_hours(24),
                to: START + Duration::from_hours(24),
            };
            let balances = self.results.balances(range).await.unwrap();
            let sum = |count: fn(&sonde_core::Balance) -> u64| balances.iter().map(count).sum();
            (
                sum(|balance| balance.scheduled),
                sum(sonde_core::Balance::settled),
            )
        }
    }

    fn monitor() -> Arc<Monitor> {
        Arc::new(Monitor::sample())
    }

    #[tokio::test]
    async fn what_a_killed_process_left_runs_again_or_is_missed_and_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = Machine::start(&folder, START).await;
        let mut schedule = first.dispatcher.resume(&[], &[monitor()]).await.unwrap();
        first.clock.advance(Duration::from_secs(5));
        first
            .dispatcher
            .carry_out(&schedule.advance(first.clock.now()))
            .await
            .unwrap();
        assert_eq!(
            (first.tasks().await, first.scheduled_and_settled().await),
            (1, (1, 0))
        );
        drop(first);

        // Within the slot's interval: the task is handed out again.
        let second = Machine::start(&folder, START + Duration::from_secs(5)).await;
        second
            .dispatcher
            .resume(&[monitor()], &[monitor()])
            .await
            .unwrap();
        assert_eq!((second.tasks().await, second.lost().await), (1, 0));
        assert_eq!(second.scheduled_and_settled().await, (1, 0));
        drop(second);

        // A minute later it is lost, and so are the slots that nobody dispatched; the last one is due.
        let third = Machine::start(&folder, START + Duration::from_mins(1)).await;
        third
            .dispatcher
            .resume(&[monitor()], &[monitor()])
            .await
            .unwrap();
        assert_eq!((third.tasks().await, third.lost().await), (1, 1));
        assert_eq!(third.scheduled_and_settled().await, (12, 10));
    }

    #[tokio::test]
    async fn a_monitor_that_is_new_missed_nothing_while_the_process_was_down() {
        let folder = tempfile::tempdir().unwrap();
        let first = Machine::start(&folder, START).await;
        first.dispatcher.resume(&[], &[]).await.unwrap();
        drop(first);
        let second = Machine::start(&folder, START + Duration::from_mins(30)).await;
        second.dispatcher.resume(&[], &[monitor()]).await.unwrap();
        assert_eq!(second.scheduled_and_settled().await, (0, 0));
    }

    #[tokio::test]
    async fn a_monitor_that_is_gone_leaves_missed_rows_and_no_task() {
        let folder = tempfile::tempdir().unwrap();
        let first = Machine::start(&folder, START).await;
        first.dispatcher.resume(&[], &[monitor()]).await.unwrap();
        drop(first);
        let second = Machine::start(&folder, START + Duration::from_secs(5)).await;
        second.dispatcher.resume(&[monitor()], &[]).await.unwrap();
        assert_eq!(
            (second.tasks().await, second.scheduled_and_settled().await),
            (0, (1, 1))
        );
        let schedule = Schedule::new(&[monitor()], START);
        let key = CheckKey {
            workspace: WorkspaceId::local(),
            monitor: MonitorId::new("shop").unwrap(),
            region: Region::local(),
            slot: schedule.next_slot().unwrap(),
            run_id: RunId::SCHEDULED,
        };
        let row = second.results.find(&key).await.unwrap().unwrap();
        assert_eq!(
            (row.outcome, row.reason),
            (Outcome::Missed, Some(Reason::NotDispatched))
        );
    }

    #[tokio::test]
    async fn a_night_without_dispatch_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let first = Machine::start(&folder, START - Duration::from_hours(12)).await;
        first.dispatcher.resume(&[], &[monitor()]).await.unwrap();
        drop(first);
        let second = Machine::start(&folder, START).await;
        second
            .dispatcher
            .resume(&[monitor()], &[monitor()])
            .await
            .unwrap();
        let range = TimeRange {
            from: START - Duration::from_hours(24),
            to: START,
        };
        let gaps = second.results.gaps(range).await.unwrap();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!(gaps[0].to, START - Duration::from_hours(1));
        // An hour of missed rows, and the last slot is due.
        assert_eq!(
            (second.tasks().await, second.scheduled_and_settled().await),
            (1, (720, 719))
        );
    }
}
