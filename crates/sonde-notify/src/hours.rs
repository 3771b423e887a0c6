//! When a channel is told: quiet hours, and whose week it is, in local time.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sonde_core::Timestamp;

const MINUTE: Duration = Duration::from_mins(1);
const MINUTES_A_DAY: u32 = 24 * 60;
const MOST_WINDOWS: usize = 50;
const MOST_WEEKS: u32 = 12;

/// As in `{"timezone": "Europe/Berlin", "weekly": ["mon-fri 09:00-18:00"], "outside": "skip"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// An IANA name.
    pub timezone: String,
    /// `mon-fri 09:00-18:00`, `sat 10:00-14:00`, `sun`; what ends before it begins ends the day after. All of the week
    /// where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekly: Vec<String>,
    /// Only in some weeks: a rotation, in which each has a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
    #[serde(default)]
    pub outside: Outside,
}

/// One week of so many, beginning with that of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// How many take turns.
    pub of: u32,
    /// The first day of a week in which it is this one's turn, as in `2026-11-30`.
    pub from: String,
}

/// What becomes of what would be told outside of the hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// It is told when they begin, unless it is over by then.
    #[default]
    Wait,
    /// Others are on call: it is not told here, but for what follows what was.
    Skip,
}

/// Hours that were understood.
struct Calendar {
    zone: Tz,
    windows: Vec<Window>,
    turn: Option<(i64, NaiveDate)>,
}

/// Minutes of a day, on some days.
struct Window {
    days: [bool; 7],
    from: u32,
    /// More than a day's minutes where it ends the day after.
    to: u32,
}

impl Hours {
    /// When to tell what is due at `at`; none where it is not to be told. What cannot be understood is told at once.
    pub fn when(&self, at: Timestamp) -> Option<Timestamp> {
        let Ok(calendar) = self.calendar() else {
            return Some(at);
        };
        if calendar.is_open(at) {
            return Some(at);
        }
        match self.outside {
            Outside::Skip => None,
            Outside::Wait => calendar.next(at),
        }
    }

    /// Everything that is wrong with it, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        self.calendar().err().unwrap_or_default()
    }

    fn calendar(&self) -> Result<Calendar, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let zone: Option<Tz> = self.timezone.parse().ok();
        if zone.is_none() {
            let message = format!("`{}` is no time zone such as Europe/Berlin", self.timezone);
            problems.push(("timezone", message));
        }
        if self.weekly.len() > MOST_WINDOWS {
            problems.push(("weekly", format!("must be {MOST_WINDOWS} or less")));
        }
        let windows = self.weekly.iter().filter_map(|text| {
            let read = Window::read(text);
            read.map_err(|message| problems.push(("weekly", message)))
                .ok()
        });
        let windows = windows.collect();
        let turn = self.turn.as_ref().and_then(|turn| {
            let read = turn.read();
            read.map_err(|message| problems.push(("turn", message)))
                .ok()
        });
        match zone {
            Some(zone) if problems.is_empty() => Ok(Calendar {
                zone,
                windows,
                turn,
            }),
            _ => Err(problems),
        }
    }
}

impl Turn {
    fn read(&self) -> Result<(i64, NaiveDate), String> {
        if !(2..=MOST_WEEKS).contains(&self.of) {
            return Err(format!("`of` must be 2 to {MOST_WEEKS}"));
        }
        let from = self.from.parse();
        let from = from.map_err(|_| format!("`{}` is no date such as 2026-11-30", self.from))?;
        Ok((self.of.into(), from))
    }
}

impl Window {
    fn read(text: &str) -> Result<Self, String> {
        let read = || {
            let (days, hours) = text.split_once(' ').unwrap_or((text, "00:00-24:00"));
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let [first, last] = [day(first)?, day(last)?];
            let mut all = [false; 7];
            for ahead in 0..=(last + 7 - first) % 7 {
                all[(first + ahead) % 7] = true;
            }
            let (from, to) = hours.trim().split_once('-')?;
            let [from, to] = [minutes(from)?, minutes(to)?];
            let to = if to <= from { to + MINUTES_A_DAY } else { to };
            (from < MINUTES_A_DAY).then_some(Self {
                days: all,
                from,
                to,
            })
        };
        read().ok_or_else(|| format!("`{text}` is not like `mon-fri 09:00-18:00`"))
    }

    /// Whether a minute is in the window of the day whose first minute is minute zero.
    fn contains(&self, date: NaiveDate, minute: u32) -> bool {
        let day = date.weekday().num_days_from_monday() as usize;
        self.days[day] && (self.from..self.to).contains(&minute)
    }
}

/// Of the week.
fn day(name: &str) -> Option<usize> {
    let day: Weekday = name.parse().ok()?;
    Some(day.num_days_from_monday() as usize)
}

