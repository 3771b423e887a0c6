//! Maintenance: windows of time in which outcomes of some monitors neither alert nor count. Checks go on all the while.
//!
//! What recurs does so in the local time of its zone: "daily at 02:30" stays at 02:30 when the clocks change. As RFC 5545
//! has it, a time that the clocks skip is read with the offset from before (so 02:30 becomes 03:30), of one that comes
//! twice the first is meant, and a duration is elapsed time: 24 h from midnight end at 23:00 on a day of 25 hours.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{MonitorId, Timestamp, format_duration, parse_duration};

mod rule;

use rule::{End, Parsed};

const LONGEST_TITLE: usize = 200;
const MOST_MONITORS: usize = 1000;
const MOST_TAGS: usize = 100;
const SHORTEST: Duration = Duration::from_mins(1);
/// Of a window that recurs: so far back is looked for beginnings of what is still going on.
const LONGEST_RECURRING: Duration = Duration::from_hours(31 * 24);
/// Calendars of other centuries are typing errors.
const YEARS: std::ops::Range<i32> = 2000..2200;
/// Clocks were never put forward by more than a day.
const LONGEST_GAP: TimeDelta = TimeDelta::hours(25);

/// How maintenance is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceBody {
    pub title: String,
    pub monitors: MaintainedMonitors,
    pub schedule: MaintenanceSchedule,
}

/// Which monitors are maintained: `"all"`, `{"ids": […]}` or `{"tags": […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintainedMonitors {
    All,
    Ids(Vec<MonitorId>),
    /// Those with any of them.
    Tags(Vec<String>),
}

/// When: `{"once": {…}}` or `{"recurring": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceSchedule {
    Once(MaintenanceWindow),
    Recurring(Recurrence),
}

/// From an instant to another, which is the first that is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    /// As after `RRULE:` in RFC 5545: `FREQ=WEEKLY;BYDAY=SU`.
    pub rrule: String,
    /// An IANA name such as `Europe/Berlin`.
    pub timezone: String,
    /// Local time of the first window, as in `2026-11-20T02:30`.
    pub starts_at: String,
    /// How long each takes, as in `1h 30m`.
    pub duration: String,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceProblem {
    /// As in `schedule.recurring.rrule`.
    pub path: &'static str,
    pub message: String,
}

/// Why a body is no maintenance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct InvalidMaintenance(pub Vec<MaintenanceProblem>);

