//! The text of a recurrence rule, and all that is wrong with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::{Period, Rule};
use crate::Timestamp;

const LONGEST_TEXT: usize = 500;
const LONGEST_INTERVAL: i32 = 1000;
/// More are better said with `UNTIL`.
const HIGHEST_COUNT: i32 = 1000;
/// Windows that begin more often are not what people plan.
const MOST_PER_DAY: usize = 24;

/// A rule and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Parsed {
    pub(in super::super) rule: Rule,
    pub(in super::super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum End {
    Never,
    /// Nothing begins later.
    Until(Timestamp),
    /// Nothing begins later in local time.
    Last(NaiveDateTime),
}

/// Reads what follows `RRULE:`. Beginnings are at `start` or later, and at its time of day unless the rule says another.
pub(in super::super) fn parse(text: &str, start: NaiveDateTime) -> Result<Parsed, Vec<String>> {
    if text.len() > LONGEST_TEXT {
        return Err(vec![format!("must have {LONGEST_TEXT} characters or less")]);
    }
    let mut parts = Parts::split(text)?;
    let period = parts.period();
    let months = parts.numbers("BYMONTH", 1..=12);
    let month_days = parts.numbers_from_both_ends("BYMONTHDAY", 31);
    let year_days = parts.numbers_from_both_ends("BYYEARDAY", 366);
    let positions = parts.numbers_from_both_ends("BYSETPOS", 366);
    let weekdays = parts.weekdays();
    let hours = parts.numbers("BYHOUR", 0..=23);
    let minutes = parts.numbers("BYMINUTE", 0..=59);
    let week_start = parts.week_start();
    let interval = parts.number("INTERVAL", LONGEST_INTERVAL).unwrap_or(1);
    let count = parts.number("COUNT", HIGHEST_COUNT);
    let until = parts.until();
    let mut problems = parts.into_problems();

    let times = times(&hours, &minutes, start.time());
    if times.len() > MOST_PER_DAY {
        problems.push(format!("must begin {MOST_PER_DAY} times a day or less"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rule = Rule {
        start,
        period,
        interval,
        week_start,
        times,
        months,
        month_days,
        year_days,
        weekdays,
        positions,
    };
    problems.extend(contradictions(&rule, count.is_some() && until.is_some()));
    rule.complete();
    if problems.is_empty() && !rule.ever_begins() {
        problems.push("never matches a day within ten years of `starts_at`".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let last = count.and_then(|count| rule.nth(usize::try_from(count).unwrap_or(1)));
    let end = match (until, last) {
        (Some(until), _) => End::Until(until),
        (None, Some(last)) => End::Last(last),
        (None, None) => End::Never,
    };
    Ok(Parsed { rule, end })
}

/// What RFC 5545 says that must not stand together.
fn contradictions(rule: &Rule, ends_twice: bool) -> Vec<String> {
    let counts_weekdays = rule.weekdays.iter().any(|(number, _)| number.is_some());
    let by_month_or_year = matches!(rule.period, Period::Month | Period::Year);
    let picks = !rule.months.is_empty()
        || !rule.month_days.is_empty()
        || !rule.year_days.is_empty()
        || !rule.weekdays.is_empty()
        || rule.times.len() > 1;
    let all = [
        (ends_twice, "COUNT and UNTIL exclude each other"),
        (
            counts_weekdays && !by_month_or_year,
            "BYDAY counts weekdays (as in 2MO) with FREQ=MONTHLY or YEARLY only",
        ),
        (
            !rule.month_days.is_empty() && rule.period == Period::Week,
            "BYMONTHDAY does not go with FREQ=WEEKLY",
        ),
        (
            !rule.year_days.is_empty() && rule.period != Period::Year,
            "BYYEARDAY goes with FREQ=YEARLY only",
        ),
        (
            !rule.positions.is_empty() && !picks,
            "BYSETPOS needs another BY part to choose from",
        ),
    ];
    let wrong = all.into_iter().filter(|(is_wrong, _)| *is_wrong);
    wrong.map(|(_, message)| message.to_owned()).collect()
}

impl Rule {
    /// What the rule does not say about days is as its start has it.
    fn complete(&mut self) {
        let says_days =
            !self.month_days.is_empty() || !self.year_days.is_empty() || !self.weekdays.is_empty();
        if says_days {
            return;
        }
        let number = |number: u32| i32::try_from(number).unwrap_or(1);
        match self.period {
            Period::Day => {}
            Period::Week => self.weekdays = vec![(None, self.start.weekday())],
            Period::Month => self.month_days = vec![number(self.start.day())],
            Period::Year => {
                self.month_days = vec![number(self.start.day())];
                if self.months.is_empty() {
                    self.months = vec![number(self.start.month())];
                }
            }
        }
    }
}

fn times(hours: &[i32], minutes: &[i32], start: NaiveTime) -> Vec<NaiveTime> {
    let or_of_start = |numbers: &[i32], own: u32| {
        if numbers.is_empty() {
            return vec![own];
        }
        let numbers = numbers.iter().filter_map(|it| u32::try_from(*it).ok());
        numbers.collect()
    };
    let hours: Vec<u32> = or_of_start(hours, start.hour());
    let minutes: Vec<u32> = or_of_start(minutes, start.minute());
    let each = hours.iter().flat_map(|hour| {
        let times = minutes.iter();
        times.filter_map(|minute| NaiveTime::from_hms_opt(*hour, *minute, start.second()))
    });
    each.collect()
}

/// Parts by name, and what was wrong with those that were taken.
struct Parts<'a> {
    left: BTreeMap<String, &'a str>,
    problems: Vec<String>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, Vec<String>> {
        let mut left = BTreeMap::new();
        for part in text.split(';') {
            let Some((name, value)) = part.split_once('=') else {
                let message = format!("must be parts such as `FREQ=WEEKLY;BYDAY=SU`, got `{part}`");
                return Err(vec![message]);
            };
            let name = name.trim().to_ascii_uppercase();
            if left.insert(name, value.trim()).is_some() {
                return Err(vec![format!("says `{part}` and the same part once more")]);
            }
        }
        let problems = Vec::new();
        Ok(Self { left, problems })
    }

    fn wrong(&mut self, name: &str, value: &str, must: &str) {
        self.problems.push(format!("{name} {must}, got `{value}`"));
    }

    fn period(&mut self) -> Period {
        let value = self.left.remove("FREQ").unwrap_or_default();
        match &*value.to_ascii_uppercase() {
            "DAILY" => return Period::Day,
            "WEEKLY" => return Period::Week,
            "MONTHLY" => return Period::Month,
            "YEARLY" => return Period::Year,
            "HOURLY" | "MINUTELY" | "SECONDLY" => {
                let must = "must be DAILY or longer: name several times of a day with BYHOUR";
                self.wrong("FREQ", value, must);
            }
            _ => self.wrong("FREQ", value, "must be DAILY, WEEKLY, MONTHLY or YEARLY"),
        }
        Period::Day
    }

    fn number(&mut self, name: &str, highest: i32) -> Option<i32> {
        let value = self.left.remove(name)?;
        let number = value.parse().ok();
        let number = number.filter(|number| (1..=highest).contains(number));
        if number.is_none() {
            self.wrong(name, value, &format!("must be 1 to {highest}"));
        }
        number
    }

    fn numbers(&mut self, name: &str, range: RangeInclusive<i32>) -> Vec<i32> {
        let (lowest, highest) = (*range.start(), *range.end());
        let must = format!("must be numbers from {lowest} to {highest}");
        self.list(name, &must, |item| {
            item.parse().ok().filter(|number| range.contains(number))
        })
    }

    fn numbers_from_both_ends(&mut self, name: &str, highest: i32) -> Vec<i32> {
        let must = format!("must be numbers from 1 to {highest}, or -1 to -{highest} from the end");
        self.list(name, &must, |item| {
            let number = item.parse::<i32>().ok();
            number.filter(|number| *number != 0 && (-highest..=highest).contains(number))
        })
    }

    fn weekdays(&mut self) -> Vec<(Option<i32>, Weekday)> {
        let must = "must be weekdays such as MO, or 1MO and -1SU where they are counted";
        let mut days = self.list("BYDAY", must, |item| {
            let (number, name) = item.split_at_checked(item.len().checked_sub(2)?)?;
            let day = weekday(name)?;
            if number.is_empty() {
                return Some((0, day.num_days_from_monday()));
            }
            let number = number.parse::<i32>().ok();
            let number = number.filter(|it| *it != 0 && (-53..=53).contains(it))?;
            Some((number, day.num_days_from_monday()))
        });
        let days = days.drain(..).filter_map(|(number, day)| {
            let day = Weekday::try_from(u8::try_from(day).ok()?).ok()?;
            Some(((number != 0).then_some(number), day))
        });
        days.collect()
    }

    /// Sorted, each once.
    fn list<T: Ord>(&mut self, name: &str, must: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(value) = self.left.remove(name) else {
            return Vec::new();
        };
        let items: Option<Vec<T>> = value.split(',').map(|item| read(item.trim())).collect();
        let Some(mut items) = items else {
            self.wrong(name, value, must);
            return Vec::new();
        };
        items.sort();
        items.dedup();
        items
    }

    fn week_start(&mut self) -> Weekday {
        let Some(value) = self.left.remove("WKST") else {
            return Weekday::Mon;
        };
        weekday(value).unwrap_or_else(|| {
            self.wrong("WKST", value, "must be a weekday such as MO");
            Weekday::Mon
        })
    }

    /// In UTC, as RFC 5545 has it for what begins in a time zone.
    fn until(&mut self) -> Option<Timestamp> {
        let value = self.left.remove("UNTIL")?;
        let until = NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%SZ");
        if until.is_err() {
            self.wrong("UNTIL", value, "must be in UTC, as in 20270131T220000Z");
        }
        let until = until.ok()?.and_utc();
        Some(Timestamp::from_micros(until.timestamp_micros()))
    }

    fn into_problems(mut self) -> Vec<String> {
        for name in self.left.keys() {
            let message = match &**name {
                "BYSECOND" | "BYWEEKNO" => format!("{name} is not supported"),
                _ => format!("`{name}` is no part of a recurrence rule"),
            };
            self.problems.push(message);
        }
        self.problems
    }
}

fn weekday(name: &str) -> Option<Weekday> {
    let day = match &*name.to_ascii_uppercase() {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    };
    Some(day)
}
