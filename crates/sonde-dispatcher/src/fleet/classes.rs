//! A schedule per frequency class, so that a class that waits for its trigger from outside holds up no other.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    Check, DispatchGap, Frequency, PackedMonitor, QueueSettings, RunId, Timestamp, Trigger,
};
use sonde_queue::{ClassWatermark, WatermarkMessage};
use sonde_store::{Calendar, Changes};

use crate::plan::{Kept, MISSED_ROWS_AT_MOST, unreadable_ids};
use crate::{Due, Schedule};

/// Backlog planned in one step: it has to fit in memory as messages, and changes wait for its end.
const STEP: Duration = Duration::from_secs(1);
/// The grain of time.
const GRAIN: Duration = Duration::from_micros(1);
const MINUTE: Duration = Duration::from_mins(1);

/// All that is scheduled, by class.
pub(super) struct Classes {
    by_period: Vec<Class>,
    calendar: Calendar,
    loaded: bool,
}

pub(super) struct Class {
    pub(super) frequency: Frequency,
    period: Duration,
    schedule: Schedule,
    /// What a trigger from outside has asked for: slots before this.
    asked_until: Timestamp,
}

/// What one tick has to do, over all classes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) tasks: Vec<Check>,
    pub(super) missed: Vec<Check>,
    pub(super) gap: Option<DispatchGap>,
    /// There is more before now.
    pub(super) is_behind: bool,
}

impl Classes {
    pub(super) fn new(settings: &QueueSettings) -> Self {
        let classes = settings.frequencies.iter().map(|class| Class {
            frequency: class.name.clone(),
            period: class.period,
            schedule: Schedule::new(&[], Timestamp::UNIX_EPOCH),
            asked_until: Timestamp::UNIX_EPOCH,
        });
        Self {
            by_period: classes.collect(),
            calendar: Calendar::default(),
            loaded: false,
        }
    }

