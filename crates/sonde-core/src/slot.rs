//! When checks are due: aligned slots, spread over the interval by a stable hash.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::time::micros;
use crate::{MonitorId, Timestamp, WorkspaceId};

/// xxh3-64 of `workspace/monitor`: the same in every process and release.
pub fn stable_hash(workspace: &WorkspaceId, monitor: &MonitorId) -> u64 {
    xxh3_64(format!("{workspace}/{monitor}").as_bytes())
}

/// The partition of results that a monitor's rows travel in, of `count` (at least 1).
pub fn partition(workspace: &WorkspaceId, monitor: &MonitorId, count: u16) -> u16 {
    let partition = stable_hash(workspace, monitor) % u64::from(count.max(1));
    u16::try_from(partition).expect("a remainder of a u16")
}

/// The instants `n × interval + phase` at which a monitor is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    interval: i64,
    phase: i64,
}

impl Cadence {
    /// The phase is the monitor's stable hash modulo the interval, which spreads monitors evenly.
    pub fn new(workspace: &WorkspaceId, monitor: &MonitorId, interval: Duration) -> Self {
        let interval = micros(interval).max(1);
        let phase = stable_hash(workspace, monitor) % interval.unsigned_abs();
        Self {
            interval,
            phase: i64::try_from(phase).expect("less than the interval"),
        }
    }

    /// The cadence of which `slot` is one.
    pub fn through(slot: Timestamp, interval: Duration) -> Self {
        let interval = micros(interval).max(1);
        Self {
            interval,
            phase: slot.as_micros().rem_euclid(interval),
        }
    }

    pub fn first_at_or_after(self, time: Timestamp) -> Timestamp {
        let behind = (time.as_micros() - self.phase).rem_euclid(self.interval);
        let wait = if behind == 0 {
            0
        } else {
            self.interval - behind
        };
        Timestamp::from_micros(time.as_micros() + wait)
    }

    pub fn next_after(self, slot: Timestamp) -> Timestamp {
        self.first_at_or_after(Timestamp::from_micros(slot.as_micros() + 1))
    }

    /// The slots in `[from, to)`, oldest first.
    pub fn between(self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.first_at_or_after(from);
        std::iter::successors(Some(first), move |slot| Some(self.next_after(*slot)))
            .take_while(move |slot| *slot < to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cadence(monitor: &str, seconds: u64) -> Cadence {
        let monitor = MonitorId::new(monitor).unwrap();
        Cadence::new(
            &WorkspaceId::local(),
            &monitor,
            Duration::from_secs(seconds),
        )
    }

    #[test]
    fn the_hash_never_changes_between_releases() {
        let monitor = MonitorId::new("shop").unwrap();
        assert_eq!(
            stable_hash(&WorkspaceId::local(), &monitor),
            14_628_053_399_813_997_875
        );
    }

    #[test]
    fn a_thousand_monitors_are_spread_over_the_interval() {
        let mut per_second = [0_u32; 5];
        for n in 0..1000 {
            let slot = cadence(&format!("m{n}"), 5).first_at_or_after(Timestamp::UNIX_EPOCH);
            per_second[usize::try_from(slot.as_micros() / 1_000_000).unwrap()] += 1;
        }
        assert!(
            per_second.iter().all(|count| (150..250).contains(count)),
            "{per_second:?}"
        );
    }

    proptest! {
        #[test]
        fn slots_are_a_function_of_time_alone(
            seconds in 5_u64..100_000, from in -1_i64 << 50..1_i64 << 50, split in 0_i64..1_000_000_000
        ) {
            let cadence = cadence("shop", seconds);
            let (from, middle) = (Timestamp::from_micros(from), Timestamp::from_micros(from + split));
            let to = middle + Duration::from_secs(seconds * 3);
            let whole: Vec<_> = cadence.between(from, to).collect();
            let mut halves: Vec<_> = cadence.between(from, middle).collect();
            halves.extend(cadence.between(middle, to));
            prop_assert_eq!(&whole, &halves);
            prop_assert!(whole.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_secs(seconds)));
            prop_assert!(whole.iter().all(|slot| cadence.first_at_or_after(*slot) == *slot));
            let through = |slot: &Timestamp| Cadence::through(*slot, Duration::from_secs(seconds));
            prop_assert!(whole.iter().all(|slot| through(slot) == cadence));
        }
    }
}
