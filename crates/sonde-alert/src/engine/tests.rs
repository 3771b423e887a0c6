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
            engine: Engine::restored(monitors.iter().cloned(), Vec::new(), START),
            routes,
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

    /// As the store does it.
    fn decide(&mut self, now: Timestamp) {
        let decision = self.engine.decide(&self.routes, now);
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
        self.engine = Engine::restored(monitors.iter().cloned(), kept, now);
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

const HOUR: Duration = Duration::from_hours(1);

/// Once a day, and an hour of grace.
fn heartbeat() -> Arc<Monitor> {
    let mut monitor = Monitor::sample();
    monitor.id = id("backup");
    monitor.spec = sonde_core::Spec::Heartbeat(sonde_core::HeartbeatSpec { grace: HOUR });
    monitor.interval = HOUR * 24;
    monitor.regions = vec![Region::push()];
    monitor.alert = sonde_core::AlertRule::of_heartbeat();
    Arc::new(monitor)
}

impl Fixture {
    fn ping(&mut self, hour: u32, outcome: Outcome) {
        let result = CheckResult::of_heartbeat(&heartbeat(), START + HOUR * hour, outcome);
        self.engine.observe(&result);
        self.decide(START + HOUR * hour + Duration::from_secs(1));
    }

    /// Says what is late, as the alerter does; at these hours it was.
    #[track_caller]
    fn late_by(&mut self, hour: u32, expected: &[u64]) {
        let now = START + HOUR * hour;
        self.decide(now);
        let late = self.engine.take_late(now, |_, _| false);
        for result in &late {
            assert_eq!(result.reason, Some(sonde_core::Reason::HeartbeatLate));
            self.engine.observe(result);
        }
        self.decide(now);
        let hours = late.iter().map(|it| it.slot.since(START).as_secs() / 3600);
        assert_eq!(hours.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_heartbeat_that_stays_away_is_told_once_and_so_is_that_it_came() {
    let mut it = Fixture::new(&[heartbeat()]);
    it.late_by(24, &[]);
    it.ping(24, Fine);
    it.late_by(49, &[49]);
    it.told(&[(Opened, "backup")]);
    it.late_by(72, &[]);
    it.late_by(100, &[73, 97]);
    it.told(&[(Opened, "backup")]);
    it.ping(101, Fine);
    it.told(&[(Opened, "backup"), (Resolved, "backup")]);
    it.late_by(125, &[]);
}

#[test]
fn a_restart_moves_no_deadline_and_a_pause_begins_anew() {
    let mut it = Fixture::new(&[heartbeat()]);
    it.ping(2, Fine);
    for hour in [3, 10, 26] {
        it.restart(&[heartbeat()], START + HOUR * hour);
        it.late_by(hour, &[]);
    }
    it.restart(&[heartbeat()], START + HOUR * 80);
    it.late_by(80, &[27, 51, 75]);
    it.restart(&[heartbeat()], START + HOUR * 81);
    it.late_by(81, &[]);

    let mut paused = Monitor::clone(&heartbeat());
    paused.paused = true;
    it.engine.watch_only(&[Arc::new(paused)], START + HOUR * 82);
    it.decide(START + HOUR * 82);
    it.engine.watch_only(&[heartbeat()], START + HOUR * 200);
    it.late_by(200, &[]);
    it.late_by(224, &[]);
    it.late_by(225, &[225]);
}

#[test]
fn what_a_job_says_of_itself_is_told_at_once_and_again_changes_nothing() {
    let mut it = Fixture::new(&[heartbeat()]);
    it.ping(1, Failed);
    it.told(&[(Opened, "backup")]);
    it.ping(2, Fine);
    it.ping(1, Failed);
    it.restart(&[heartbeat()], START + HOUR * 3);
    it.ping(1, Failed);
    it.told(&[(Opened, "backup"), (Resolved, "backup")]);
}

#[test]
fn a_late_heartbeat_is_quiet_in_maintenance_and_what_depends_on_it_does_not_wait() {
    let mut child = Monitor::clone(&monitor("child", &["backup"]));
    child.interval = INTERVAL;
    let mut it = Fixture::new(&[heartbeat(), Arc::new(child)]);
    it.round(1, &[("child", Failed)]);
    it.told(&[(Opened, "child")]);
    it.round(2, &[("child", Fine)]);
    let now = START + HOUR * 26;
    it.decide(now);
    assert!(it.engine.has_late());
    for result in it.engine.take_late(now, |_, _| true) {
        assert!(result.in_maintenance);
        it.engine.observe(&result);
    }
    it.decide(now);
    let backup = it.told.iter().filter(|(_, monitor)| monitor == "backup");
    assert_eq!(backup.count(), 0);
}

/// Days to the end of the certificate that a round shows, which is fine otherwise.
fn certificate(it: &mut Fixture, round: u32, days: u32) {
    let mut result = CheckResult::sample_executed(Fine, Duration::from_millis(5));
    result.monitor = id("shop");
    result.slot = START + INTERVAL * round;
    result.interval_us = 5_000_000;
    let ends = at(round) + HOUR * 24 * days;
    result.tls = serde_json::from_value(serde_json::json!({ "certificates": [{
        "subject": "", "issuer": "", "san": [], "not_before": START, "not_after": ends, "sha256": "",
    }] }))
    .unwrap();
    it.engine.observe(&result);
    it.decide(at(round));
}

#[test]
fn a_certificate_that_ends_is_told_beside_what_else_is_wrong_and_ends_with_its_monitor() {
    let shop = [monitor("shop", &[])];
    let mut it = Fixture::new(&shop);
    certificate(&mut it, 0, 90);
    it.told(&[]);
    certificate(&mut it, 1, 29);
    certificate(&mut it, 2, 28);
    it.restart(&shop, at(2));
    certificate(&mut it, 3, 27);
    it.told(&[(Opened, "shop")]);
    // Down all the while, and up again: that is another incident.
    it.round(4, &[("shop", Failed)]);
    certificate(&mut it, 5, 27);
    let mut expected = vec![(Opened, "shop"), (Opened, "shop"), (Resolved, "shop")];
    it.told(&expected);
    certificate(&mut it, 6, 13);
    certificate(&mut it, 7, 13);
    certificate(&mut it, 8, 90);
    expected.extend([(NoticeEvent::Changed, "shop"), (Resolved, "shop")]);
    it.told(&expected);
    certificate(&mut it, 9, 2);
    it.restart(&[], at(10));
    it.decide(at(10));
    expected.extend([(Opened, "shop"), (Resolved, "shop")]);
    it.told(&expected);
    assert!(it.kept.is_empty());
}
