//! What is due: a pure function of monitors, a watermark and the time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Cadence, DispatchGap, Monitor, MonitorId, PackedMonitor, Timestamp, WorkspaceId};
use sonde_store::{Changes, StoreError};

use crate::wheel::Wheel;

/// Slots missed longer ago than this become one gap instead of rows.
pub(crate) const MISSED_ROWS_AT_MOST: Duration = Duration::from_hours(1);

/// Time goes on while a gap is written down and what comes after it is made up for: that is no other gap.
const GAP_AT_LEAST: Duration = Duration::from_mins(1);

/// Backlog planned in one step: a long outage becomes many small writes instead of one that holds everything up.
const LONGEST_STEP: Duration = Duration::from_mins(1);
/// A clock that is so far behind the watermark was set back: waiting for it to catch up would watch nothing meanwhile.
const SET_BACK: Duration = Duration::from_mins(1);

/// The grain of time: no interval is shorter.
const GRAIN: Duration = Duration::from_micros(1);

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
/// A tick costs in proportion to what is due, not to what exists. Monitors are packed until they are due; an entry takes
/// some 150 bytes beside that.
#[derive(Debug)]
pub struct Schedule {
    /// Numbers of entries; the keys share their text with the monitors.
    numbers: HashMap<Key, u32>,
    entries: Vec<Option<PackedMonitor>>,
    free: Vec<u32>,
    wheel: Wheel,
    watermark: Timestamp,
    /// The longest interval of any entry that there ever was.
    longest: Duration,
}

impl Schedule {
    /// A schedule in which every slot before `watermark` has been planned.
    pub fn new(monitors: &[Arc<Monitor>], watermark: Timestamp) -> Self {
        let mut schedule = Self {
            numbers: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(watermark),
            watermark,
            longest: Duration::ZERO,
        };
        schedule.replace(monitors);
        schedule
    }

    /// Makes `monitors` all that is scheduled, from the watermark on; paused ones and heartbeats are left out.
    ///
    /// What did not change keeps its next slot; slots are a function of time, so that nothing is due twice.
    pub fn replace(&mut self, monitors: &[Arc<Monitor>]) {
        self.reserve(monitors.len());
        let mut kept = Kept::default();
        for monitor in monitors {
            kept.add(self.put(PackedMonitor::new(monitor), self.watermark));
        }
        self.retain(&kept, |_| false);
    }

    /// Follows the configuration: what did not change keeps its next slot, what is new begins at the watermark.
    pub fn apply(&mut self, changes: Changes) {
        let since = self.watermark;
        let mut kept = Kept::default();
        if changes.complete {
            self.reserve(changes.changed.len());
        }
        let unreadable = unreadable_ids(&changes);
        for monitor in changes.changed {
            kept.add(self.put(monitor, since));
        }
        for key in &changes.removed {
            self.remove(key);
        }
        if changes.complete {
            self.retain(&kept, |monitor| unreadable.contains(monitor.id.as_str()));
        }
    }

    /// Monitors that are scheduled.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Every slot before it is planned.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The earliest slot that is not planned yet.
    pub fn next_slot(&self) -> Option<Timestamp> {
        self.wheel.first()
    }

    /// Plans the slots up to and including `now`, at most a minute of them; call again while [`Plan::is_behind`].
    ///
    /// A clock that went back a little plans nothing until it has caught up. One that was set back further is believed:
    /// slots are planned again then, which counts nothing twice.
    pub fn advance(&mut self, now: Timestamp) -> Plan {
        if self.was_set_back(now) {
            tracing::warn!(watermark = %self.watermark, %now, "the clock was set back: going on from now");
            self.restart_at(now);
        }
        let until = now + GRAIN;
        self.advance_to(until, now, MISSED_ROWS_AT_MOST, LONGEST_STEP)
    }

    /// Plans the slots before `until`, at most a `step` of them; what is `forgiven` longer ago than that is a gap.
    pub(crate) fn advance_to(
        &mut self,
        until: Timestamp,
        now: Timestamp,
        forgiven: Duration,
        step: Duration,
    ) -> Plan {
        let mut plan = Plan {
            due: Vec::new(),
            missed: Vec::new(),
            gap: None,
            watermark: self.watermark,
        };
        if until <= self.watermark {
            return plan;
        }
        plan.gap = self.skip(now, forgiven);
        if plan.gap.is_some() {
            // Alone, so that it can be written down before what comes after it.
            plan.watermark = self.watermark;
            return plan;
        }
        plan.watermark = until.min(self.watermark + step).max(self.watermark);
        let mut numbers = Vec::new();
        while self.wheel.take_before(plan.watermark, &mut numbers) {
            for number in numbers.drain(..) {
                self.plan_entry(number, now, &mut plan);
            }
        }
        self.watermark = plan.watermark;
        plan
    }

    fn plan_entry(&mut self, number: u32, now: Timestamp, plan: &mut Plan) {
        let slot = self.wheel.at(number);
        let entry = self.entries[number as usize]
            .as_ref()
            .expect("what is in the wheel is scheduled");
        let due = Due {
            monitor: Arc::new(entry.unpack()),
            slot,
        };
        if slot + entry.interval > now {
            plan.due.push(due);
        } else {
            plan.missed.push(due);
        }
        self.wheel.insert(number, slot + entry.interval.max(GRAIN));
    }

