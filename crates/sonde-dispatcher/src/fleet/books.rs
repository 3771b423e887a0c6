//! The ledger while it is being written: how many checks of each class and region had their slot in each minute.
//!
//! Only what is published and confirmed is counted. A minute stays open until its class's watermark has left it; then its
//! entry is final and kept until the store's queue has it.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{Check, DispatchGap, Frequency, LedgerEntry, Region, Timestamp};

const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Books {
    open: BTreeMap<Account, Count>,
    /// With their numbers, ascending.
    finals: Vec<(u64, LedgerEntry)>,
    gaps: Vec<(u64, DispatchGap)>,
    last_number: u64,
}

/// By minute first.
type Account = (Timestamp, Frequency, Region);

#[derive(Debug)]
struct Count {
    scheduled: u64,
    deadline: Timestamp,
}

/// A state of the books.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page {
    pub(super) open: Vec<LedgerEntry>,
    pub(super) finals: Vec<LedgerEntry>,
    pub(super) gaps: Vec<DispatchGap>,
    /// Acknowledges `finals` and `gaps`.
    pub(super) last_number: u64,
}

impl Books {
    /// Goes on with what an earlier leader counted.
    pub(super) fn new(open: Vec<LedgerEntry>) -> Self {
        let open = open.into_iter().map(|entry| {
            let count = Count {
                scheduled: entry.scheduled,
                deadline: entry.deadline,
            };
            ((entry.minute, entry.frequency, entry.region), count)
        });
        Self {
            open: open.collect(),
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, check: &Check) {
        let account = (
            check.slot.floor(MINUTE),
            check.frequency.clone(),
            check.region.clone(),
        );
        let count = self.open.entry(account).or_insert(Count {
            scheduled: 0,
            deadline: check.deadline,
        });
        count.scheduled += 1;
        count.deadline = count.deadline.max(check.deadline);
    }

    pub(super) fn add_gap(&mut self, gap: DispatchGap) {
        self.last_number += 1;
        self.gaps.push((self.last_number, gap));
    }

    /// Makes the entries final whose minutes their class has left.
    pub(super) fn close(&mut self, watermark_of: impl Fn(&Frequency) -> Timestamp) {
        self.finish(|minute, frequency| *minute + MINUTE <= watermark_of(frequency));
    }

    /// Forgets the counts of a class from a minute on, because all of its slots will be published and counted again.
    ///
    /// What was counted is true all the same, and told to the store, which keeps the highest.
    pub(super) fn begin_again(&mut self, class: &Frequency, from: Timestamp) {
        self.finish(|minute, frequency| *minute >= from && frequency == class);
    }

    fn finish(&mut self, is_final: impl Fn(&Timestamp, &Frequency) -> bool) {
        let done = self
            .open
            .extract_if(.., |(minute, frequency, _), _| is_final(minute, frequency));
        for (account, count) in done {
            self.last_number += 1;
            self.finals
                .push((self.last_number, entry(&account, &count)));
        }
    }

    /// The queue has what was final up to this number.
    pub(super) fn acknowledge(&mut self, number: u64) {
        self.finals.retain(|(it, _)| *it > number);
        self.gaps.retain(|(it, _)| *it > number);
    }

    pub(super) fn page(&self) -> Page {
        let open = self.open.iter();
        Page {
            open: open.map(|(account, count)| entry(account, count)).collect(),
            finals: self.finals.iter().map(|(_, it)| it.clone()).collect(),
            gaps: self.gaps.iter().map(|(_, it)| *it).collect(),
            last_number: self.last_number,
        }
    }
}

fn entry((minute, frequency, region): &Account, count: &Count) -> LedgerEntry {
    LedgerEntry {
        frequency: frequency.clone(),
        region: region.clone(),
        minute: *minute,
        scheduled: count.scheduled,
        deadline: count.deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

    fn counted(books: &mut Books, seconds: &[u64]) {
        for second in seconds {
            books.count(&Check::sample(START + Duration::from_secs(*second)));
        }
    }

    fn scheduled(entries: &[LedgerEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.scheduled).collect()
    }

    #[test]
    fn a_minute_is_final_when_its_class_has_left_it_and_kept_until_acknowledged() {
        let mut books = Books::default();
        counted(&mut books, &[1, 6, 59, 61]);
        books.close(|_| START + Duration::from_secs(59));
        assert_eq!(scheduled(&books.page().open), [3, 1]);
        books.close(|_| START + MINUTE);
        let page = books.page();
        assert_eq!(
            (scheduled(&page.open), scheduled(&page.finals)),
            (vec![1], vec![3])
        );
        assert_eq!(page.finals[0].deadline, START + Duration::from_secs(64));
        books.close(|_| START + MINUTE * 2);
        books.acknowledge(page.last_number);
        assert_eq!(scheduled(&books.page().finals), [1]);
    }

    #[test]
    fn the_next_leader_goes_on_with_the_counts_of_the_one_before() {
        let mut before = Books::default();
        counted(&mut before, &[1, 6]);
        let mut after = Books::new(before.page().open);
        counted(&mut after, &[11]);
        assert_eq!(scheduled(&after.page().open), [3]);
    }

    #[test]
    fn a_minute_that_begins_again_is_counted_from_zero_and_what_was_true_is_told() {
        let mut books = Books::default();
        counted(&mut books, &[1, 6, 61]);
        let class = Check::sample(START).frequency;
        books.begin_again(&class, START + MINUTE);
        counted(&mut books, &[61, 66]);
        let page = books.page();
        assert_eq!(
            (scheduled(&page.open), scheduled(&page.finals)),
            (vec![2, 2], vec![1])
        );
    }
}
