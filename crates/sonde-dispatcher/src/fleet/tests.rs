//! Leaders that fail at any step, and what is left of them.

mod age;
mod broker;
mod outages;

use std::collections::BTreeSet;

use prometheus_client::registry::Registry;
use proptest::prelude::*;
use sonde_core::{
    Cadence, Frequency, FrequencyClass, Monitor, MonitorId, PackedMonitor, Region, Timestamp,
    WorkspaceId,
};
use sonde_queue::fleet::{ClockAnswer, ClockQuestion, decode, encode};
use sonde_queue::{Announcement, CronMessage, Outgoing, Queue as _, QueueName, Route, Topic};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use broker::{Broker, Failure, PausedClock, START, account};

const MINUTE: Duration = Duration::from_mins(1);

fn settings() -> QueueSettings {
    let class = |name: &str, seconds| FrequencyClass {
        name: Frequency::new(name).unwrap(),
        period: Duration::from_secs(seconds),
        prefetch: 10,
    };
    QueueSettings {
        retry: Monitor::sample().retry,
        delivery_limit: 3,
        frequencies: vec![class("5s", 5), class("10s", 10), class("1m", 60)],
        partitions: 2,
        alerting: false,
    }
}

fn monitor(id: &str, seconds: u64, regions: &[&str]) -> Monitor {
    let mut monitor = Monitor::sample();
    monitor.id = MonitorId::new(id).unwrap();
    monitor.interval = Duration::from_secs(seconds);
    monitor.regions = regions.iter().map(|it| Region::new(it).unwrap()).collect();
    monitor
}

fn monitors() -> Vec<Monitor> {
    vec![
        monitor("a", 5, &["fra", "iad"]),
        monitor("b", 7, &["fra"]),
        monitor("c", 13, &["fra", "iad"]),
        monitor("d", 60, &["iad"]),
    ]
}

fn packed(monitors: &[Monitor]) -> Vec<PackedMonitor> {
    monitors.iter().map(PackedMonitor::new).collect()
}

fn all(monitors: &[Monitor]) -> Changes {
    Changes {
        complete: true,
        changed: packed(monitors),
        ..Changes::default()
    }
}

/// Time passes at once when all tasks wait.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

/// Dispatchers over one broker.
struct Fleet {
    broker: Broker,
    clock: Arc<PausedClock>,
    internal_clock: bool,
    running: JoinSet<Result<(), DispatcherError>>,
    feeds: Vec<(mpsc::Sender<Changes>, CancellationToken, FleetMetrics)>,
    registries: Vec<Registry>,
}

impl Fleet {
    async fn new(outage: Duration, failures: Vec<Failure>) -> Self {
        Self {
            broker: Broker::new(outage, failures).await,
            clock: Arc::new(PausedClock::new()),
            internal_clock: true,
            running: JoinSet::new(),
            feeds: Vec::new(),
            registries: Vec::new(),
        }
    }

    async fn start(&mut self, monitors: Vec<Monitor>) {
        let mut registry = Registry::default();
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let metrics = FleetMetrics::register(&mut registry, Arc::clone(&clock));
        self.registries.push(registry);
        let dispatcher = FleetDispatcher {
            election: Arc::new(self.broker.clone()),
            bus: Arc::new(self.broker.clone()),
            clock,
            settings: settings(),
            partitions: 2,
            keys: SealingKeys::none(),
            metrics,
            id: format!("d{}", self.feeds.len()),
            internal_clock: self.internal_clock,
        };
        let metrics = dispatcher.metrics.clone();
        let (feed, changes) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        feed.send(all(&monitors)).await.unwrap();
        self.feeds.push((feed, shutdown.clone(), metrics));
        self.running
            .spawn(async move { dispatcher.run(changes, shutdown).await });
    }

    async fn stop(&mut self) {
        for (_, shutdown, _) in &self.feeds {
            shutdown.cancel();
        }
        while let Some(ended) = timeout(MINUTE, self.running.join_next()).await.unwrap() {
            ended.unwrap().unwrap();
        }
    }

    /// The ledger is right, and nothing was left out.
    #[track_caller]
    fn assert_accounts(&self, monitors: &[Monitor]) {
        self.assert_ledger();
        self.broker.with(|state| {
            let published = state.published(&settings());
            let watermark = state.watermark.clone().unwrap();
            let found: BTreeSet<_> = published
                .iter()
                .flat_map(|((_, region, _), checks)| {
                    checks.iter().map(move |check| (region, check))
                })
                .collect();
            for (region, id, slot) in slots(monitors, state.begin.unwrap(), watermark.watermark) {
                assert!(
                    found.contains(&(&region, &(id.clone(), slot))),
                    "{region} {id} {slot} is lost"
                );
            }
        });
    }

