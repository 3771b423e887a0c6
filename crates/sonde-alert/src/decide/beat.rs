//! When a heartbeat is late: a function of the last that was heard of it, so that everybody finds the same instants.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, HeartbeatSpec, Monitor, Reason, Timestamp};

/// After an outage of the alerter only so many of the instants at which one was late are told: those before say the same.
const MOST: i64 = 100;

/// What is known of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// The last ping; before the first one, when somebody began to wait for it.
    since: Timestamp,
    /// The newest result, be it a ping or that there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Timestamp>,
}

/// What a monitor says of its heartbeats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    interval: Duration,
    grace: Duration,
}

impl Rhythm {
    pub(super) fn of(monitor: &Monitor) -> Option<Self> {
        let HeartbeatSpec { grace } = *monitor.spec.heartbeat()?;
        let interval = monitor.interval.max(Duration::from_micros(1));
        Some(Self { interval, grace })
    }
}

impl Beat {
    pub(super) const fn new(since: Timestamp) -> Self {
        Self { since, seen: None }
    }

    pub(super) const fn since(self) -> Timestamp {
        self.since
    }

    /// Takes a result into account; false when it says nothing new. What is delivered again changes nothing, and a ping that
    /// was known by then makes nothing late.
    pub(super) fn observe(&mut self, rhythm: Rhythm, result: &CheckResult) -> bool {
        let is_late = result.reason == Some(Reason::HeartbeatLate);
        if is_late && result.slot < self.first_late(rhythm) {
            return false;
        }
        let before = *self;
        if !is_late {
            self.since = self.since.max(result.slot);
        }
        self.seen = self.seen.max(Some(result.slot));
        *self != before
    }

    /// The next instant at which it is late, unless a ping comes before.
    pub(super) fn next_late(self, rhythm: Rhythm) -> Timestamp {
        let first = self.first_late(rhythm);
        match self.seen {
            Some(seen) if seen >= first => {
                first + rhythm.interval * (rounds(first, seen, rhythm) + 1)
            }
            _ => first,
        }
    }

    /// The instants by now at which it was late and nobody has said so, in order.
    pub(super) fn late(self, rhythm: Rhythm, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let next = self.next_late(rhythm);
        let there = (now >= next).then(|| i64::from(rounds(next, now, rhythm)));
        let there = there.map_or(-1..=-1, |last| (last - MOST + 1).max(0)..=last);
        let places = there.filter_map(|place| u32::try_from(place).ok());
        places.map(move |place| next + rhythm.interval * place)
    }

    fn first_late(self, rhythm: Rhythm) -> Timestamp {
        self.since + rhythm.interval + rhythm.grace
    }
}

/// How many whole intervals there are between two instants.
fn rounds(from: Timestamp, to: Timestamp, rhythm: Rhythm) -> u32 {
    let rounds = to.since(from).as_micros() / rhythm.interval.as_micros();
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sonde_core::Outcome;

    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        interval: Duration::from_mins(10),
        grace: Duration::from_mins(2),
    };

    fn minute(n: u64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000) + Duration::from_mins(n)
    }

    fn result(at: Timestamp, is_late: bool) -> CheckResult {
        let outcome = if is_late {
            Outcome::Failed
        } else {
            Outcome::Ok
        };
        let mut result = CheckResult::of_heartbeat(&Monitor::sample(), at, outcome);
        result.reason = is_late.then_some(Reason::HeartbeatLate);
        result
    }

    fn late(beat: Beat, now: u64) -> Vec<Timestamp> {
        beat.late(RHYTHM, minute(now)).collect()
    }

    #[test]
    fn it_is_late_after_interval_and_grace_and_once_in_every_interval_then() {
        let mut beat = Beat::new(minute(0));
        assert_eq!(late(beat, 11), []);
        assert_eq!(late(beat, 12), [minute(12)]);
        assert_eq!(late(beat, 35), [minute(12), minute(22), minute(32)]);
        assert!(beat.observe(RHYTHM, &result(minute(12), true)));
        assert_eq!(late(beat, 21), []);
        assert_eq!(late(beat, 22), [minute(22)]);
        assert!(beat.observe(RHYTHM, &result(minute(15), false)));
        assert_eq!(beat.next_late(RHYTHM), minute(27));
    }

    #[test]
    fn what_was_late_longest_ago_is_left_out() {
        let found = late(Beat::new(minute(0)), 100_002);
        assert_eq!(found.len(), 100);
        assert_eq!(*found.last().unwrap(), minute(100_002));
    }

    #[test]
    fn what_comes_again_or_is_untrue_changes_nothing() {
        let mut beat = Beat::new(minute(0));
        assert!(beat.observe(RHYTHM, &result(minute(5), false)));
        let before = beat;
        for (at, is_late) in [(5, false), (3, false), (12, true), (16, true)] {
            assert!(!beat.observe(RHYTHM, &result(minute(at), is_late)));
            assert_eq!(beat, before);
        }
        assert!(beat.observe(RHYTHM, &result(minute(17), true)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However often somebody looks, restarts, or hears something twice: the same instants, each once.
        #[test]
        fn the_instants_are_the_same_however_often_it_is_looked(
            pings in prop::collection::btree_set(0_u64..200, 0..12),
            looks in prop::collection::btree_set(0_u64..200, 0..30),
        ) {
            let follow = |looks: &mut dyn Iterator<Item = u64>| {
                let mut beat = Beat::new(minute(0));
                let mut found = Vec::new();
                let mut pings = pings.iter().copied().peekable();
                for look in looks {
                    // A ping is known before somebody looks at a time after it.
                    let mut known = Vec::new();
                    while let Some(ping) = pings.next_if(|ping| *ping <= look) {
                        let ping = minute(ping);
                        known.extend(beat.late(RHYTHM, ping - Duration::from_micros(1)));
                        for _ in 0..2 {
                            beat.observe(RHYTHM, &result(ping, false));
                        }
                    }
                    let kept = serde_json::to_string(&beat).unwrap();
                    beat = serde_json::from_str(&kept).unwrap();
                    known.extend(beat.late(RHYTHM, minute(look)));
                    for late in &known {
                        beat.observe(RHYTHM, &result(*late, true));
                    }
                    found.extend(known);
                }
                found
            };
            let seldom = follow(&mut looks.iter().copied().chain([250]));
            let often = follow(&mut (0..=250));
            prop_assert_eq!(&seldom, &often);
            prop_assert!(often.is_sorted_by(|a, b| a < b));
        }
    }
}
