//! Rows of results in every order, with gaps, duplicates and restarts: what they decide.

use proptest::prelude::*;
use sonde_core::{CheckerInfo, Outcome, Region};

use super::*;

const START: i64 = 1_800_000_000_000_000;
/// `missed` is the last.
const OUTCOMES: [Outcome; 4] = Outcome::ALL;

fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

fn monitor(regions: &[&str], fail_after: u32, recover_after: u32, quorum: Quorum) -> Monitor {
    let mut monitor = Monitor::sample();
    monitor.regions = regions.iter().map(|name| region(name)).collect();
    monitor.alert = sonde_core::AlertRule {
        fail_after,
        recover_after,
        quorum,
        ..sonde_core::AlertRule::default()
    };
    monitor
}

fn slot(monitor: &Monitor, n: u32) -> Timestamp {
    Timestamp::from_micros(START) + monitor.interval * n
}

fn result(monitor: &Monitor, from: &str, n: u32, outcome: Outcome) -> CheckResult {
    let mut result = CheckResult::sample_executed(outcome, Duration::from_millis(10));
    result.slot = slot(monitor, n);
    result.region = region(from);
    result.interval_us = u64::try_from(monitor.interval.as_micros()).unwrap();
    result
}

/// One after the other, each a second after its slot.
fn follow(
    monitor: &Monitor,
    state: &mut MonitorState,
    results: impl IntoIterator<Item = CheckResult>,
) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for result in results {
        let now = result.slot + Duration::from_secs(1);
        state.observe(monitor, &result);
        transitions.extend(state.decide(monitor, now, |_| false));
    }
    transitions
}

fn new() -> MonitorState {
    MonitorState::new(Timestamp::from_micros(START))
}

/// `.` ok, `d` degraded, `f` failed, `m` missed.
fn row(monitor: &Monitor, from: &str, outcomes: &str) -> Vec<CheckResult> {
    let outcomes = outcomes.chars().zip(0..).map(|(outcome, n)| {
        let outcome = match outcome {
            '.' => Outcome::Ok,
            'd' => Outcome::Degraded,
            'f' => Outcome::Failed,
            _ => Outcome::Missed,
        };
        result(monitor, from, n, outcome)
    });
    outcomes.collect()
}

/// What a row of one region leads to, in words.
fn story(outcomes: &str) -> Vec<String> {
    told(&monitor(&["fra"], 2, 2, Quorum::Majority), outcomes)
}

fn told(monitor: &Monitor, outcomes: &str) -> Vec<String> {
    let transitions = follow(monitor, &mut new(), row(monitor, "fra", outcomes));
    let words = transitions.iter().map(|transition| match transition {
        Transition::Opened(it) => format!("{:?}", it.cause).to_lowercase(),
        Transition::Changed(it) => format!("now {:?}", it.cause).to_lowercase(),
        Transition::Resolved(_) => "resolved".to_owned(),
    });
    words.collect()
}

#[test]
fn both_edges_have_their_threshold() {
    for (outcomes, expected) in [
        ("....", &[][..]),
        (".f.f.f.", &[]),
        (".ff", &["down"]),
        (".ffffff", &["down"]),
        (".ff.f.f.", &["down"]),
        (".ff..", &["down", "resolved"]),
        (".dd", &["degraded"]),
        (".fd", &["degraded"]),
        (".ddff", &["degraded", "now down"]),
        (".ffdd", &["down", "now degraded"]),
        (".ffd.", &["down", "now degraded"]),
        (".ffd..", &["down", "now degraded", "resolved"]),
        (".fmf", &["down"]),
        (".mmm", &[]),
    ] {
        assert_eq!(story(outcomes), expected, "{outcomes}");
    }
}

#[test]
fn failures_within_so_many_checks_need_not_be_in_a_row() {
    for (outcomes, expected) in [
        (".f.f.", &[][..]),
        (".f.f.f", &["down"]),
        (".f..f..f", &[]),
        (".fff", &["down"]),
        (".d.f.d", &["degraded"]),
        // What it has recovered from does not count again.
        (".f.f.f..f", &["down", "resolved"]),
        (".f.f.f..f.f.f", &["down", "resolved", "down"]),
    ] {
        let mut monitor = monitor(&["fra"], 3, 2, Quorum::Majority);
        monitor.alert.within = Some(5);
        assert_eq!(told(&monitor, outcomes), expected, "{outcomes}");
    }
}