fn told(problems: &[MaintenanceProblem]) -> String {
    let one = |problem: &MaintenanceProblem| format!("{}: {}", problem.path, problem.message);
    problems.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Validated maintenance; in JSON a [`MaintenanceBody`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MaintenanceBody", into = "MaintenanceBody")]
pub struct Maintenance {
    body: MaintenanceBody,
    times: Times,
}

#[derive(Debug, Clone, PartialEq)]
enum Times {
    Once(MaintenanceWindow),
    Recurring(Box<Recurring>),
}

#[derive(Debug, Clone, PartialEq)]
struct Recurring {
    parsed: Parsed,
    zone: Tz,
    duration: Duration,
}

impl MaintenanceWindow {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

impl MaintainedMonitors {
    /// Whether a monitor is among them.
    pub fn include(&self, monitor: &MonitorId, tags: &[String]) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(monitor),
            Self::Tags(named) => named.iter().any(|tag| tags.contains(tag)),
        }
    }
}

impl Maintenance {
    pub fn new(body: MaintenanceBody) -> Result<Self, InvalidMaintenance> {
        let mut problems = Problems(Vec::new());
        problems.look_at_title(&body.title);
        problems.look_at_monitors(&body.monitors);
        let times = match &body.schedule {
            MaintenanceSchedule::Once(window) => {
                problems.look_at_window(window);
                Some(Times::Once(*window))
            }
            MaintenanceSchedule::Recurring(recurrence) => problems
                .read_recurrence(recurrence)
                .map(|recurring| Times::Recurring(Box::new(recurring))),
        };
        match times {
            Some(times) if problems.0.is_empty() => Ok(Self { body, times }),
            _ => Err(InvalidMaintenance(problems.0)),
        }
    }

    /// From how it is stored.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub fn body(&self) -> &MaintenanceBody {
        &self.body
    }

    pub fn monitors(&self) -> &MaintainedMonitors {
        &self.body.monitors
    }

    /// Whether the outcome of a monitor at `slot` is not to count. To ask it of many, take [`Self::windows`] once.
    pub fn covers(&self, slot: Timestamp, monitor: &MonitorId, tags: &[String]) -> bool {
        let instant = slot + Duration::from_micros(1);
        self.monitors().include(monitor, tags) && self.windows(slot, instant).next().is_some()
    }

    /// The windows that have a part between two instants, by when they begin in local time. They may overlap. Costs in
    /// proportion to the days in between and to the duration of a window.
    pub fn windows(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = MaintenanceWindow> {
        let (once, recurring) = match &self.times {
            Times::Once(window) => (Some(*window), None),
            Times::Recurring(recurring) => (None, Some(recurring.windows(from, to))),
        };
        once.into_iter()
            .chain(recurring.into_iter().flatten())
            .filter(move |window| window.from < to && from < window.to)
    }
}

impl TryFrom<MaintenanceBody> for Maintenance {
    type Error = InvalidMaintenance;
    fn try_from(body: MaintenanceBody) -> Result<Self, InvalidMaintenance> {
        Self::new(body)
    }
}

impl From<Maintenance> for MaintenanceBody {
    fn from(maintenance: Maintenance) -> Self {
        maintenance.body
    }
}

impl Recurring {
    /// At least those that have a part between the two.
    fn windows(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = MaintenanceWindow> {
        let days = self.local_day(from - self.duration).zip(self.local_day(to));
        // Local time may be a day off where clocks changed.
        let days = days.and_then(|(first, last)| {
            let first = first.checked_sub_days(Days::new(1))?;
            Some((first, last.checked_add_days(Days::new(1))?))
        });
        let starts = days.map(|(first, last)| self.parsed.rule.starts(first, last));
        starts
            .into_iter()
            .flatten()
            .take_while(|at| match self.parsed.end {
                End::Last(last) => *at <= last,
                End::Until(_) | End::Never => true,
            })
            .filter_map(|at| instant(self.zone, at))
            .filter(|at| match self.parsed.end {
                End::Until(until) => *at <= until,
                End::Last(_) | End::Never => true,
            })
            .map(|from| MaintenanceWindow {
                from,
                to: from + self.duration,
            })
    }

    fn local_day(&self, at: Timestamp) -> Option<chrono::NaiveDate> {
        let at = DateTime::<Utc>::from_timestamp_micros(at.as_micros())?;
        Some(at.with_timezone(&self.zone).date_naive())
    }
}

/// See the head of this file.
pub(crate) fn instant(zone: Tz, local: NaiveDateTime) -> Option<Timestamp> {
    let micros = match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.timestamp_micros(),
        LocalResult::None => {
            let before = local.checked_sub_signed(LONGEST_GAP)?;
            let before = zone.from_local_datetime(&before).latest()?;
            (before + LONGEST_GAP).timestamp_micros()
        }
    };
    Some(Timestamp::from_micros(micros))
}

/// All of them at once.
struct Problems(Vec<MaintenanceProblem>);

impl Problems {
    fn add(&mut self, path: &'static str, message: impl Into<String>) {
        let message = message.into();
        self.0.push(MaintenanceProblem { path, message });
    }

    fn look_at_title(&mut self, title: &str) {
        if title.trim().is_empty() {
            self.add("title", "must not be empty");
        } else if title.chars().count() > LONGEST_TITLE || title.chars().any(char::is_control) {
            let message = format!("must be one line of {LONGEST_TITLE} characters or less");
            self.add("title", message);
        }
    }

    fn look_at_monitors(&mut self, monitors: &MaintainedMonitors) {
        let (path, named, most) = match monitors {
            MaintainedMonitors::All => return,
            MaintainedMonitors::Ids(ids) => ("monitors.ids", ids.len(), MOST_MONITORS),
            MaintainedMonitors::Tags(tags) => ("monitors.tags", tags.len(), MOST_TAGS),
        };
        if !(1..=most).contains(&named) {
            self.add(path, format!("must name 1 to {most}, got {named}"));
        }
    }

    fn look_at_window(&mut self, window: &MaintenanceWindow) {
        if window.to.since(window.from) < SHORTEST {
            let shortest = format_duration(SHORTEST);
            let message = format!("must be {shortest} or more after `from`");
            self.add("schedule.once.to", message);
        }
    }

    fn read_recurrence(&mut self, recurrence: &Recurrence) -> Option<Recurring> {
        let zone = recurrence.timezone.parse::<Tz>();
        if zone.is_err() {
            let message = format!(
                "must be an IANA name such as `Europe/Berlin`, got `{}`",
                recurrence.timezone
            );
            self.add("schedule.recurring.timezone", message);
        }
        let duration = self.read_duration(&recurrence.duration);
        let start = self.read_start(&recurrence.starts_at)?;
        let parsed = rule::parse(&recurrence.rrule, start).map_err(|messages| {
            for message in messages {
                self.add("schedule.recurring.rrule", message);
            }
        });
        Some(Recurring {
            parsed: parsed.ok()?,
            zone: zone.ok()?,
            duration: duration?,
        })
    }

    fn read_duration(&mut self, text: &str) -> Option<Duration> {
        let path = "schedule.recurring.duration";
        match parse_duration(text) {
            Ok(duration) if (SHORTEST..=LONGEST_RECURRING).contains(&duration) => Some(duration),
            Ok(_) => {
                let (shortest, longest) = (SHORTEST, LONGEST_RECURRING);
                let [shortest, longest] = [shortest, longest].map(format_duration);
                self.add(
                    path,
                    format!("must be {shortest} to {longest}, got `{text}`"),
                );
                None
            }
            Err(error) => {
                self.add(path, error.to_string());
                None
            }
        }
    }

    fn read_start(&mut self, text: &str) -> Option<NaiveDateTime> {
        let path = "schedule.recurring.starts_at";
        let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
        let mut read = formats.iter();
        let start = read.find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let start = start.filter(|start| YEARS.contains(&start.year()));
        if start.is_none() {
            let message = format!(
                "must be local time of this century or the next, as in `2026-11-20T02:30`, got `{text}`"
            );
            self.add(path, message);
        }
        start
    }
}

#[cfg(test)]
mod tests;
