//! Recurrence rules (RFC 5545, 3.3.10) in local time: days and times at which something begins, without a time zone.
//!
//! A period (a day, week, month or year) is looked at day by day, so that a rule costs in proportion to the days that are
//! asked about, whatever it says: it has no search that a rule which never matches could keep busy. Rules that repeat
//! within a day are refused, as is `BYWEEKNO`.

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, Weekday};

mod parse;

pub(super) use parse::{End, Parsed, parse};

/// A rule that has found nothing for so long never will, but for oddities such as a Monday that is a 29 February.
const FIRST_WITHIN: Months = Months::new(12 * 10);
/// Of a count, nothing later is looked for.
const LAST_WITHIN: Months = Months::new(12 * 100);

/// What one period of a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Nothing begins earlier, and periods are counted from its own.
    start: NaiveDateTime,
    period: Period,
    /// Every so many periods.
    interval: i32,
    week_start: Weekday,
    /// On each of its days.
    times: Vec<NaiveTime>,
    months: Vec<i32>,
    /// From the end where negative, as those below.
    month_days: Vec<i32>,
    year_days: Vec<i32>,
    weekdays: Vec<(Option<i32>, Weekday)>,
    /// Which of a period's beginnings stay; all when empty.
    positions: Vec<i32>,
}

impl Rule {
    /// All beginnings on the days from `first` to `last`, ascending.
    pub(super) fn starts(
        &self,
        first: NaiveDate,
        last: NaiveDate,
    ) -> impl Iterator<Item = NaiveDateTime> {
        let own = self.index(self.start.date());
        let begin = self.index(first).max(own);
        let begin = begin + (own - begin).rem_euclid(self.interval);
        let step = usize::try_from(self.interval).unwrap_or(1);
        (begin..=self.index(last))
            .step_by(step)
            .flat_map(|index| self.within(index))
            .filter(move |at| *at >= self.start && (first..=last).contains(&at.date()))
    }

    /// Whether there is a beginning in the first ten years.
    pub(super) fn ever_begins(&self) -> bool {
        let first = self.start.date();
        let last = first.checked_add_months(FIRST_WITHIN).unwrap_or(first);
        self.starts(first, last).next().is_some()
    }

    /// The beginning with this number, from 1; none when it is later than all that anybody plans.
    pub(super) fn nth(&self, number: usize) -> Option<NaiveDateTime> {
        let first = self.start.date();
        let last = first.checked_add_months(LAST_WITHIN).unwrap_or(first);
        self.starts(first, last).nth(number.saturating_sub(1))
    }

    /// The number of the period that a day is in.
    fn index(&self, day: NaiveDate) -> i32 {
        match self.period {
            Period::Day => day.num_days_from_ce(),
            Period::Week => (day.num_days_from_ce() - self.week_offset()).div_euclid(7),
            Period::Month => day.year() * 12 + i32::try_from(day.month0()).unwrap_or(0),
            Period::Year => day.year(),
        }
    }

    fn first_day(&self, index: i32) -> Option<NaiveDate> {
        match self.period {
            Period::Day => NaiveDate::from_num_days_from_ce_opt(index),
            Period::Week => NaiveDate::from_num_days_from_ce_opt(index * 7 + self.week_offset()),
            Period::Month => {
                let month = u32::try_from(index.rem_euclid(12)).unwrap_or(0) + 1;
                NaiveDate::from_ymd_opt(index.div_euclid(12), month, 1)
            }
            Period::Year => NaiveDate::from_ymd_opt(index, 1, 1),
        }
    }

    /// Day 1 of the common era was a Monday.
    fn week_offset(&self) -> i32 {
        1 + i32::try_from(self.week_start.num_days_from_monday()).unwrap_or(0)
    }

    fn within(&self, index: i32) -> Vec<NaiveDateTime> {
        let (Some(first), Some(next)) = (self.first_day(index), self.first_day(index + 1)) else {
            return Vec::new();
        };
        let days = first.iter_days().take_while(|day| *day < next);
        let days = days.filter(|day| self.is_on(*day));
        let all = days.flat_map(|day| self.times.iter().map(move |time| day.and_time(*time)));
        if self.positions.is_empty() {
            return all.collect();
        }
        let all: Vec<_> = all.collect();
        let counted = all.iter().enumerate();
        let kept = counted.filter(|(place, _)| is_named(&self.positions, *place, all.len()));
        kept.map(|(_, at)| *at).collect()
    }

    fn is_on(&self, day: NaiveDate) -> bool {
        let month = i32::try_from(day.month()).unwrap_or(0);
        let in_month = self.months.is_empty() || self.months.contains(&month);
        in_month
            && (self.month_days.is_empty()
                || is_named(&self.month_days, place(day.day0()), month_length(day)))
            && (self.year_days.is_empty()
                || is_named(&self.year_days, place(day.ordinal0()), year_length(day)))
            && (self.weekdays.is_empty()
                || self.weekdays.iter().any(|it| self.is_weekday(*it, day)))
    }

    fn is_weekday(&self, (number, weekday): (Option<i32>, Weekday), day: NaiveDate) -> bool {
        if weekday != day.weekday() {
            return false;
        }
        let Some(number) = number else { return true };
        let in_month = self.period == Period::Month || !self.months.is_empty();
        let (place, length) = if in_month {
            (place(day.day0()), month_length(day))
        } else {
            (place(day.ordinal0()), year_length(day))
        };
        // Of its weekdays, this is one after those that were before, and before those that are to come.
        let all = place / 7 + (length - 1 - place) / 7 + 1;
        is_named(&[number], place / 7, all)
    }
}

/// Whether numbers from 1, or from -1 at the end, name a place among `length`.
fn is_named(numbers: &[i32], place: usize, length: usize) -> bool {
    let from_start = i32::try_from(place + 1).unwrap_or(0);
    let from_end = -i32::try_from(length - place).unwrap_or(0);
    numbers
        .iter()
        .any(|number| *number == from_start || *number == from_end)
}

fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn month_length(day: NaiveDate) -> usize {
    usize::from(day.num_days_in_month())
}

fn year_length(day: NaiveDate) -> usize {
    if day.leap_year() { 366 } else { 365 }
}

#[cfg(test)]
mod tests;