#[test]
fn what_two_regions_see_in_one_slot_is_confirmed() {
    let mut monitor = monitor(&["fra", "iad", "sin"], 3, 2, Quorum::Majority);
    monitor.alert.confirm = true;
    let of = |from, n, outcome| result(&monitor, from, n, outcome);
    let (fine, failed) = (Outcome::Ok, Outcome::Failed);
    for order in [
        ["fra", "iad", "sin"],
        ["sin", "iad", "fra"],
        ["iad", "sin", "fra"],
    ] {
        let mut state = new();
        let outcome = |name| if name == "sin" { fine } else { failed };
        let results = order.map(|name| of(name, 1, outcome(name)));
        let opened = follow(&monitor, &mut state, results);
        assert!(matches!(&opened[..], [Transition::Opened(it)] if it.cause == IncidentCause::Down));
        // One good check is not a recovery yet.
        let next = order.map(|name| of(name, 2, fine));
        assert_eq!(follow(&monitor, &mut state, next), []);
        let next = order.map(|name| of(name, 3, fine));
        assert_eq!(follow(&monitor, &mut state, next).len(), 1);
    }
    // Different slots confirm nothing.
    let apart = [
        of("fra", 1, failed),
        of("iad", 1, fine),
        of("fra", 2, fine),
        of("iad", 2, failed),
    ];
    assert_eq!(follow(&monitor, &mut new(), apart), []);
}

#[test]
fn a_witness_confirms_the_failure_that_it_was_asked_about() {
    let mut monitor = monitor(&["fra"], 3, 1, Quorum::Majority);
    monitor.alert.confirm = true;
    let mut state = new();
    follow(&monitor, &mut state, row(&monitor, "fra", "..f"));
    let failure = slot(&monitor, 2);
    assert_eq!(state.wants_witness(&monitor), Some(failure));
    // Another slot, and a region that sees the target well, say nothing.
    assert!(!state.witness(&monitor, &result(&monitor, "iad", 1, Outcome::Failed)));
    assert!(!state.witness(&monitor, &result(&monitor, "iad", 2, Outcome::Ok)));
    assert!(state.witness(&monitor, &result(&monitor, "iad", 2, Outcome::Failed)));
    let opened = state.decide(&monitor, failure + Duration::from_secs(2), |_| false);
    assert!(matches!(opened, Some(Transition::Opened(_))), "{opened:?}");
    assert_eq!(state.wants_witness(&monitor), None);
    let late = follow(
        &monitor,
        &mut state,
        [result(&monitor, "fra", 3, Outcome::Ok)],
    );
    assert!(matches!(&late[..], [Transition::Resolved(_)]), "{late:?}");
}

#[test]
fn what_is_muted_opens_nothing_and_silence_outlives_a_restart() {
    let monitor = monitor(&["fra"], 1, 1, Quorum::Any);
    let mut state = new();
    follow(&monitor, &mut state, row(&monitor, "fra", ".."));
    let later = slot(&monitor, 9);
    assert_eq!(state.decide(&monitor, later, |_| true), None);
    assert!(state.decide(&monitor, later, |_| false).is_some());
    let kept = state.kept(&monitor).unwrap();
    let restarted = later + Duration::from_secs(1);
    let mut state = MonitorState::restored(kept, restarted);
    assert_eq!(state.decide(&monitor, restarted, |_| false), None);
    let heard = follow(
        &monitor,
        &mut state,
        [result(&monitor, "fra", 10, Outcome::Ok)],
    );
    assert!(matches!(&heard[..], [Transition::Resolved(_)]), "{heard:?}");
}

#[test]
fn enough_regions_must_agree_and_only_those_that_were_heard() {
    for (quorum, failing, expected) in [
        (Quorum::Any, 1, true),
        (Quorum::Majority, 1, false),
        (Quorum::Majority, 2, true),
        (Quorum::All, 2, false),
        (Quorum::All, 3, true),
        (Quorum::Count(2), 1, false),
        (Quorum::Count(9), 3, true),
        (Quorum::Percent(50), 1, false),
        (Quorum::Percent(50), 2, true),
    ] {
        let names = ["fra", "iad", "sin"];
        let monitor = monitor(&names, 1, 1, quorum);
        let mut state = new();
        let results = names.iter().zip(0..).map(|(name, n)| {
            let outcome = OUTCOMES[if n < failing { 2 } else { 0 }];
            result(&monitor, name, 0, outcome)
        });
        let opened = !follow(&monitor, &mut state, results).is_empty();
        assert_eq!(opened, expected, "{quorum:?} with {failing} of 3");
    }
}

