//! Many monitors, some of which depend on others: who is told, and what is written down.

use std::collections::BTreeSet;

use sonde_core::Outcome;
use sonde_notify::{Notice, NoticeEvent};

use super::*;
use crate::Route;

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const INTERVAL: Duration = Duration::from_secs(5);

fn id(name: &str) -> MonitorId {
    MonitorId::new(name).unwrap()
}

fn at(round: u32) -> Timestamp {
    START + INTERVAL * round + Duration::from_secs(1)
}

fn monitor(name: &str, depends_on: &[&str]) -> Arc<Monitor> {
    let mut monitor = Monitor::sample();
    monitor.id = id(name);
    monitor.interval = INTERVAL;
    monitor.alert.fail_after = 1;
    monitor.alert.recover_after = 1;
    monitor.depends_on = depends_on.iter().map(|name| id(name)).collect();
    Arc::new(monitor)
}

/// An engine whose decisions are always written down.
struct Fixture {
    engine: Engine,
    routes: Routes,
    calendar: Calendar,
    asked: Vec<(String, String)>,
    /// As the store keeps them.
    kept: HashMap<Key, KeptAlert>,
    told: Vec<(NoticeEvent, String)>,
    told_ids: BTreeSet<uuid::Uuid>,
}

impl Fixture {
    fn new(monitors: &[Arc<Monitor>]) -> Self {
        let config = serde_json::from_str(r#"{"send":{"exec":{"command":"/bin/true"}}}"#).unwrap();
        let route = Route {
            id: "all".to_owned(),
            config,
        };
        let mut routes = Routes::default();
        routes.channels.insert(WorkspaceId::local(), vec![route]);
        Self {
            engine: Engine::restored(monitors.iter().cloned(), Vec::new(), 1, START),
            routes,
            calendar: Calendar::default(),
            asked: Vec::new(),
            kept: HashMap::new(),
            told: Vec::new(),
            told_ids: BTreeSet::new(),
        }
    }

    fn round(&mut self, round: u32, outcomes: &[(&str, Outcome)]) {
        for (name, outcome) in outcomes {
            let mut result = CheckResult::sample_executed(*outcome, Duration::from_millis(5));
            result.monitor = id(name);
            result.slot = START + INTERVAL * round;
            result.interval_us = 5_000_000;
            self.engine.observe(&result);
        }
        self.decide(at(round));
    }

    /// In parts, as the alerter does it.
    fn decide(&mut self, now: Timestamp) {
        loop {
            let decision = self.engine.decide(&self.routes, &mut self.calendar, now, 7);
            self.write(decision);
            if !self.engine.has_more() {
                return;
            }
        }
    }

    /// As the store does it.
    fn write(&mut self, decision: Decision) {
        for state in &decision.change.states {
            let key = (state.workspace.clone(), state.monitor.clone());
            let version = self.kept.get(&key).map_or(0, |kept| kept.version);
            assert_eq!(state.expected, version, "{}", state.monitor);
            match &state.body {
                None => drop(self.kept.remove(&key)),
                Some(body) => {
                    let kept = KeptAlert {
                        workspace: key.0.clone(),
                        monitor: key.1.clone(),
                        version: version + 1,
                        body: body.clone(),
                    };
                    self.kept.insert(key, kept);
                }
            }
        }
        let asks = decision.asks.iter();
        let asks = asks.map(|ask| (ask.monitor.id.to_string(), ask.region.to_string()));
        self.asked.extend(asks);
        for new in &decision.change.notices {
            let notice: Notice = serde_json::from_str(&new.body).unwrap();
            let known = self.told.iter().any(|(event, of)| {
                *event == NoticeEvent::Opened && of == notice.incident.monitor.as_str()
            });
            if (!new.follows || known) && self.told_ids.insert(new.id) {
                self.told
                    .push((notice.event, notice.incident.monitor.to_string()));
            }
        }
        self.engine.committed(decision);
    }

    /// Another process takes over.
    fn restart(&mut self, monitors: &[Arc<Monitor>], now: Timestamp) {
        let kept = self.kept.values().cloned().collect();
        self.engine = Engine::restored(monitors.iter().cloned(), kept, 1, now);
    }

    #[track_caller]
    fn told(&self, expected: &[(NoticeEvent, &str)]) {
        let told: Vec<_> = self
            .told
            .iter()
            .map(|(event, of)| (*event, of.as_str()))
            .collect();
        assert_eq!(told, expected);
    }
}

use NoticeEvent::{Opened, Resolved};
use Outcome::{Failed, Ok as Fine};

#[test]
fn healthy_monitors_are_not_written_down_and_failing_ones_once() {
    let mut it = Fixture::new(&[monitor("a", &[]), monitor("b", &[])]);
    it.round(0, &[("a", Fine), ("b", Fine)]);
    assert!(it.kept.is_empty());
    for round in 1..20 {
        it.round(round, &[("a", Fine), ("b", Failed)]);
    }
    assert_eq!(
        it.kept
            .values()
            .map(|kept| kept.version)
            .collect::<Vec<_>>(),
        [1]
    );
    it.told(&[(Opened, "b")]);
    it.round(20, &[("a", Fine), ("b", Fine)]);
    it.told(&[(Opened, "b"), (Resolved, "b")]);
}

#[test]
fn one_parent_is_told_and_none_of_five_hundred_behind_it() {
    let names: Vec<String> = (0..500).map(|n| format!("c{n}")).collect();
    let mut monitors = vec![monitor("gateway", &[])];
    monitors.extend(names.iter().map(|name| monitor(name, &["gateway"])));
    let mut it = Fixture::new(&monitors);
    let all = |outcome| -> Vec<(&str, Outcome)> {
        names.iter().map(|name| (name.as_str(), outcome)).collect()
    };
    it.round(0, &all(Fine));
    it.round(0, &[("gateway", Fine)]);
    // The children fail first: that of the gateway is known only later.
    it.round(1, &all(Failed));
    it.told(&[]);
    it.round(1, &[("gateway", Failed)]);
    it.round(2, &all(Failed));
    it.restart(&monitors, at(2));
    it.round(3, &all(Failed));
    it.told(&[(Opened, "gateway")]);
    it.round(4, &[("gateway", Fine)]);
    it.round(4, &all(Fine));
    it.told(&[(Opened, "gateway"), (Resolved, "gateway")]);
    assert!(
        it.kept.len() <= 501,
        "what was flapping of late may be kept"
    );
}

#[test]
fn a_child_is_told_when_its_parent_is_well_and_when_it_stays_down_alone() {
    let monitors = [monitor("gateway", &[]), monitor("shop", &["gateway"])];
    let mut it = Fixture::new(&monitors);
    it.round(0, &[("gateway", Fine), ("shop", Fine)]);
    it.round(1, &[("gateway", Fine), ("shop", Failed)]);
    it.told(&[(Opened, "shop")]);
    it.round(2, &[("gateway", Fine), ("shop", Fine)]);

    it.told.clear();
    it.round(3, &[("gateway", Failed), ("shop", Failed)]);
    it.round(4, &[("gateway", Fine), ("shop", Failed)]);
    it.told(&[(Opened, "gateway"), (Resolved, "gateway")]);
    for round in 5..9 {
        it.round(round, &[("gateway", Fine), ("shop", Failed)]);
    }
    it.told(&[(Opened, "gateway"), (Resolved, "gateway"), (Opened, "shop")]);
}

#[test]
fn a_parent_of_which_nothing_is_heard_does_not_keep_its_child_quiet_for_ever() {
    let mut it = Fixture::new(&[monitor("gateway", &[]), monitor("shop", &["gateway"])]);
    it.round(0, &[("shop", Fine)]);
    it.round(1, &[("shop", Failed)]);
    it.told(&[]);
    for round in 2..6 {
        it.round(round, &[("shop", Failed)]);
    }
    assert!(
        it.told.contains(&(Opened, "shop".to_owned())),
        "{:?}",
        it.told
    );
}

#[test]
fn monitors_in_a_circle_end_the_search() {
    let mut it = Fixture::new(&[monitor("a", &["b"]), monitor("b", &["a"])]);
    for round in 0..9 {
        it.round(round, &[("a", Failed), ("b", Failed)]);
    }
}

#[test]
fn what_is_paused_or_removed_ends_its_incident_also_when_nobody_looked() {
    let monitors = [monitor("a", &[]), monitor("b", &[])];
    let mut it = Fixture::new(&monitors);
    it.round(0, &[("a", Failed), ("b", Failed)]);
    let mut paused = (*monitors[0]).clone();
    paused.paused = true;
    it.engine.watch(Arc::new(paused), at(1));
    it.decide(at(1));
    it.told(&[(Opened, "a"), (Opened, "b"), (Resolved, "a")]);
    // `b` is removed while no alerter runs.
    it.restart(&[], at(2));
    it.decide(at(2));
    assert_eq!(it.told.last(), Some(&(Resolved, "b".to_owned())));
    assert!(it.kept.is_empty());
}

#[test]
fn silence_is_noticed_without_a_result() {
    let mut it = Fixture::new(&[monitor("a", &[])]);
    it.round(0, &[("a", Fine)]);
    for seconds in 0..60 {
        it.decide(START + Duration::from_secs(seconds));
    }
    it.told(&[(Opened, "a")]);
    it.round(12, &[("a", Fine)]);
    it.told(&[(Opened, "a"), (Resolved, "a")]);
}

#[test]
fn what_people_asked_for_in_between_decides_nothing() {
    let mut it = Fixture::new(&[monitor("a", &[])]);
    let mut result = CheckResult::sample_executed(Failed, Duration::from_millis(5));
    result.monitor = id("a");
    result.slot = START;
    result.trigger = Trigger::OnDemand;
    it.engine.observe(&result);
    it.decide(at(0));
    it.told(&[]);
}

#[test]
fn a_region_that_is_silent_is_one_incident_and_its_targets_have_none() {
    let regions = |monitor: Arc<Monitor>, names: &[&str]| {
        let mut monitor = Arc::unwrap_or_clone(monitor);
        monitor.regions = names
            .iter()
            .map(|name| Region::new(name).unwrap())
            .collect();
        Arc::new(monitor)
    };
    let mut monitors = vec![monitor("a", &[]), monitor("b", &[]), monitor("c", &[])];
    monitors.push(regions(monitor("both", &[]), &["local", "iad"]));
    monitors.push(regions(monitor("there", &[]), &["iad"]));
    let mut it = Fixture::new(&monitors);
    let fine = [("a", Fine), ("b", Fine), ("c", Fine), ("both", Fine)];
    for round in 0..3 {
        it.round(round, &fine);
    }
    it.told(&[(Opened, "@iad")]);
    it.restart(&monitors, at(9));
    it.decide(at(9));
    for round in 10..12 {
        it.round(round, &fine);
    }
    // Nothing is heard of `iad` still, which is no other incident.
    it.told(&[(Opened, "@iad")]);
    let mut result = CheckResult::sample_executed(Fine, Duration::from_millis(5));
    result.monitor = id("there");
    result.region = Region::new("iad").unwrap();
    result.slot = START + INTERVAL * 12;
    result.interval_us = 5_000_000;
    it.engine.observe(&result);
    it.round(12, &fine);
    it.told(&[(Opened, "@iad"), (Resolved, "@iad")]);
    assert!(it.kept.is_empty(), "{:?}", it.kept);
}

#[test]
fn one_first_failure_is_shown_to_other_regions_once() {
    let mut careful = Arc::unwrap_or_clone(monitor("careful", &[]));
    careful.alert.confirm = true;
    careful.alert.fail_after = 3;
    let mut there = Arc::unwrap_or_clone(monitor("there", &[]));
    there.regions = vec![Region::new("iad").unwrap()];
    let mut it = Fixture::new(&[Arc::new(careful), Arc::new(there)]);
    it.round(0, &[("careful", Fine)]);
    it.round(1, &[("careful", Failed)]);
    it.round(1, &[]);
    let expected = ("careful".to_owned(), "iad".to_owned());
    assert_eq!(it.asked, [expected]);
    let mut seen = CheckResult::sample_executed(Failed, Duration::from_millis(5));
    seen.monitor = id("careful");
    seen.region = Region::new("iad").unwrap();
    seen.trigger = Trigger::OnDemand;
    seen.slot = START + INTERVAL;
    it.engine.observe(&seen);
    it.decide(at(1));
    it.told(&[(Opened, "careful")]);
}

#[test]
fn what_is_in_maintenance_now_opens_nothing() {
    let mut it = Fixture::new(&[monitor("a", &[])]);
    let window = serde_json::json!({ "from": START, "to": at(20) });
    let body =
        serde_json::json!({ "title": "move", "monitors": "all", "schedule": { "once": window } });
    let change = sonde_store::MaintenanceChange {
        workspace: WorkspaceId::local(),
        id: "move".to_owned(),
        body: Some(body.to_string()),
    };
    it.calendar.apply(vec![change], true);
    it.round(0, &[("a", Fine)]);
    it.round(15, &[]);
    it.told(&[]);
    it.round(40, &[]);
    it.told(&[(Opened, "a")]);
}