    /// All there is has been told at least once.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    pub(super) fn len(&self) -> usize {
        self.by_period
            .iter()
            .map(|class| class.schedule.len())
            .sum()
    }

    /// Follows the configuration; what is new begins at `since`.
    pub(super) fn apply(&mut self, changes: Changes, since: Timestamp) {
        let unreadable = unreadable_ids(&changes);
        let complete = changes.complete;
        self.calendar.apply(changes.maintenance, complete);
        let mut kept: Vec<_> = self.by_period.iter().map(|_| Kept::default()).collect();
        for monitor in changes.changed {
            let index = self.index_of(monitor.interval);
            if !complete {
                let key = (monitor.workspace.clone(), monitor.id.clone());
                let others = self.by_period.iter_mut().enumerate();
                for (_, other) in others.filter(|(other, _)| *other != index) {
                    other.schedule.remove(&key);
                }
            }
            let schedule = &mut self.by_period[index].schedule;
            kept[index].add(schedule.put(monitor, since));
        }
        for key in &changes.removed {
            for class in &mut self.by_period {
                class.schedule.remove(key);
            }
        }
        if complete {
            self.loaded = true;
            for (class, kept) in self.by_period.iter_mut().zip(&kept) {
                let spared = |monitor: &PackedMonitor| unreadable.contains(monitor.id.as_str());
                class.schedule.retain(kept, spared);
            }
        }
    }

    /// As [`QueueSettings::class_of`].
    fn index_of(&self, interval: Duration) -> usize {
        self.by_period
            .partition_point(|class| class.period <= interval)
            .saturating_sub(1)
    }

    /// Goes on where the leader before stopped.
    pub(super) fn resume(&mut self, watermark: &WatermarkMessage) {
        for class in &mut self.by_period {
            let ahead = watermark.ahead.iter();
            let own = ahead.filter(|ahead| ahead.frequency == class.frequency);
            let from = own.map(|ahead| ahead.watermark).max();
            let from = from.unwrap_or(watermark.watermark);
            class.schedule.resume_at(from);
            class.asked_until = Timestamp::UNIX_EPOCH;
        }
    }

    /// Nothing is planned by this process for now.
    pub(super) fn rest(&mut self) {
        for class in &mut self.by_period {
            class.schedule.restart_at(Timestamp::UNIX_EPOCH);
        }
    }

    /// Dispatches what is due of a class at the next tick; false when there is no such class.
    pub(super) fn trigger(&mut self, frequency: &Frequency, now: Timestamp) -> bool {
        let class = self
            .by_period
            .iter_mut()
            .find(|it| it.frequency == *frequency);
        let Some(class) = class else { return false };
        class.asked_until = now + GRAIN;
        true
    }

    /// Believes a clock that was set back: the classes that are ahead of it begin the current minute again.
    pub(super) fn set_back_to(&mut self, now: Timestamp) -> Vec<(Frequency, Timestamp)> {
        let from = now.floor(MINUTE);
        let ahead = self.by_period.iter_mut();
        let ahead = ahead.filter(|class| class.schedule.was_set_back(now));
        let restarted = ahead.map(|class| {
            class.schedule.restart_at(from);
            class.asked_until = Timestamp::UNIX_EPOCH;
            (class.frequency.clone(), from)
        });
        restarted.collect()
    }

    /// One step of what is due now. Without an internal clock only triggers make slots due; then all become missed that
    /// no trigger can reach any more.
    pub(super) fn plan(&mut self, now: Timestamp, internal_clock: bool) -> Batch {
        let mut batch = Batch::default();
        let furthest = self.furthest();
        for class in &mut self.by_period {
            let until = if internal_clock {
                now + GRAIN
            } else {
                let longest = class.schedule.longest_interval();
                class.asked_until.max(now + GRAIN - longest)
            };
            // While another class was dispatched, this one only waited: that is no gap.
            let waited = class.schedule.watermark() < furthest;
            let bound = if waited { until.min(furthest) } else { until };
            // A class that waits for a trigger may rightly be behind by its longest interval.
            let patience = if waited || !internal_clock {
                class.schedule.longest_interval()
            } else {
                Duration::ZERO
            };
            let forgiven = MISSED_ROWS_AT_MOST + patience;
            let plan = class.schedule.advance_to(bound, now, forgiven, STEP);
            for (due, list) in [
                (&plan.due, &mut batch.tasks),
                (&plan.missed, &mut batch.missed),
            ] {
                for due in due {
                    let in_maintenance = self.calendar.covers(&due.monitor, due.slot);
                    list.extend(checks(due, &class.frequency, now, in_maintenance));
                }
            }
            if !waited {
                batch.gap = batch.gap.or(plan.gap); // these classes stopped at the same time
            }
            batch.is_behind |= plan.watermark < until;
        }
        batch
    }

    /// When there is something to plan.
    pub(super) fn next(&self, internal_clock: bool) -> Option<Timestamp> {
        let next = self.by_period.iter().filter_map(|class| {
            let slot = class.schedule.next_slot()?;
            let patience = if internal_clock {
                Duration::ZERO
            } else {
                class.schedule.longest_interval()
            };
            Some(slot + patience)
        });
        next.min()
    }

    /// How far a class has come; beyond everything for one that is no more.
    pub(super) fn watermark_of(&self, frequency: &Frequency) -> Timestamp {
        let class = self.by_period.iter().find(|it| it.frequency == *frequency);
        class.map_or(Timestamp::from_micros(i64::MAX), |class| {
            class.schedule.watermark()
        })
    }

    /// The furthest of all classes.
    pub(super) fn furthest(&self) -> Timestamp {
        let watermarks = self.by_period.iter().map(|it| it.schedule.watermark());
        watermarks.max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// How far all have come, without counts.
    pub(super) fn watermark(&self) -> WatermarkMessage {
        let watermarks = self.by_period.iter().map(|it| it.schedule.watermark());
        let lowest = watermarks.min().unwrap_or(Timestamp::UNIX_EPOCH);
        let mut message = WatermarkMessage::new(lowest, Vec::new());
        let ahead = self.by_period.iter().filter_map(|class| {
            let watermark = class.schedule.watermark();
            (watermark > lowest).then(|| ClassWatermark {
                frequency: class.frequency.clone(),
                watermark,
            })
        });
        message.ahead = ahead.collect();
        message
    }
}

/// One per region.
fn checks(
    due: &Due,
    frequency: &Frequency,
    now: Timestamp,
    in_maintenance: bool,
) -> impl Iterator<Item = Check> {
    due.monitor.regions.iter().map(move |region| Check {
        monitor: Arc::clone(&due.monitor),
        region: region.clone(),
        slot: due.slot,
        run_id: RunId::SCHEDULED,
        trigger: Trigger::Schedule,
        frequency: frequency.clone(),
        deadline: due.slot + due.monitor.interval,
        dispatched_at: now,
        in_maintenance,
    })
}

#[cfg(test)]
mod tests;