    /// The ledger says no more than what was published, and nothing less of minutes that are over.
    #[track_caller]
    fn assert_ledger(&self) {
        self.broker.with(|state| {
            let published = state.published(&settings());
            let stored = state.stored_ledger();
            let watermark = state.watermark.clone().unwrap();
            for (account, scheduled) in &stored {
                let checks = published.get(account).map_or(0, BTreeSet::len) as u64;
                assert!(*scheduled <= checks, "{account:?}: {scheduled} > {checks}");
            }
            for (account, checks) in &published {
                if account.2 + MINUTE <= watermark.watermark {
                    let scheduled = stored.get(account).copied();
                    assert_eq!(scheduled, Some(checks.len() as u64), "{account:?}");
                }
            }
            for entry in &watermark.open {
                let checks = published.get(&account(entry)).into_iter().flatten();
                let ahead = watermark.ahead.iter();
                let own = ahead
                    .filter(|it| it.frequency == entry.frequency)
                    .map(|it| it.watermark);
                let until = own.max().unwrap_or(watermark.watermark);
                let before = checks.filter(|(_, slot)| *slot < until);
                assert_eq!(entry.scheduled, before.count() as u64, "{entry:?}");
            }
        });
    }
}

fn slots(
    monitors: &[Monitor],
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Region, MonitorId, Timestamp)> {
    let mut slots = Vec::new();
    for monitor in monitors {
        let cadence = Cadence::new(&monitor.workspace, &monitor.id, monitor.interval);
        for slot in cadence.between(from, to) {
            let regions = monitor.regions.iter();
            slots.extend(regions.map(|region| (region.clone(), monitor.id.clone(), slot)));
        }
    }
    slots
}

