//! What maintenance means: its next windows in a small calendar, from the same code that the dispatcher asks.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use sonde_core::{Maintenance, MaintenanceSchedule, MaintenanceWindow, Timestamp};

use crate::format;

/// So far ahead is the first window looked for.
const AHEAD: Duration = Duration::from_hours(366 * 24);
const MONTHS: u32 = 2;
const LISTED: usize = 8;

/// The months with the next windows.
#[derive(Template)]
#[template(path = "calendar.html")]
pub(super) struct Calendar {
    zone: &'static str,
    months: Vec<Month>,
    /// The next ones in words.
    next: Vec<String>,
}

struct Month {
    title: String,
    weeks: Vec<Vec<Day>>,
}

/// Without a number where it is another month's.
struct Day {
    number: Option<u32>,
    is_today: bool,
    /// Local times of what is maintained then.
    parts: Vec<String>,
}

impl Calendar {
    /// In the zone in which it recurs, else in the viewer's.
    pub(super) fn new(maintenance: &Maintenance, now: Timestamp, viewer: Tz) -> Self {
        let zone = match &maintenance.body().schedule {
            MaintenanceSchedule::Recurring(it) => it.timezone.parse().unwrap_or(viewer),
            MaintenanceSchedule::Once(_) => viewer,
        };
        let next: Vec<MaintenanceWindow> =
            maintenance.windows(now, now + AHEAD).take(LISTED).collect();
        let begin = next.first().map_or(now, |window| window.from.max(now));
        let today = local(now, zone).date_naive();
        let first = local(begin, zone).date_naive();
        let first = first.with_day(1).unwrap_or(first);
        let firsts = (0..MONTHS).filter_map(|it| first.checked_add_months(Months::new(it)));
        let months = firsts.map(|first| {
            // A day more on each side: local months begin at other instants.
            let from = midnight(first) - Duration::from_hours(24);
            let to = midnight(first) + Duration::from_hours(33 * 24);
            let windows: Vec<_> = maintenance.windows(from, to).collect();
            Month::new(first, today, &windows, zone)
        });
        Self {
            zone: zone.name(),
            months: months.collect(),
            next: next.iter().map(|it| words(it, zone)).collect(),
        }
    }
}

fn local(at: Timestamp, zone: Tz) -> DateTime<Tz> {
    let time: DateTime<Utc> = DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    time.with_timezone(&zone)
}

fn midnight(day: NaiveDate) -> Timestamp {
    let at = day.and_time(chrono::NaiveTime::MIN).and_utc();
    Timestamp::from_micros(at.timestamp_micros())
}

/// `Sun 25 Oct 2026 02:30 CEST – 03:00 CET`.
fn words(window: &MaintenanceWindow, zone: Tz) -> String {
    let from = format::written(window.from, zone, "%a %-d %b %Y %H:%M %Z");
    let is_same_day = local(window.from, zone).date_naive() == local(window.to, zone).date_naive();
    let form = if is_same_day {
        "%H:%M %Z"
    } else {
        "%a %-d %b %Y %H:%M %Z"
    };
    format!("{from} – {}", format::written(window.to, zone, form))
}

impl Month {
    fn new(first: NaiveDate, today: NaiveDate, windows: &[MaintenanceWindow], zone: Tz) -> Self {
        let before = first.weekday().num_days_from_monday();
        let monday = first - Days::new(before.into());
        let weeks = (0..6).map(|week| monday + Days::new(week * 7));
        let weeks = weeks.take_while(|monday| {
            (*monday - first).num_days() < 28 || monday.month() == first.month()
        });
        let weeks = weeks.map(|monday| {
            let days = monday.iter_days().take(7);
            days.map(|day| Day {
                number: (day.month() == first.month()).then(|| day.day()),
                is_today: day == today,
                parts: parts(day, windows, zone),
            })
            .collect()
        });
        Self {
            title: first.format("%B %Y").to_string(),
            weeks: weeks.collect(),
        }
    }
}

/// What of the windows is on a day, in local time.
fn parts(day: NaiveDate, windows: &[MaintenanceWindow], zone: Tz) -> Vec<String> {
    let parts = windows.iter().filter_map(|window| {
        let from = local(window.from, zone);
        let to = local(window.to, zone);
        let last = local(window.to - Duration::from_micros(1), zone).date_naive();
        let (first, time) = (from.date_naive(), "%H:%M");
        let is_on = first <= day && day <= last;
        is_on.then(|| {
            let begin = if first == day {
                from.format(time).to_string()
            } else {
                "00:00".to_owned()
            };
            let end = if to.date_naive() == day {
                to.format(time).to_string()
            } else {
                "24:00".to_owned()
            };
            format!("{begin}–{end}")
        })
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn calendar(schedule: &Value, now: &str) -> Calendar {
        let body = json!({ "title": "t", "monitors": "all", "schedule": schedule });
        let maintenance = Maintenance::from_json(&body.to_string()).unwrap();
        Calendar::new(&maintenance, now.parse().unwrap(), Tz::Europe__Berlin)
    }

    fn on(month: &Month, number: u32) -> String {
        let days = month.weeks.iter().flatten();
        let mut days = days.filter(|day| day.number == Some(number));
        let day = days.next().unwrap();
        assert!(days.next().is_none());
        day.parts.join(" ")
    }

    #[test]
    fn windows_stay_at_their_local_time_when_the_clocks_change() {
        let nightly = json!({ "recurring": {
            "rrule": "FREQ=DAILY", "timezone": "Europe/Berlin", "starts_at": "2026-10-20T02:30", "duration": "1h" } });
        let it = calendar(&nightly, "2026-10-24T12:00:00Z");
        assert_eq!(it.months[0].title, "October 2026");
        assert_eq!(on(&it.months[0], 19), "");
        assert_eq!(on(&it.months[0], 24), "02:30–03:30");
        // The hour from two to three comes twice.
        assert_eq!(on(&it.months[0], 25), "02:30–02:30");
        assert_eq!(on(&it.months[1], 30), "02:30–03:30");
        assert_eq!(it.next[0], "Sun 25 Oct 2026 02:30 CEST – 02:30 CET");
        assert_eq!(it.months[0].weeks.len(), 5);
        assert!(
            it.months
                .iter()
                .all(|month| month.weeks.iter().all(|week| week.len() == 7))
        );
    }

    #[test]
    fn what_takes_several_days_is_on_each_of_them() {
        let once =
            json!({ "once": { "from": "2027-02-27T22:00:00Z", "to": "2027-03-01T23:00:00Z" } });
        let it = calendar(&once, "2026-11-20T12:00:00Z");
        assert_eq!(it.months[0].title, "February 2027");
        assert_eq!(on(&it.months[0], 27), "23:00–24:00");
        assert_eq!(on(&it.months[0], 28), "00:00–24:00");
        assert_eq!(on(&it.months[1], 1), "00:00–24:00");
        assert_eq!(on(&it.months[1], 2), "");
        assert!(it.months[0].weeks[3][6].number == Some(28));
    }
}
