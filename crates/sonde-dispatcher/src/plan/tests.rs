//! Which slots are planned, however time and configuration move.

use proptest::prelude::*;

use super::*;

const START: i64 = 1_763_640_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(START) + Duration::from_secs(seconds)
}

fn monitor(id: &str, seconds: u64) -> Arc<Monitor> {
    let mut monitor = Monitor::sample();
    monitor.id = MonitorId::new(id).unwrap();
    monitor.interval = Duration::from_secs(seconds);
    Arc::new(monitor)
}

/// All steps up to `now` in one.
fn catch_up(schedule: &mut Schedule, now: Timestamp) -> Plan {
    let mut whole = schedule.advance(now);
    while whole.is_behind(now) {
        let step = schedule.advance(now);
        assert!(step.watermark.since(whole.watermark) <= LONGEST_STEP && step.gap.is_none());
        whole.due.extend(step.due);
        whole.missed.extend(step.missed);
        whole.watermark = step.watermark;
    }
    whole
}

fn slots(due: &[Due]) -> Vec<(MonitorId, Timestamp)> {
    let mut slots: Vec<_> = due
        .iter()
        .map(|due| (due.monitor.id.clone(), due.slot))
        .collect();
    slots.sort();
    slots
}

#[test]
fn every_slot_is_planned_once_however_often_it_ticks() {
    let monitors = [monitor("a", 5), monitor("b", 7)];
    let mut often = Schedule::new(&monitors, at(0));
    let mut due = Vec::new();
    for second in 0..60 {
        let plan = often.advance(at(second));
        assert!(plan.missed.is_empty() && plan.gap.is_none());
        due.extend(plan.due);
        assert_eq!(often.advance(at(second)).due, []);
    }
    let expected = monitors.iter().flat_map(|monitor| {
        let cadence = Cadence::new(&monitor.workspace, &monitor.id, monitor.interval);
        let slots: Vec<_> = cadence
            .between(at(0), at(59) + Duration::from_micros(1))
            .collect();
        slots.into_iter().map(|slot| Due {
            monitor: Arc::clone(monitor),
            slot,
        })
    });
    assert_eq!(slots(&due), slots(&expected.collect::<Vec<_>>()));
}

#[test]
fn after_a_pause_the_last_slot_runs_and_the_others_are_missed() {
    let mut schedule = Schedule::new(&[monitor("a", 5)], at(0));
    let plan = catch_up(&mut schedule, at(52));
    assert_eq!(plan.due.len(), 1);
    assert!(plan.due[0].slot + Duration::from_secs(5) > at(52));
    assert!(
        (9..=10).contains(&plan.missed.len()),
        "{}",
        plan.missed.len()
    );
    assert_eq!(plan.gap, None);
}

#[test]
fn a_long_outage_is_one_gap_and_one_hour_of_missed_rows() {
    let mut schedule = Schedule::new(&[monitor("a", 60)], at(0));
    let plan = catch_up(&mut schedule, at(7 * 86_400));
    let to = at(7 * 86_400 - 3600);
    assert_eq!(plan.gap, Some(DispatchGap { from: at(0), to }));
    assert!(
        (59..=60).contains(&plan.missed.len()),
        "{}",
        plan.missed.len()
    );
    assert!(plan.missed.iter().all(|missed| missed.slot >= to));
}

#[test]
fn a_long_outage_costs_no_slot_that_can_still_be_executed() {
    let day = 86_400;
    for hours in 2..24 {
        let mut schedule = Schedule::new(&[monitor("daily", day), monitor("a", 60)], at(0));
        let now = at(hours * 3600);
        let plan = catch_up(&mut schedule, now);
        assert!(plan.gap.is_some());
        let daily = monitor("daily", day);
        let cadence = Cadence::new(&daily.workspace, &daily.id, daily.interval);
        let slots: Vec<_> = cadence.between(at(0), now).collect();
        let due = plan.due.iter().filter(|due| due.monitor.id == daily.id);
        assert_eq!(due.map(|due| due.slot).collect::<Vec<_>>(), slots);
        // What comes next is not planned twice.
        let next = catch_up(&mut schedule, now + Duration::from_secs(day));
        let due = next.due.iter().chain(&next.missed);
        let due = due.filter(|due| due.monitor.id == daily.id);
        assert_eq!(due.count(), 1);
    }
}

#[test]
fn a_clock_that_goes_back_a_little_repeats_nothing() {
    let mut schedule = Schedule::new(&[monitor("a", 5)], at(0));
    schedule.advance(at(20));
    let plan = schedule.advance(at(10));
    assert!(plan.is_empty());
    assert_eq!(plan.watermark, at(20) + Duration::from_micros(1));
}

#[test]
fn a_clock_that_is_set_back_goes_on_from_there() {
    let mut schedule = Schedule::new(&[monitor("a", 5)], at(7 * 86_400));
    let plan = schedule.advance(at(100));
    assert_eq!(plan.watermark, at(100) + Duration::from_micros(1));
    assert_eq!(catch_up(&mut schedule, at(104)).due.len(), 1);
}

