//! What a restart does with what the process before it left, on a real file and a real queue.

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
            partitions: 1,
            alerting: false,
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
            maintenance: Arc::default(),
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
            .ready
    }

    async fn lost(&self) -> u64 {
        self.queue
            .depth(&QueueName::Store { partition: 0 })
            .await
            .unwrap()
            .ready
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

/// What is left of a monitor whose task was in flight when the process died, `change`d before the next start.
async fn restarted(change: impl FnOnce(&mut Monitor)) -> (u64, u64, (u64, u64)) {
    let folder = tempfile::tempdir().unwrap();
    let first = Machine::start(&folder, START).await;
    let mut schedule = first.dispatcher.resume(&[], &[monitor()]).await.unwrap();
    first.clock.advance(Duration::from_secs(5));
    first
        .dispatcher
        .carry_out(&schedule.advance(first.clock.now()))
        .await
        .unwrap();
    drop(first);
    let mut changed = Monitor::sample();
    change(&mut changed);
    let second = Machine::start(&folder, START + Duration::from_secs(5)).await;
    second
        .dispatcher
        .resume(&[monitor()], &[Arc::new(changed)])
        .await
        .unwrap();
    (
        second.tasks().await,
        second.lost().await,
        second.scheduled_and_settled().await,
    )
}

#[tokio::test]
async fn a_task_that_the_new_configuration_does_not_want_is_missed() {
    let elsewhere = |monitor: &mut Monitor| monitor.regions = vec![Region::new("fra").unwrap()];
    assert_eq!(restarted(elsewhere).await, (0, 1, (1, 0)));
    assert_eq!(
        restarted(|monitor| monitor.paused = true).await,
        (0, 1, (1, 0))
    );
    assert_eq!(
        restarted(|monitor| "Other".clone_into(&mut monitor.name)).await,
        (1, 0, (1, 0))
    );
}

#[tokio::test]
async fn a_watermark_of_the_future_does_not_stop_dispatch() {
    let folder = tempfile::tempdir().unwrap();
    let ahead = Machine::start(&folder, START + Duration::from_hours(24)).await;
    ahead.dispatcher.resume(&[], &[monitor()]).await.unwrap();
    drop(ahead);
    let right = Machine::start(&folder, START).await;
    let mut schedule = right
        .dispatcher
        .resume(&[monitor()], &[monitor()])
        .await
        .unwrap();
    right.clock.advance(Duration::from_secs(5));
    right
        .dispatcher
        .carry_out(&schedule.advance(right.clock.now()))
        .await
        .unwrap();
    assert_eq!(right.tasks().await, 1);
    let watermark = right.results.recover().await.unwrap().watermark;
    assert!(watermark.unwrap() < START + Duration::from_mins(1));
}