#[test]
fn one_region_of_six_opens_nothing_and_is_shown() {
    let names = ["fra", "iad", "sin", "gru", "nrt", "jnb"];
    let monitor = monitor(&names, 2, 2, Quorum::Majority);
    let mut state = new();
    let rows = names.map(|name| {
        row(
            &monitor,
            name,
            if name == "gru" { ".ffff" } else { "....." },
        )
    });
    assert_eq!(follow(&monitor, &mut state, rows.into_iter().flatten()), []);
    let views = state.regions(&monitor, slot(&monitor, 5)).into_iter();
    let down: Vec<_> = views.filter(|it| it.verdict == Verdict::Down).collect();
    assert_eq!(down.len(), 1);
    assert_eq!(down[0].region, region("gru"));
}

#[test]
fn a_region_that_is_silent_is_not_asked_and_silence_everywhere_is_unknown() {
    let monitor = monitor(&["fra", "iad"], 1, 1, Quorum::All);
    let mut state = new();
    follow(&monitor, &mut state, row(&monitor, "fra", "......f"));
    // `iad` was never heard of, and waited for long enough.
    assert_eq!(state.incident().unwrap().cause, IncidentCause::Down);

    let mut state = new();
    follow(&monitor, &mut state, row(&monitor, "fra", "...."));
    let quiet = state.look_again_at(&monitor, slot(&monitor, 3));
    assert_eq!(
        state.decide(&monitor, quiet - Duration::from_secs(20), |_| false),
        None
    );
    let later = slot(&monitor, 9);
    let Some(Transition::Opened(incident)) = state.decide(&monitor, later, |_| false) else {
        unreachable!("nothing was heard for six intervals");
    };
    assert_eq!(incident.cause, IncidentCause::Unknown);
    let heard = [result(&monitor, "fra", 9, Outcome::Ok)];
    let resolved = follow(&monitor, &mut state, heard);
    assert!(
        matches!(&resolved[..], [Transition::Resolved(_)]),
        "{resolved:?}"
    );
}

#[test]
fn what_says_nothing_of_the_target_opens_nothing() {
    let monitor = monitor(&["fra"], 1, 1, Quorum::Any);
    for hurt in [
        (|it| it.suspect = true) as fn(&mut CheckResult),
        |it| it.in_maintenance = true,
        |it| it.region = region("elsewhere"),
    ] {
        let mut failed = result(&monitor, "fra", 0, Outcome::Failed);
        hurt(&mut failed);
        assert_eq!(follow(&monitor, &mut new(), [failed]), []);
    }
}

#[test]
fn a_target_that_flaps_has_one_incident_until_it_is_calm() {
    let monitor = monitor(&["fra"], 1, 1, Quorum::Any);
    let mut state = new();
    let outcomes = "f.f.f.f.f..........";
    let transitions = follow(&monitor, &mut state, row(&monitor, "fra", outcomes));
    let flapping = |it: &&Transition| matches!(it, Transition::Opened(it) if it.flapping);
    assert_eq!(transitions.iter().filter(flapping).count(), 1);
    // Two short ones, and one that stays open over what comes and goes.
    assert_eq!(transitions.len(), 5, "{transitions:#?}");
    assert!(state.incident().is_some());
    let calm = (19..21).map(|n| result(&monitor, "fra", n, Outcome::Ok));
    assert_eq!(follow(&monitor, &mut state, calm).len(), 1);
    assert!(state.incident().is_none());
}

#[test]
fn a_late_result_completes_a_row_and_what_is_later_changes_nothing() {
    let monitor = monitor(&["fra"], 2, 2, Quorum::Any);
    let at = |n, outcome| result(&monitor, "fra", n, outcome);
    let (ok, failed) = (Outcome::Ok, Outcome::Failed);
    let mut state = new();
    // Between two failures something is missing: it may have been well.
    assert_eq!(
        follow(
            &monitor,
            &mut state,
            [at(0, ok), at(1, failed), at(3, failed)]
        ),
        []
    );
    assert_eq!(follow(&monitor, &mut state, [at(2, ok)]), []);
    let mut state = new();
    follow(
        &monitor,
        &mut state,
        [at(0, ok), at(1, failed), at(3, failed)],
    );
    assert_eq!(follow(&monitor, &mut state, [at(2, failed)]).len(), 1);
    assert!(!state.observe(&monitor, &at(0, failed)), "it is settled");
}

