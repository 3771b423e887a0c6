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
    incidents: BTreeSet<uuid::Uuid>,
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
            incidents: BTreeSet::new(),
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
                self.incidents.insert(notice.incident.id);
                self.told
                    .push((notice.event, notice.incident.monitor.to_string()));
            }
        }
        self.engine.committed(decision);
    }

    /// A person ends the incident of a monitor: as the store does it.
    fn resolve_by_hand(&mut self, name: &str, now: Timestamp) {
        let kept = self.kept.get_mut(&(WorkspaceId::local(), id(name)));
        let kept = kept.expect("an incident is open");
        kept.version += 1;
        kept.body = serde_json::json!({ "since": now }).to_string();
    }

    fn catch_up(&mut self, now: Timestamp) {
        let kept = self.kept.values().cloned().collect();
        self.engine.catch_up(kept, now);
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
    for round in 0..6 {
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
fn who_slept_blames_nobody_for_the_silence() {
    let mut it = Fixture::new(&[monitor("a", &[]), monitor("b", &[])]);
    it.round(0, &[("a", Fine), ("b", Fine)]);
    // The store was away for an hour, and what was said meanwhile waits.
    it.engine.excuse(at(720));
    it.round(720, &[]);
    it.told(&[]);
    for round in 721..730 {
        it.round(round, &[("a", Fine)]);
    }
    it.told(&[(Opened, "b")]);
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

/// Twice in a row is down.
fn patient(name: &str) -> Arc<Monitor> {
    let mut monitor = (*monitor(name, &[])).clone();
    monitor.alert.fail_after = 2;
    Arc::new(monitor)
}

#[test]
fn what_a_person_ended_begins_anew_and_is_another_incident_when_it_goes_on() {
    let mut it = Fixture::new(&[patient("a"), patient("b")]);
    for round in 0..3 {
        it.round(round, &[("a", Failed), ("b", Failed)]);
    }
    it.told(&[(Opened, "a"), (Opened, "b")]);
    it.resolve_by_hand("a", at(2));
    it.catch_up(at(2));
    // What was under way says nothing any more, and once is not enough.
    it.round(2, &[("a", Failed)]);
    it.round(3, &[("a", Failed), ("b", Failed)]);
    it.told(&[(Opened, "a"), (Opened, "b")]);
    it.round(4, &[("a", Failed), ("b", Failed)]);
    it.told(&[(Opened, "a"), (Opened, "b"), (Opened, "a")]);
    assert_eq!(it.incidents.len(), 3);
    it.round(5, &[("a", Fine), ("b", Fine)]);
    assert_eq!(it.told.len(), 5, "each of the two recovered once");
}

#[test]
fn what_a_person_ended_is_not_ended_again_by_who_takes_over() {
    let monitors = [patient("a")];
    let mut it = Fixture::new(&monitors);
    it.round(0, &[("a", Failed)]);
    it.round(1, &[("a", Failed)]);
    it.resolve_by_hand("a", at(1));
    it.restart(&monitors, at(1));
    // Delivered again, both of them.
    it.round(0, &[("a", Failed)]);
    it.round(1, &[("a", Failed)]);
    it.round(2, &[("a", Fine)]);
    it.round(3, &[("a", Failed)]);
    it.round(4, &[("a", Fine)]);
    it.told(&[(Opened, "a")]);
    for round in 5..60 {
        it.round(round, &[("a", Fine)]);
    }
    assert!(it.kept.is_empty(), "nothing is kept of it in the end");
}

#[test]
fn of_silence_that_a_person_ended_people_hear_again_when_it_goes_on() {
    let mut it = Fixture::new(&[monitor("a", &[])]);
    let until = |it: &mut Fixture, seconds: std::ops::Range<u64>| {
        for second in seconds {
            it.decide(START + Duration::from_secs(second));
        }
    };
    until(&mut it, 0..40);
    it.told(&[(Opened, "a")]);
    let now = START + Duration::from_secs(40);
    it.resolve_by_hand("a", now);
    it.catch_up(now);
    until(&mut it, 40..60);
    it.told(&[(Opened, "a")]);
    until(&mut it, 60..80);
    it.told(&[(Opened, "a"), (Opened, "a")]);
    assert_eq!(it.incidents.len(), 2);
}

const HOUR: Duration = Duration::from_hours(1);

/// Once a day, and an hour of grace.
fn heartbeat() -> Arc<Monitor> {
    let mut monitor = Monitor::sample();
    monitor.id = id("backup");
    monitor.spec = sonde_core::Spec::Heartbeat(sonde_core::HeartbeatSpec { grace: HOUR });
    monitor.interval = HOUR * 24;
    monitor.regions = vec![Region::push()];
    monitor.alert = sonde_core::AlertRule::at_once();
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
