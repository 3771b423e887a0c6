//! Axes: where an instant is, what is written under it in the viewer's time zone, and round numbers for heights.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use sonde_core::Timestamp;
use sonde_results::TimeRange;

use crate::format;

/// The width of a plot in its own units, which are stretched to what the page gives it.
pub(crate) const WIDTH: f64 = 1000.0;

/// Labels under an axis, at most.
const MOST_TICKS: u64 = 9;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// On which the clocks are put back.
const LONG_DAY: u64 = 25 * HOUR;
/// Seconds between two labels: what people read easily.
const STEPS: [u64; 15] = [
    60,
    300,
    600,
    900,
    1_800,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    30 * DAY,
];

/// From when to when, in whose time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeAxis {
    pub(crate) range: TimeRange,
    pub(crate) zone: Tz,
}

/// A label at a share of the width.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) percent: f64,
    pub(crate) label: String,
}

impl TimeAxis {
    /// In units of the plot; outside of it for what is outside of the range.
    #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
    pub(crate) fn x(&self, at: Timestamp) -> f64 {
        let (from, to) = (self.range.from.as_micros(), self.range.to.as_micros());
        (at.as_micros() - from) as f64 / (to - from).max(1) as f64 * WIDTH
    }

    /// The part of the plot between two instants: where it begins, and how wide it is.
    pub(crate) fn between(&self, from: Timestamp, to: Timestamp) -> Option<(f64, f64)> {
        let (begins, ends) = (self.x(from).max(0.0), self.x(to).min(WIDTH));
        (begins < ends).then_some((begins, ends - begins))
    }

    /// At whole hours or days of the viewer's clock.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let length = self.range.to.since(self.range.from).as_secs();
        let step = STEPS.into_iter().find(|step| length / step < MOST_TICKS);
        let step = step.unwrap_or(length / DAY / MOST_TICKS * DAY + DAY);
        let form = match (step, length) {
            (DAY.., _) => "%-d %b",
            (_, 0..=LONG_DAY) => "%H:%M",
            _ => "%-d %b %H:%M",
        };
        let ticks = self.instants(step).into_iter();
        let ticks = ticks.filter(|at| *at >= self.range.from && *at < self.range.to);
        let ticks = ticks.map(|at| Tick {
            percent: self.x(at) / WIDTH * 100.0,
            label: format::written(at, self.zone, form),
        });
        ticks.collect()
    }

    /// Every `step` seconds of local time from the first midnight on. A time that the clocks skip is left out, of one that
    /// comes twice the first is meant.
    fn instants(&self, step: u64) -> Vec<Timestamp> {
        let begins = local(self.range.from, self.zone);
        let ends = local(self.range.to, self.zone);
        let mut day = first_day(begins.date(), step);
        let mut instants = Vec::new();
        while day <= ends.date() {
            let within_day = (0..DAY).step_by(usize::try_from(step.min(DAY)).unwrap_or(usize::MAX));
            for second in within_day {
                let Ok(second) = u32::try_from(second) else {
                    continue;
                };
                let time = day.and_hms_opt(second / 3_600, second / 60 % 60, 0);
                let at = time.and_then(|time| self.zone.from_local_datetime(&time).earliest());
                instants.extend(at.map(|at| Timestamp::from_micros(at.timestamp_micros())));
            }
            let Some(next) = day.checked_add_days(Days::new((step / DAY).max(1))) else {
                break;
            };
            day = next;
        }
        instants
    }
}

fn local(at: Timestamp, zone: Tz) -> NaiveDateTime {
    let at: DateTime<Utc> = DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    at.with_timezone(&zone).naive_local()
}

/// Steps of several days are counted from the same day on whatever the range is, so that labels stay while it moves.
fn first_day(day: NaiveDate, step: u64) -> NaiveDate {
    let days = step / DAY;
    if days < 2 {
        return day;
    }
    let over = u64::try_from(day.num_days_from_ce()).unwrap_or(0) % days;
    day.checked_sub_days(Days::new(over)).unwrap_or(day)
}

/// Round values from nothing up to the first that is not below `highest`: 3 to 6 of them.
pub(crate) fn heights(highest: f64) -> Vec<f64> {
    if highest <= 0.0 {
        return vec![0.0, 1.0];
    }
    let raw = highest / 4.0;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].map(|it| it * magnitude);
    let step = nice.into_iter().find(|step| *step * 1.000_001 >= raw);
    let step = step.unwrap_or(raw);
    let mut heights = vec![0.0];
    while heights
        .last()
        .is_some_and(|last| *last < highest * 0.999_999)
    {
        #[expect(clippy::cast_precision_loss, reason = "there are a handful")]
        let next = heights.len() as f64 * step;
        heights.push(next);
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(from: &str, to: &str, zone: Tz) -> TimeAxis {
        TimeAxis {
            range: TimeRange {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
            },
            zone,
        }
    }

    fn labels(axis: &TimeAxis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn labels_are_at_whole_hours_of_the_viewers_clock() {
        let day = axis(
            "2026-11-20T09:20:00Z",
            "2026-11-21T09:20:00Z",
            Tz::Asia__Kolkata,
        );
        let expected = [
            "15:00", "18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00",
        ];
        assert_eq!(labels(&day), expected);
        let ticks = day.ticks();
        // 15:00 in Kolkata is 09:30 in UTC.
        assert!(
            (ticks[0].percent - 10.0 / 1440.0 * 100.0).abs() < 1e-9,
            "{ticks:?}"
        );
    }

    #[test]
    fn the_hour_that_the_clocks_skip_has_no_label_and_days_stay_days() {
        let night = axis(
            "2026-03-28T22:00:00Z",
            "2026-03-29T04:00:00Z",
            Tz::Europe__Berlin,
        );
        let shown = labels(&night);
        assert!(
            shown.contains(&"01:00".to_owned()) && !shown.contains(&"02:00".to_owned()),
            "{shown:?}"
        );
        let week = axis(
            "2026-03-26T00:00:00Z",
            "2026-04-02T00:00:00Z",
            Tz::Europe__Berlin,
        );
        let expected = [
            "27 Mar", "28 Mar", "29 Mar", "30 Mar", "31 Mar", "1 Apr", "2 Apr",
        ];
        assert_eq!(labels(&week), expected);
    }

    #[test]
    fn heights_are_round() {
        assert_eq!(heights(9.3), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(heights(100.0), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(heights(0.0), [0.0, 1.0]);
        assert_eq!(heights(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }
}