/// The order in which results come: each when no slot more than two later was seen.
fn arrivals(count: u32) -> impl Strategy<Value = Vec<(u32, usize, u32)>> {
    let one = (0..count, 0_usize..4, 0_u32..=2);
    proptest::collection::vec(one, 0..40).prop_map(|mut all| {
        all.sort_by_key(|(slot, _, delay)| slot + delay);
        all
    })
}

proptest! {
    #[test]
    fn every_order_in_time_ends_the_same(arrivals in arrivals(12), fail_after in 1_u32..4) {
        let monitor = monitor(&["fra"], fail_after, 2, Quorum::Any);
        let results: Vec<_> = arrivals.iter().enumerate().map(|(n, (slot, outcome, _))| {
            let mut result = result(&monitor, "fra", *slot, OUTCOMES[*outcome]);
            // Of duplicates one is kept, whatever they say.
            result.checker = Some(CheckerInfo { id: format!("c{n}"), version: String::new() });
            result
        }).collect();
        let mut sorted = results.clone();
        sorted.sort_by_key(|result| result.slot);
        let ends = [results, sorted].map(|results| {
            let mut state = new();
            follow(&monitor, &mut state, results);
            // That an incident was open in between may be remembered.
            let kept = state.kept(&monitor).map_or_else(BTreeMap::new, |kept| kept.regions);
            let kept = serde_json::to_value(kept).unwrap();
            (kept, state.regions(&monitor, slot(&monitor, 12)))
        });
        prop_assert_eq!(&ends[0], &ends[1]);
    }

    #[test]
    fn down_and_recovered_take_turns_whatever_happens(
        arrivals in arrivals(60),
        events in proptest::collection::vec((0_usize..3, 0_usize..3, 0_u32..20), 40),
    ) {
        let names = ["fra", "iad", "sin"];
        let monitor = monitor(&names, 1, 1, Quorum::Majority);
        let mut state = new();
        let mut open = None;
        for ((n, outcome, _), (from, event, silence)) in arrivals.into_iter().zip(events) {
            let result = result(&monitor, names[from], n, OUTCOMES[outcome]);
            state.observe(&monitor, &result);
            if event == 0 {
                let kept = serde_json::to_string(&state.kept(&monitor)).unwrap();
                let kept: Option<KeptState> = serde_json::from_str(&kept).unwrap();
                state = kept.map_or_else(new, |kept| MonitorState::restored(kept, result.slot));
            }
            let now = result.slot + monitor.interval * silence;
            match state.decide(&monitor, now, |_| false) {
                Some(Transition::Opened(it)) => prop_assert_eq!(open.replace(it.id), None),
                Some(Transition::Changed(it)) => prop_assert_eq!(open, Some(it.id)),
                Some(Transition::Resolved(it)) => prop_assert_eq!(open.take(), Some(it.id)),
                None => {}
            }
            prop_assert_eq!(open, state.incident().map(|it| it.id));
        }
    }

    #[test]
    fn a_restart_between_two_results_changes_nothing(
        outcomes in proptest::collection::vec((0_usize..3, any::<bool>()), 1..40),
        fail_after in 1_u32..4,
    ) {
        let monitor = monitor(&["fra"], fail_after, 2, Quorum::Any);
        let (mut one, mut other) = (new(), new());
        for ((outcome, restart), n) in outcomes.into_iter().zip(0..) {
            let result = result(&monitor, "fra", n, OUTCOMES[outcome]);
            let expected = follow(&monitor, &mut one, [result.clone()]);
            let found = follow(&monitor, &mut other, [result.clone()]);
            prop_assert_eq!(&expected, &found);
            if restart {
                let kept = other.kept(&monitor);
                let since = Timestamp::from_micros(START);
                other = kept.map_or_else(new, |kept| MonitorState::restored(kept, since));
                // What was not acknowledged comes again.
                prop_assert_eq!(follow(&monitor, &mut other, [result]), []);
            }
        }
    }
}
