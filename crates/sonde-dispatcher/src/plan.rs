//! What is due: a pure function of monitors, a watermark and the time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Cadence, DispatchGap, Monitor, MonitorId, Timestamp, WorkspaceId};

/// Slots missed longer ago than this become one gap instead of rows.
const MISSED_ROWS_AT_MOST: Duration = Duration::from_hours(1);

/// Backlog planned in one step: a long outage becomes many small writes instead of one that holds everything up.
const LONGEST_STEP: Duration = Duration::from_mins(1);
/// A clock that is so far behind the watermark was set back: waiting for it to catch up would watch nothing meanwhile.
const SET_BACK: Duration = Duration::from_mins(1);

/// A monitor's slot whose time has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub monitor: Arc<Monitor>,
    pub slot: Timestamp,
}

/// What to do about the slots before [`Plan::watermark`] that were not planned yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Still within their interval: to be executed.
    pub due: Vec<Due>,
    /// Too late to be executed: to be recorded as missed.
    pub missed: Vec<Due>,
    /// Too long ago to be recorded one by one.
    pub gap: Option<DispatchGap>,
    /// Every slot before this instant is planned.
    pub watermark: Timestamp,
}

impl Plan {
    /// There are more slots before `now` to be planned.
    pub fn is_behind(&self, now: Timestamp) -> bool {
        self.watermark <= now
    }

    /// Nothing but time has passed.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.missed.is_empty() && self.gap.is_none()
    }
}

type Key = (WorkspaceId, MonitorId);

/// The active monitors, ordered by their next slot.
///
/// A tick costs in proportion to what is due, not to what exists.
#[derive(Debug)]
pub struct Schedule {
    monitors: HashMap<Key, Entry>,
    queue: BinaryHeap<Reverse<(Timestamp, Key)>>,
    watermark: Timestamp,
}

#[derive(Debug)]
struct Entry {
    monitor: Arc<Monitor>,
    cadence: Cadence,
    next: Timestamp,
}

impl Schedule {
    /// A schedule in which every slot before `watermark` has been planned.
    pub fn new(monitors: &[Arc<Monitor>], watermark: Timestamp) -> Self {
        let mut schedule = Self {
            monitors: HashMap::new(),
            queue: BinaryHeap::new(),
            watermark,
        };
        schedule.replace(monitors);
        schedule
    }

    /// Makes `monitors` all that is scheduled, from the watermark on; paused ones are left out.
    ///
    /// What did not change keeps its next slot; slots are a function of time, so that nothing is due twice.
    pub fn replace(&mut self, monitors: &[Arc<Monitor>]) {
        let active = monitors.iter().filter(|monitor| !monitor.paused);
        self.monitors = active.map(|monitor| self.entry(monitor)).collect();
        let next = self
            .monitors
            .iter()
            .map(|(key, entry)| Reverse((entry.next, key.clone())));
        self.queue = next.collect();
    }

    fn entry(&self, monitor: &Arc<Monitor>) -> (Key, Entry) {
        let cadence = Cadence::new(&monitor.workspace, &monitor.id, monitor.interval);
        let next = cadence.first_at_or_after(self.watermark);
        let key = (monitor.workspace.clone(), monitor.id.clone());
        (
            key,
            Entry {
                monitor: Arc::clone(monitor),
                cadence,
                next,
            },
        )
    }

    /// The earliest slot that is not planned yet.
    pub fn next_slot(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse((slot, _))| *slot)
    }

    /// Plans the slots up to and including `now`, at most a minute of them; call again while [`Plan::is_behind`].
    ///
    /// A clock that went back a little plans nothing until it has caught up. One that was set back further is believed:
    /// slots are planned again then, which counts nothing twice.
    pub fn advance(&mut self, now: Timestamp) -> Plan {
        if self.watermark.since(now) > SET_BACK {
            tracing::warn!(watermark = %self.watermark, %now, "the clock was set back: going on from now");
            self.restart_at(now);
        }
        let mut plan = Plan {
            due: Vec::new(),
            missed: Vec::new(),
            gap: None,
            watermark: self.watermark,
        };
        if now < self.watermark {
            return plan;
        }
        plan.gap = self.skip_to(now - MISSED_ROWS_AT_MOST);
        let until = (now + Duration::from_micros(1)).min(self.watermark + LONGEST_STEP);
        while let Some(Reverse((slot, key))) = self.queue.peek().cloned()
            && slot < until
        {
            self.queue.pop();
            let entry = self
                .monitors
                .get_mut(&key)
                .expect("what is queued is scheduled");
            let due = Due {
                monitor: Arc::clone(&entry.monitor),
                slot,
            };
            if slot + due.monitor.interval > now {
                plan.due.push(due);
            } else {
                plan.missed.push(due);
            }
            entry.next = entry.cadence.next_after(slot);
            self.queue.push(Reverse((entry.next, key)));
        }
        self.watermark = until;
        plan.watermark = until;
        plan
    }

    /// Leaves out everything before `from`, in one step however long it is.
    fn skip_to(&mut self, from: Timestamp) -> Option<DispatchGap> {
        if self.watermark >= from {
            return None;
        }
        let gap = DispatchGap {
            from: self.watermark,
            to: from,
        };
        self.restart_at(from);
        Some(gap)
    }

    fn restart_at(&mut self, watermark: Timestamp) {
        self.watermark = watermark;
        let entries = self.monitors.values();
        let monitors: Vec<_> = entries.map(|entry| Arc::clone(&entry.monitor)).collect();
        self.replace(&monitors);
    }
}

#[cfg(test)]
mod tests {
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
}