fn failures() -> impl Strategy<Value = Vec<Failure>> {
    let failure = (0_usize..70, 0_usize..5, any::<bool>());
    let failure = failure.prop_map(|(after, quarters, is_crash)| Failure {
        after,
        taken: quarters * 25,
        is_crash,
    });
    prop::collection::vec(failure, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_leader_that_fails_at_any_step_loses_nothing_and_claims_nothing_too_much(
        failures in failures(), outage in 0_u64..25, closed in any::<bool>()
    ) {
        runtime().block_on(async {
            let mut fleet = Fleet::new(Duration::from_secs(outage), failures).await;
            if closed {
                fleet.broker.with(|state| state.closed_region = Some(Region::new("iad").unwrap()));
            }
            fleet.start(monitors()).await;
            sleep(MINUTE * 3).await;
            fleet.stop().await;
            fleet.assert_accounts(&monitors());
            let watermark = fleet.broker.with(|state| state.watermark.clone().unwrap());
            assert!(fleet.clock.now().since(watermark.watermark) < Duration::from_secs(45));
        });
    }

    #[test]
    fn a_clock_that_jumps_keeps_the_ledger_right(
        failures in failures(), jumps in prop::collection::vec((5_u64..100, -200_i64..200), 1..5)
    ) {
        runtime().block_on(async {
            let mut fleet = Fleet::new(Duration::from_secs(1), failures).await;
            fleet.start(monitors()).await;
            for (after, seconds) in jumps {
                sleep(Duration::from_secs(after)).await;
                fleet.clock.shift(seconds);
            }
            sleep(MINUTE * 3).await;
            fleet.stop().await;
            fleet.assert_accounts(&monitors());
        });
    }
}

#[test]
fn every_single_step_can_be_the_last_of_its_leader() {
    let steps = runtime().block_on(async {
        let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
        fleet.start(monitors()).await;
        sleep(Duration::from_secs(50)).await; // into the second minute
        fleet.stop().await;
        fleet.broker.with(|state| state.steps)
    });
    assert!(steps > 50, "{steps}");
    for after in 0..steps {
        for taken in [0, 50, 100] {
            runtime().block_on(async {
                let failure = Failure {
                    after,
                    taken,
                    is_crash: true,
                };
                let mut fleet = Fleet::new(Duration::from_secs(2), vec![failure]).await;
                fleet.start(monitors()).await;
                sleep(Duration::from_secs(110)).await;
                fleet.stop().await;
                assert!(fleet.broker.with(|state| state.terms) <= 2);
                fleet.assert_accounts(&monitors());
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_dispatcher_goes_on_without_a_hole_or_a_double_count() {
    let mut fleet = Fleet::new(Duration::from_secs(4), Vec::new()).await;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(33)).await;
    fleet.start(monitors()).await;
    sleep(MINUTE).await;
    let leading = |fleet: &Fleet| {
        let feeds = fleet.feeds.iter();
        feeds
            .map(|(_, _, metrics)| metrics.is_leading())
            .collect::<Vec<_>>()
    };
    assert_eq!(leading(&fleet), [true, false]);
    fleet.feeds[0].1.cancel();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(leading(&fleet), [false, true]);
    fleet.stop().await;
    fleet.assert_accounts(&monitors());
    fleet.broker.with(|state| {
        assert_eq!(state.terms, 2);
        // A soft stop repeats nothing, and so short a pause misses nothing.
        let watermark = state.watermark.as_ref().unwrap().watermark;
        let expected = slots(&monitors(), START, watermark).len();
        assert_eq!((state.tasks.len(), state.rows.len()), (expected, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_the_last_slots_run_an_hour_is_missed_and_the_rest_is_one_gap() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(30)).await;
    fleet.stop().await;
    let stopped = fleet
        .broker
        .with(|state| state.watermark.clone().unwrap().watermark);
    sleep(Duration::from_hours(5)).await;
    fleet.broker.with(|state| state.tasks.clear());
    let mut second = Fleet {
        feeds: Vec::new(),
        ..fleet
    };
    let now = second.clock.now();
    second.start(monitors()).await;
    sleep(Duration::from_secs(100)).await;
    second.stop().await;
    second.broker.with(|state| {
        let gaps: Vec<_> = state.ledger.iter().flat_map(|it| &it.gaps).collect();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        let to = gaps[0].to;
        assert_eq!(gaps[0].from, stopped);
        assert!(to.since(now - Duration::from_hours(1)) < Duration::from_secs(1));
        let last = state.watermark.as_ref().unwrap().watermark;
        let expected: BTreeSet<_> = slots(&monitors(), to, last).into_iter().collect();
        let missed: BTreeSet<_> = state
            .rows
            .iter()
            .map(|row| (row.region.clone(), row.monitor.clone(), row.slot))
            .collect();
        let run: BTreeSet<_> = state
            .tasks
            .iter()
            .map(|task| (task.region.clone(), task.monitor.id.clone(), task.slot))
            .collect();
        assert!(missed.is_disjoint(&run));
        assert_eq!(
            missed.union(&run).cloned().collect::<BTreeSet<_>>(),
            expected
        );
        assert!(
            run.iter()
                .any(|(_, id, slot)| id.as_str() == "d" && *slot < now)
        );
    });
}

#[tokio::test(start_paused = true)]
async fn without_a_configuration_nobody_leads_and_a_change_takes_effect_at_once() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(Vec::new()).await;
    sleep(Duration::from_secs(20)).await;
    let (feed, _, metrics) = &fleet.feeds[0];
    assert!(metrics.is_leading());
    let added = Changes {
        changed: packed(&monitors()),
        ..Changes::default()
    };
    feed.send(added).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    let slower = Changes {
        changed: packed(&[monitor("a", 60, &["fra"])]),
        removed: vec![(WorkspaceId::local(), MonitorId::new("c").unwrap())],
        ..Changes::default()
    };
    feed.send(slower).await.unwrap();
    sleep(MINUTE * 2).await;
    fleet.stop().await;
    fleet.assert_accounts(&[monitor("b", 7, &[])]);
    let at = |seconds| START + Duration::from_secs(seconds);
    fleet.broker.with(|state| {
        let slots_of = |id: &str| {
            let of = state
                .tasks
                .iter()
                .filter(move |it| it.monitor.id.as_str() == id);
            of.map(|task| task.slot).collect::<Vec<_>>()
        };
        assert_eq!(slots_of("a").len(), 8 + 2);
        let c = slots_of("c");
        assert!(!c.is_empty() && c.iter().all(|slot| (at(20)..=at(40)).contains(slot)));
        assert_eq!(state.rows.len(), 0);
    });
}

#[tokio::test(start_paused = true)]
async fn the_leader_answers_what_time_it_is() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(2)).await;
    let topic = Topic::ClockAnswer {
        checker: "c1".to_owned(),
    };
    let mut answers = fleet.broker.listen(&[topic]).await.unwrap();
    let question = ClockQuestion::new("c1".to_owned(), START);
    for payload in [b"garbage".to_vec(), encode(&question)] {
        let topic = Topic::ClockQuestion;
        let asked = Announcement { topic, payload };
        fleet.broker.announce(asked).await.unwrap();
    }
    let heard = timeout(MINUTE, answers.next()).await.unwrap().unwrap();
    let answer: ClockAnswer = decode(&heard.payload).unwrap();
    let now = START + Duration::from_secs(2);
    assert_eq!(answer, ClockAnswer::new(&question, now, now));
    fleet.stop().await;
}

impl Fleet {
    async fn trigger(&self, class: &str) {
        let message = CronMessage::new(Frequency::new(class).unwrap());
        self.trigger_raw(message.encode()).await;
    }

    async fn trigger_raw(&self, payload: Vec<u8>) {
        let route = Route::Cron;
        let messages = vec![Outgoing { route, payload }];
        self.broker.triggers().publish(messages).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        let left = self.broker.triggers().depth(&QueueName::Cron).await;
        assert_eq!(left.unwrap().ready, 0);
    }

    fn tasks_and_rows(&self) -> (usize, usize) {
        self.broker
            .with(|state| (state.tasks.len(), state.rows.len()))
    }
}

#[tokio::test(start_paused = true)]
async fn triggers_beside_the_internal_clock_change_nothing() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(monitors()).await;
    for _ in 0..30 {
        sleep(Duration::from_secs(2)).await;
        fleet.trigger("5s").await;
        fleet.trigger("5s").await;
    }
    fleet.trigger("never").await;
    fleet.trigger_raw(b"garbage".to_vec()).await;
    fleet.stop().await;
    fleet.assert_accounts(&monitors());
    let watermark = fleet.broker.with(|state| state.watermark.clone().unwrap());
    let expected = slots(&monitors(), START, watermark.watermark).len();
    assert_eq!(fleet.tasks_and_rows(), (expected, 0));
}

#[tokio::test(start_paused = true)]
async fn with_an_external_clock_only_what_is_triggered_runs_and_the_rest_is_missed_in_time() {
    let mut fleet = Fleet::new(Duration::from_secs(3), Vec::new()).await;
    fleet.internal_clock = false;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(fleet.tasks_and_rows(), (0, 0));
    for _ in 0..20 {
        sleep(Duration::from_secs(4)).await;
        fleet.trigger("5s").await;
        fleet.trigger("5s").await;
    }
    let (tasks, _) = fleet.tasks_and_rows();
    let triggered = &monitors()[..2];
    let now = fleet.clock.now();
    let expected = slots(triggered, START, now - Duration::from_secs(1)).len();
    assert!(
        tasks >= expected && tasks <= expected + 3,
        "{tasks} {expected}"
    );
    fleet.broker.with(|state| {
        assert!(state.rows.iter().all(|row| row.interval_us == 13_000_000));
        assert!(!state.rows.is_empty());
        let distinct: BTreeSet<_> = state
            .tasks
            .iter()
            .map(|task| (&task.monitor.id, &task.region, task.slot))
            .collect();
        assert_eq!(distinct.len(), state.tasks.len());
    });
    // A successor goes on where each class stood.
    fleet.start(monitors()).await;
    fleet.feeds[0].1.cancel();
    sleep(MINUTE * 3).await;
    fleet.stop().await;
    fleet.assert_accounts(&monitors());
    let (tasks_after, _) = fleet.tasks_and_rows();
    assert_eq!(tasks_after, tasks, "nothing was triggered");
}

#[tokio::test(start_paused = true)]
async fn a_region_without_queues_is_missed_and_no_other_waits_for_it() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    let iad = Region::new("iad").unwrap();
    fleet
        .broker
        .with(|state| state.closed_region = Some(iad.clone()));
    fleet.start(monitors()).await;
    sleep(MINUTE).await;
    fleet.stop().await;
    fleet.assert_accounts(&monitors());
    fleet.broker.with(|state| {
        assert!(!state.tasks.is_empty() && !state.rows.is_empty());
        assert!(state.tasks.iter().all(|task| task.region != iad));
        assert!(state.rows.iter().all(|row| row.region == iad));
    });
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_ends_unasked_is_an_error() {
    let mut fleet = Fleet::new(Duration::ZERO, Vec::new()).await;
    fleet.start(monitors()).await;
    sleep(Duration::from_secs(5)).await;
    fleet.feeds.clear();
    let ended = timeout(MINUTE, fleet.running.join_next()).await.unwrap();
    let ended = ended.unwrap().unwrap();
    assert!(matches!(ended, Err(DispatcherError::FeedEnded)));
}
