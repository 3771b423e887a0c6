//! Reports: how a period went, told to a channel again and again in the local time of a zone.
//!
//! A report is about whole days, whatever the hour that it is told at: the day, the seven days or the month that ended with
//! the midnight before. Local times that clocks skip or repeat are read as maintenance reads them.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::maintenance::instant;
use crate::{MonitorId, Timestamp};

const LONGEST_CHANNEL: usize = 100;
const MOST_MONITORS: usize = 1000;
const MOST_TAGS: usize = 100;
/// So far back is the last time that a report was due, whichever it is: two months, in days.
const LOOK_BACK: u64 = 62;
/// Every month has it.
const LAST_DAY: u32 = 28;

/// How a report is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportBody {
    /// Where it is told.
    pub channel: String,
    pub every: ReportInterval,
    /// Local time: `09:00` of every day, `mon 09:00` of every week, `1 09:00` of every month.
    pub at: String,
    /// An IANA name such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub zone: String,
    /// Only these monitors; without, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitors: Vec<MonitorId>,
    /// Only monitors with any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportInterval {
    Day,
    Week,
    Month,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportProblem {
    pub path: &'static str,
    pub message: String,
}

/// Why a body is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct InvalidReport(pub Vec<ReportProblem>);

fn told(problems: &[ReportProblem]) -> String {
    let one = |problem: &ReportProblem| format!("{}: {}", problem.path, problem.message);
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A validated report; in JSON a [`ReportBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReportBody", into = "ReportBody")]
pub struct Report {
    body: ReportBody,
    day: Day,
    time: NaiveTime,
    zone: Tz,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    Any,
    OfWeek(Weekday),
    OfMonth(u32),
}

/// What one report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPeriod {
    /// When it is to be told.
    pub due: Timestamp,
    /// Its first midnight.
    pub from: Timestamp,
    /// The midnight that it ended with.
    pub to: Timestamp,
    /// The first midnight of the period before, which ended with `from`.
    pub before: Timestamp,
    /// Its first and its last day, which may be the same.
    pub days: (NaiveDate, NaiveDate),
}

impl Report {
    pub fn new(body: ReportBody) -> Result<Self, InvalidReport> {
        let mut problems = Vec::new();
        let mut add = |path, message: String| problems.push(ReportProblem { path, message });
        if !(1..=LONGEST_CHANNEL).contains(&body.channel.len()) {
            add("channel", "must be the id of a channel".to_owned());
        }
        if body.monitors.len() > MOST_MONITORS {
            let message = format!("must name {MOST_MONITORS} or fewer");
            add("monitors", message);
        }
        if body.tags.len() > MOST_TAGS {
            add("tags", format!("must name {MOST_TAGS} or fewer"));
        }
        let at = read_at(body.every, &body.at);
        if at.is_none() {
            let example = match body.every {
                ReportInterval::Day => "`09:00`",
                ReportInterval::Week => "`mon 09:00`",
                ReportInterval::Month => "`1 09:00`, with a day from 1 to 28",
            };
            add("at", format!("must be as in {example}, got `{}`", body.at));
        }
        let zone = body.zone.parse::<Tz>();
        if zone.is_err() {
            let message = format!(
                "must be an IANA name such as `Europe/Berlin`, got `{}`",
                body.zone
            );
            add("zone", message);
        }
        match (at, zone) {
            (Some((day, time)), Ok(zone)) if problems.is_empty() => Ok(Self {
                body,
                day,
                time,
                zone,
            }),
            _ => Err(InvalidReport(problems)),
        }
    }

    pub fn body(&self) -> &ReportBody {
        &self.body
    }

    /// Whether it is about a monitor.
    pub fn includes(&self, monitor: &MonitorId, tags: &[String]) -> bool {
        let ReportBody {
            monitors, tags: of, ..
        } = &self.body;
        (monitors.is_empty() || monitors.contains(monitor))
            && (of.is_empty() || of.iter().any(|tag| tags.contains(tag)))
    }

    /// The last one that was due at `now`.
    pub fn last_due(&self, now: Timestamp) -> Option<ReportPeriod> {
        let today = DateTime::<Utc>::from_timestamp_micros(now.as_micros())?;
        let today = today.with_timezone(&self.zone).date_naive();
        let days = (0..=LOOK_BACK).filter_map(|back| today.checked_sub_days(Days::new(back)));
        let mut days = days.filter(|day| self.is_on(*day));
        days.find_map(|day| self.period(day).filter(|period| period.due <= now))
    }

    fn is_on(&self, date: NaiveDate) -> bool {
        match self.day {
            Day::Any => true,
            Day::OfWeek(day) => date.weekday() == day,
            Day::OfMonth(day) => date.day() == day,
        }
    }

    /// Told on that day.
    fn period(&self, date: NaiveDate) -> Option<ReportPeriod> {
        let back = |times: u32| match self.body.every {
            ReportInterval::Day => date.checked_sub_days(Days::new(u64::from(times))),
            ReportInterval::Week => date.checked_sub_days(Days::new(u64::from(times) * 7)),
            ReportInterval::Month => date.checked_sub_months(Months::new(times)),
        };
        let midnight = |date: NaiveDate| instant(self.zone, date.and_time(NaiveTime::MIN));
        let first = back(1)?;
        Some(ReportPeriod {
            due: instant(self.zone, date.and_time(self.time))?,
            from: midnight(first)?,
            to: midnight(date)?,
            before: midnight(back(2)?)?,
            days: (first, date.pred_opt()?),
        })
    }
}

fn read_at(every: ReportInterval, text: &str) -> Option<(Day, NaiveTime)> {
    let (day, time) = match (every, text.split_once(' ')) {
        (ReportInterval::Day, None) => (Day::Any, text),
        (ReportInterval::Week, Some((day, time))) => (Day::OfWeek(day.parse().ok()?), time),
        (ReportInterval::Month, Some((day, time))) => {
            let day = day.parse().ok().filter(|day| (1..=LAST_DAY).contains(day));
            (Day::OfMonth(day?), time)
        }
        _ => return None,
    };
    Some((day, NaiveTime::parse_from_str(time, "%H:%M").ok()?))
}

impl TryFrom<ReportBody> for Report {
    type Error = InvalidReport;
    fn try_from(body: ReportBody) -> Result<Self, InvalidReport> {
        Self::new(body)
    }
}

impl From<Report> for ReportBody {
    fn from(report: Report) -> Self {
        report.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(every: &str, at: &str, zone: &str) -> Result<Report, InvalidReport> {
        let every = format!("\"{every}\"");
        Report::new(ReportBody {
            channel: "ops".to_owned(),
            every: serde_json::from_str(&every).unwrap(),
            at: at.to_owned(),
            zone: zone.to_owned(),
            monitors: Vec::new(),
            tags: Vec::new(),
        })
    }

    #[track_caller]
    fn check(every: &str, at: &str, now: &str, due: &str, range: [&str; 3]) {
        let report = report(every, at, "Europe/Berlin").unwrap();
        let period = report.last_due(now.parse().unwrap()).unwrap();
        let shown = [period.due, period.before, period.from, period.to].map(|at| at.to_string());
        let [before, from, to] = range;
        let expected = [due, before, from, to].map(|at| {
            let at: Timestamp = at.parse().unwrap();
            at.to_string()
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_week_is_seven_local_days_whatever_the_clocks_do() {
        // Clocks went back on the 25th of October 2026: that week has an hour more.
        check(
            "week",
            "mon 09:00",
            "2026-10-26T08:00:00Z",
            "2026-10-26T08:00:00Z",
            [
                "2026-10-11T22:00:00Z",
                "2026-10-18T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ],
        );
        // A microsecond before it is due the one before is the last.
        check(
            "week",
            "mon 09:00",
            "2026-10-26T07:59:59.999999Z",
            "2026-10-19T07:00:00Z",
            [
                "2026-10-04T22:00:00Z",
                "2026-10-11T22:00:00Z",
                "2026-10-18T22:00:00Z",
            ],
        );
    }

    #[test]
    fn a_day_and_a_month_are_calendar_ones() {
        // 02:30 does not exist on the 29th of March 2026: it is 03:30.
        check(
            "day",
            "02:30",
            "2026-03-29T12:00:00Z",
            "2026-03-29T01:30:00Z",
            [
                "2026-03-26T23:00:00Z",
                "2026-03-27T23:00:00Z",
                "2026-03-28T23:00:00Z",
            ],
        );
        check(
            "month",
            "1 00:00",
            "2026-03-31T12:00:00Z",
            "2026-02-28T23:00:00Z",
            [
                "2025-12-31T23:00:00Z",
                "2026-01-31T23:00:00Z",
                "2026-02-28T23:00:00Z",
            ],
        );
        let report = report("month", "1 09:00", "UTC").unwrap();
        let period = report.last_due("2026-03-31T12:00:00Z".parse().unwrap());
        let (first, last) = period.unwrap().days;
        assert_eq!(format!("{first} {last}"), "2026-02-01 2026-02-28");
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        #[track_caller]
        fn check(every: &str, at: &str, zone: &str, expected: &str) {
            let problems = report(every, at, zone).unwrap_err().to_string();
            assert_eq!(problems, expected);
        }
        check(
            "day",
            "mon 09:00",
            "UTC",
            "at: must be as in `09:00`, got `mon 09:00`",
        );
        check(
            "week",
            "someday 09:00",
            "UTC",
            "at: must be as in `mon 09:00`, got `someday 09:00`",
        );
        check(
            "month",
            "31 09:00",
            "Berlin",
            "at: must be as in `1 09:00`, with a day from 1 to 28, got `31 09:00`; \
             zone: must be an IANA name such as `Europe/Berlin`, got `Berlin`",
        );
    }
}