#[test]
fn a_paused_monitor_is_not_due() {
    let mut paused = Monitor::sample();
    paused.paused = true;
    let mut schedule = Schedule::new(&[Arc::new(paused)], at(0));
    assert_eq!(schedule.next_slot(), None);
    assert!(schedule.advance(at(60)).due.is_empty());
}

proptest! {
    #[test]
    fn replacing_the_monitors_neither_repeats_nor_skips_a_slot(
        ticks in prop::collection::vec(0_u64..4_900, 1..40), replace_at in 0_usize..40
    ) {
        let monitors = [monitor("a", 5), monitor("b", 11)];
        let mut schedule = Schedule::new(&monitors, at(0));
        let (mut now, mut planned) = (at(0), Vec::new());
        for (n, step) in ticks.iter().enumerate() {
            now = now + Duration::from_millis(*step);
            if n == replace_at {
                schedule.replace(&monitors);
            }
            let plan = schedule.advance(now);
            planned.extend(plan.due);
            planned.extend(plan.missed);
        }
        let mut all = Vec::new();
        for monitor in &monitors {
            let cadence = Cadence::new(&monitor.workspace, &monitor.id, monitor.interval);
            for slot in cadence.between(at(0), now + Duration::from_micros(1)) {
                all.push(Due { monitor: Arc::clone(monitor), slot });
            }
        }
        prop_assert_eq!(slots(&planned), slots(&all));
    }
}

/// A configuration with some of four monitors, each in one of its versions.
fn changes(complete: bool, picked: &[(usize, u64, bool)]) -> Changes {
    let changed = picked.iter().map(|(n, seconds, paused)| {
        let mut changed = Monitor::clone(&monitor(["a", "b", "c", "d"][n % 4], *seconds));
        changed.paused = *paused;
        changed
    });
    let mut changes = Changes {
        complete,
        ..Changes::default()
    };
    // The last version of each counts.
    let by_id: std::collections::BTreeMap<_, _> = changed.map(|it| (it.id.clone(), it)).collect();
    changes.changed = by_id.values().map(PackedMonitor::new).collect();
    changes
}

proptest! {
    #[test]
    fn changes_act_from_the_watermark_on_and_touch_nothing_else(
        steps in prop::collection::vec(
            (0_u64..4_900, any::<bool>(), prop::collection::vec((0_usize..4, 5_u64..12, any::<bool>()), 0..4), 0_usize..8),
            1..30
        )
    ) {
        let mut schedule = Schedule::new(&[], at(0));
        let mut model: std::collections::BTreeMap<MonitorId, Arc<Monitor>> = std::collections::BTreeMap::new();
        let (mut now, mut planned, mut expected) = (at(0), Vec::new(), Vec::new());
        let mut from = at(0);
        for (step, complete, picked, removed) in steps {
            now = now + Duration::from_millis(step);
            let plan = schedule.advance(now);
            planned.extend(plan.due);
            planned.extend(plan.missed);
            let to = now + Duration::from_micros(1);
            for monitor in model.values() {
                let cadence = Cadence::new(&monitor.workspace, &monitor.id, monitor.interval);
                expected.extend(cadence.between(from, to).map(|slot| (monitor.id.clone(), slot)));
            }
            from = to;
            let mut changes = changes(complete, &picked);
            let gone = MonitorId::new(["a", "b", "c", "d"][removed % 4]).unwrap();
            if removed < 4 && !changes.changed.iter().any(|it| it.id == gone) {
                changes.removed.push((WorkspaceId::local(), gone));
            }
            if complete {
                model.clear();
            }
            for (_, id) in &changes.removed {
                model.remove(id);
            }
            for changed in &changes.changed {
                if changed.paused {
                    model.remove(&changed.id);
                } else {
                    model.insert(changed.id.clone(), Arc::new(changed.unpack()));
                }
            }
            schedule.apply(changes);
            prop_assert_eq!(schedule.len(), model.len());
        }
        expected.sort();
        prop_assert_eq!(slots(&planned), expected);
    }
}

#[test]
fn a_monitor_that_became_unreadable_stays_as_it_was() {
    let mut schedule = Schedule::new(&[monitor("a", 5), monitor("b", 5)], at(0));
    let mut all = changes(true, &[(0, 7, false)]);
    all.unreadable.push(StoreError::Corrupt {
        what: "monitor",
        id: "b".to_owned(),
        source: "not JSON".into(),
    });
    schedule.apply(all);
    assert_eq!(schedule.len(), 2);
    schedule.apply(changes(true, &[(0, 7, false)]));
    assert_eq!(schedule.len(), 1);
}

#[test]
fn of_a_heartbeat_nothing_is_ever_due() {
    let mut beat = Monitor::clone(&monitor("beat", 5));
    beat.spec = sonde_core::Spec::Heartbeat(sonde_core::HeartbeatSpec {
        grace: Duration::ZERO,
    });
    let mut schedule = Schedule::new(&[Arc::new(beat.clone()), monitor("a", 5)], at(0));
    assert_eq!(schedule.len(), 1);
    let due = catch_up(&mut schedule, at(60)).due;
    assert!(due.iter().all(|due| due.monitor.id.as_str() == "a"));
    // What becomes one is checked no more.
    beat.id = MonitorId::new("a").unwrap();
    schedule.replace(&[Arc::new(beat)]);
    assert!(schedule.is_empty());
}
