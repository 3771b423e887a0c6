//! A hierarchical timing wheel over slot time: which entry is due next, at a cost that does not depend on how many there are.
//!
//! It knows entries by their number alone. An entry stands in the level at which its time first differs from the
//! wheel's, so that it moves down at most [`LEVELS`] times before it is due. (Varghese and Lauck, 1987, scheme 7.)

use sonde_core::Timestamp;

/// A grain of the lowest level is 2^13 µs, about 8 ms: finer than a tick of any dispatcher.
const GRAIN_BITS: u32 = 13;
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
/// Enough for every positive 64-bit time.
const LEVELS: usize = 9;
const NONE: u32 = u32::MAX;

/// Entries by number, each at one time; none is before the wheel's own.
#[derive(Debug)]
pub(crate) struct Wheel {
    nodes: Vec<Node>,
    heads: [[u32; BUCKETS]; LEVELS],
    /// A bit per bucket that is not empty.
    occupied: [u64; LEVELS],
    /// In grains.
    now: u64,
}

/// A link of a bucket's list.
#[derive(Debug, Clone, Copy)]
struct Node {
    at: Timestamp,
    previous: u32,
    next: u32,
}

impl Wheel {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            nodes: Vec::new(),
            heads: [[NONE; BUCKETS]; LEVELS],
            occupied: [0; LEVELS],
            now: grains(now),
        }
    }

    /// Empties it and sets its time; the times of entries can still be asked for.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.heads = [[NONE; BUCKETS]; LEVELS];
        self.occupied = [0; LEVELS];
        self.now = grains(now);
    }

    pub(crate) fn reserve(&mut self, additional: usize) {
        self.nodes.reserve_exact(additional);
    }

    /// When an entry that was inserted is, or last was, due.
    pub(crate) fn at(&self, entry: u32) -> Timestamp {
        self.nodes[index(entry)].at
    }

    /// Adds an entry that the wheel does not hold.
    pub(crate) fn insert(&mut self, entry: u32, at: Timestamp) {
        let (level, bucket) = self.place(at);
        let next = self.heads[level][bucket];
        let node = Node {
            at,
            previous: NONE,
            next,
        };
        if index(entry) == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index(entry)] = node;
        }
        if next != NONE {
            self.nodes[index(next)].previous = entry;
        }
        self.heads[level][bucket] = entry;
        self.occupied[level] |= 1 << bucket;
    }

    /// Takes out an entry that the wheel holds.
    pub(crate) fn remove(&mut self, entry: u32) {
        let Node { at, previous, next } = self.nodes[index(entry)];
        if next != NONE {
            self.nodes[index(next)].previous = previous;
        }
        if previous != NONE {
            self.nodes[index(previous)].next = next;
            return;
        }
        let (level, bucket) = self.place(at);
        self.heads[level][bucket] = next;
        if next == NONE {
            self.occupied[level] &= !(1 << bucket);
        }
    }

    /// The earliest time of any entry.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        let (level, bucket) = self.first_bucket()?;
        let mut entry = self.heads[level][bucket];
        let mut first: Option<Timestamp> = None;
        while entry != NONE {
            let node = self.nodes[index(entry)];
            first = Some(first.map_or(node.at, |first| first.min(node.at)));
            entry = node.next;
        }
        first
    }

    /// Moves some of the earliest entries before `until` to `due`; false, and the time set, when there are none.
    pub(crate) fn take_before(&mut self, until: Timestamp, due: &mut Vec<u32>) -> bool {
        let last = grains(until);
        while let Some((level, bucket)) = self.first_bucket()
            && self.begin(level, bucket) <= last
        {
            self.now = self.begin(level, bucket);
            let mut entry = std::mem::replace(&mut self.heads[level][bucket], NONE);
            self.occupied[level] &= !(1 << bucket);
            let before = due.len();
            while entry != NONE {
                let node = self.nodes[index(entry)];
                if level == 0 && node.at < until {
                    due.push(entry);
                } else {
                    self.insert(entry, node.at);
                }
                entry = node.next;
            }
            if level == 0 {
                if due.len() > before {
                    return true;
                }
                break; // the last grain has only later ones
            }
        }
        self.now = self.now.max(last);
        false
    }

    /// Lower levels come first in time; within one, buckets never wrap, since upper bits are those of the wheel's time.
    fn first_bucket(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|bits| *bits != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    fn place(&self, at: Timestamp) -> (usize, usize) {
        let at = grains(at).max(self.now);
        let differing = ((at ^ self.now) | 1).ilog2();
        let level = differing / BITS;
        (level as usize, bucket_at(at, level))
    }

    /// The first grain of a bucket.
    fn begin(&self, level: usize, bucket: usize) -> u64 {
        let shift = level * BITS as usize;
        let above = self.now >> shift >> BITS << BITS;
        (above | bucket as u64) << shift
    }
}

fn bucket_at(grains: u64, level: u32) -> usize {
    usize::try_from((grains >> (level * BITS)) & (BUCKETS as u64 - 1)).expect("less than BUCKETS")
}

fn grains(time: Timestamp) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(0) >> GRAIN_BITS
}

fn index(entry: u32) -> usize {
    entry as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(wheel: &mut Wheel, until: Timestamp) -> Vec<u32> {
        let mut due = Vec::new();
        while wheel.take_before(until, &mut due) {}
        due
    }

    proptest! {
        #[test]
        fn it_hands_out_what_a_sorted_list_would(
            start in 0_i64..1 << 52,
            times in prop::collection::vec((0_u32..45, any::<i64>()), 1..50),
            gone in prop::collection::vec(any::<bool>(), 50),
            steps in prop::collection::vec((0_u32..45, any::<i64>()), 1..20)
        ) {
            let after = |(bits, value): (u32, i64)| value & ((1 << bits) - 1);
            let mut wheel = Wheel::new(Timestamp::from_micros(start));
            let mut list = Vec::new();
            for (n, time) in times.into_iter().enumerate() {
                let at = Timestamp::from_micros(start + after(time));
                wheel.insert(u32::try_from(n).unwrap(), at);
                list.push((at, u32::try_from(n).unwrap()));
            }
            list.retain(|(_, entry)| {
                let gone = gone[index(*entry)];
                if gone {
                    wheel.remove(*entry);
                }
                !gone
            });
            let mut until = start;
            for step in steps {
                until += after(step);
                let mut due = drain(&mut wheel, Timestamp::from_micros(until));
                due.sort_unstable();
                let (mut expected, rest): (Vec<_>, Vec<_>) =
                    list.into_iter().partition(|(at, _)| at.as_micros() < until);
                expected.sort_unstable_by_key(|(_, entry)| *entry);
                prop_assert_eq!(due, expected.iter().map(|(_, entry)| *entry).collect::<Vec<_>>());
                prop_assert_eq!(wheel.first(), rest.iter().map(|(at, _)| *at).min());
                list = rest;
            }
        }
    }
}