/// Of `09:30`, of the day.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|it| it.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let [hours, minutes]: [u32; 2] = [hours.parse().ok()?, minutes.parse().ok()?];
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= MINUTES_A_DAY).then_some(all)
}

impl Calendar {
    fn is_open(&self, at: Timestamp) -> bool {
        let Some(utc) = DateTime::<Utc>::from_timestamp_micros(at.as_micros()) else {
            return true;
        };
        let local = utc.with_timezone(&self.zone);
        let (date, minute) = (local.date_naive(), local.hour() * 60 + local.minute());
        let yesterday = date.pred_opt().unwrap_or(date);
        // What began the day before may go on.
        [(date, minute), (yesterday, minute + MINUTES_A_DAY)]
            .into_iter()
            .any(|(date, minute)| self.has(date, minute))
    }

    fn has(&self, date: NaiveDate, minute: u32) -> bool {
        let is_in = match self.windows.as_slice() {
            [] => minute < MINUTES_A_DAY,
            windows => windows.iter().any(|it| it.contains(date, minute)),
        };
        is_in
            && self.turn.is_none_or(|(of, from)| {
                let weeks = (date - from).num_days().div_euclid(7);
                weeks.rem_euclid(of) == 0
            })
    }

    /// The first minute after `at` that is open.
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let minute = i64::try_from(MINUTE.as_micros()).ok()?;
        let first = Timestamp::from_micros(at.as_micros().div_euclid(minute) * minute);
        let longest = 7 * MINUTES_A_DAY * (MOST_WEEKS + 1);
        let mut minutes = (1..=longest).map(|ahead| first + MINUTE * ahead);
        minutes.find(|at| self.is_open(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(json: &str) -> Hours {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(hours: &Hours, at: &str, expected: Option<&str>) {
        let when = hours.when(at.parse().unwrap());
        let expected = expected.map(|at| at.parse::<Timestamp>().unwrap());
        assert_eq!(when, expected, "{at}");
    }

    #[test]
    fn what_is_due_at_night_waits_for_the_morning() {
        let it = hours(r#"{"timezone":"Europe/Berlin","weekly":["mon-fri 09:00-18:00"]}"#);
        check(&it, "2026-11-27T10:00:00Z", Some("2026-11-27T10:00:00Z"));
        // Friday evening; Monday at nine is eight in UTC.
        check(&it, "2026-11-27T17:00:00Z", Some("2026-11-30T08:00:00Z"));
        check(&it, "2026-11-30T07:59:30Z", Some("2026-11-30T08:00:00Z"));
        // In summer it is seven.
        check(&it, "2026-07-03T18:00:00Z", Some("2026-07-06T07:00:00Z"));
    }

    #[test]
    fn a_window_may_go_over_midnight_and_over_the_week() {
        let it = hours(r#"{"timezone":"UTC","weekly":["sat-sun 22:00-06:00"],"outside":"skip"}"#);
        check(&it, "2026-11-28T23:00:00Z", Some("2026-11-28T23:00:00Z"));
        check(&it, "2026-11-30T05:59:00Z", Some("2026-11-30T05:59:00Z"));
        check(&it, "2026-11-30T06:00:00Z", None);
        check(&it, "2026-11-27T23:00:00Z", None);
        let it = hours(r#"{"timezone":"UTC","weekly":["sat-mon"],"outside":"skip"}"#);
        check(&it, "2026-11-30T23:59:59Z", Some("2026-11-30T23:59:59Z"));
        check(&it, "2026-12-01T00:00:00Z", None);
    }

    #[test]
    fn who_takes_turns_is_told_in_the_own_week() {
        let it =
            hours(r#"{"timezone":"UTC","turn":{"of":2,"from":"2026-11-30"},"outside":"skip"}"#);
        check(&it, "2026-12-06T23:59:00Z", Some("2026-12-06T23:59:00Z"));
        check(&it, "2026-12-07T00:00:00Z", None);
        check(&it, "2026-11-29T23:59:00Z", None);
        check(&it, "2026-12-14T00:00:00Z", Some("2026-12-14T00:00:00Z"));
    }

    #[test]
    fn in_a_night_that_the_clocks_change_the_hours_are_those_of_the_wall() {
        let it = hours(r#"{"timezone":"Europe/Berlin","weekly":["mon-sun 02:30-04:00"]}"#);
        // 02:30 does not exist on this day: the first open minute is 03:00.
        check(&it, "2026-03-29T00:00:00Z", Some("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let it = hours(
            r#"{"timezone":"Berlin","weekly":["mon 9-17","fri 09:00-25:00","mon 09:00-18:00"],"turn":{"of":1,"from":"x"}}"#,
        );
        let keys: Vec<_> = it.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["timezone", "weekly", "weekly", "turn"]);
    }
}