    /// The clock is so far behind the watermark that it must have been set back.
    pub(crate) fn was_set_back(&self, now: Timestamp) -> bool {
        self.watermark.since(now) > SET_BACK
    }

    /// No entry's interval is longer.
    pub(crate) fn longest_interval(&self) -> Duration {
        self.longest
    }

    /// Leaves out what is `forgiven` longer ago, in one step however long it is; but not the slot of a long interval
    /// that can still be executed.
    fn skip(&mut self, now: Timestamp, forgiven: Duration) -> Option<DispatchGap> {
        let from = now - forgiven;
        if self.watermark >= from - GAP_AT_LEAST {
            return None;
        }
        let gap = DispatchGap {
            from: self.watermark,
            to: from,
        };
        self.restart(from, |next, interval| {
            if interval > forgiven {
                next.max(now - interval + GRAIN)
            } else {
                from
            }
        });
        Some(gap)
    }

    /// From now on every slot from `watermark` on is to be planned, whether it was or not.
    pub(crate) fn restart_at(&mut self, watermark: Timestamp) {
        self.restart(watermark, |_, _| watermark);
    }

    /// As [`Self::restart_at`], but what has begun later than `watermark` begins then.
    pub(crate) fn resume_at(&mut self, watermark: Timestamp) {
        self.restart(watermark, |next, _| next.max(watermark));
    }

    /// `begin` tells for a next slot and its interval from when on slots are planned.
    fn restart(&mut self, watermark: Timestamp, begin: impl Fn(Timestamp, Duration) -> Timestamp) {
        self.watermark = watermark;
        self.wheel.restart(watermark);
        for (number, entry) in (0_u32..).zip(&self.entries) {
            if let Some(entry) = entry {
                let slot = self.wheel.at(number);
                let cadence = Cadence::through(slot, entry.interval);
                let next = cadence.first_at_or_after(begin(slot, entry.interval));
                self.wheel.insert(number, next);
            }
        }
    }

    /// Schedules a monitor, or its new version, from `since` on; its number, or none when nothing of it is ever due.
    pub(crate) fn put(&mut self, monitor: PackedMonitor, since: Timestamp) -> Option<u32> {
        let key = (monitor.workspace.clone(), monitor.id.clone());
        let known = self.numbers.get(&key).copied();
        if monitor.paused || monitor.is_heartbeat {
            self.remove(&key);
            return None;
        }
        let interval = monitor.interval;
        if let Some(number) = known
            && let Some(entry) = &mut self.entries[number as usize]
            && entry.interval == interval
        {
            *entry = monitor;
            return known;
        }
        self.longest = self.longest.max(interval);
        let cadence = Cadence::new(&monitor.workspace, &monitor.id, interval);
        let next = cadence.first_at_or_after(since.max(self.watermark));
        let entry = Some(monitor);
        let number = if let Some(number) = known {
            self.wheel.remove(number);
            self.entries[number as usize] = entry;
            number
        } else if let Some(number) = self.free.pop() {
            self.entries[number as usize] = entry;
            number
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("fewer monitors than 2^32")
        };
        self.wheel.insert(number, next);
        self.numbers.insert(key, number);
        Some(number)
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        if let Some(number) = self.numbers.remove(key) {
            self.wheel.remove(number);
            self.entries[number as usize] = None;
            self.free.push(number);
        }
    }

    /// Removes what is neither kept nor `spared`.
    pub(crate) fn retain(&mut self, kept: &Kept, spared: impl Fn(&PackedMonitor) -> bool) {
        let gone = |(number, entry): &(u32, &Option<PackedMonitor>)| {
            let monitor = entry.as_ref()?;
            let gone = !kept.has(*number) && !spared(monitor);
            gone.then(|| (monitor.workspace.clone(), monitor.id.clone()))
        };
        let gone: Vec<_> = (0_u32..)
            .zip(&self.entries)
            .filter_map(|entry| gone(&entry))
            .collect();
        for key in &gone {
            self.remove(key);
        }
    }

    pub(crate) fn reserve(&mut self, monitors: usize) {
        let additional = monitors.saturating_sub(self.numbers.len());
        self.numbers.reserve(additional);
        self.entries.reserve_exact(additional);
        self.wheel.reserve(additional);
    }
}

/// Numbers of entries that a complete configuration has.
#[derive(Debug, Default)]
pub(crate) struct Kept(Vec<bool>);

impl Kept {
    pub(crate) fn add(&mut self, number: Option<u32>) {
        if let Some(number) = number {
            let number = number as usize;
            self.0.resize(self.0.len().max(number + 1), false);
            self.0[number] = true;
        }
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize).copied().unwrap_or(false)
    }
}

/// Ids of monitors that exist but could not be read: what was known of them stands.
pub(crate) fn unreadable_ids(changes: &Changes) -> HashSet<String> {
    let ids = changes.unreadable.iter().filter_map(|error| match error {
        StoreError::Corrupt { id, .. } => Some(id.rsplit('/').next().unwrap_or(id).to_owned()),
        _ => None,
    });
    ids.collect()
}

#[cfg(test)]
mod tests;
