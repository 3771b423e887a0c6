//! Numbers and times as people read them: the same on every page, and in the viewer's time zone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sonde_core::{CheckResult, Timestamp};

/// What stands for a number that there is not.
pub(crate) const NOTHING: &str = "–";

/// Three significant digits, in the unit that people read: `870 µs`, `12.3 ms`, `1.24 s`.
pub(crate) fn latency(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (value, unit) = match micros {
        0..1_000 => return format!("{micros} µs"),
        1_000..999_500 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    format!("{value:.digits$} {unit}")
}

pub(crate) fn latency_or_nothing(micros: Option<u64>) -> String {
    micros.map_or_else(|| NOTHING.to_owned(), latency)
}

/// A share of one, rounded down: 100 % means that nothing failed.
pub(crate) fn percent(share: Option<f64>) -> String {
    let Some(share) = share else {
        return NOTHING.to_owned();
    };
    let percent = (share * 1e5 + 1e-6).floor() / 1e3;
    if percent >= 100.0 {
        "100 %".to_owned()
    } else {
        format!("{percent:.3} %")
    }
}

/// With its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Why a check is not ok: the reason's name, and what exactly happened as far as that is known.
pub(crate) fn why(result: &CheckResult) -> Option<(String, String)> {
    let reason = result.reason?;
    let message = result.message.clone();
    let message = message.unwrap_or_else(|| reason.sentence().to_owned());
    Some((reason.to_string(), message))
}

/// How long ago, in the largest unit that says enough.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.since(then).as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds => format!("{} ago", span(Duration::from_secs(seconds))),
    }
}

/// `down for 5 min`, or the state alone.
pub(crate) fn standing(state: &str, since: Option<Timestamp>, now: Timestamp) -> String {
    match since {
        Some(since) => format!("{state} for {}", span(now.since(since))),
        None => state.to_owned(),
    }
}

/// `45 s`, `12 min`, `3 h 20 min`, `5 d 4 h`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let with = |large: u64, unit: &str, small: u64, under: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {under}"),
    };
    match (seconds, minutes, hours) {
        (0..60, ..) => format!("{seconds} s"),
        (_, 0..60, _) => format!("{minutes} min"),
        (_, _, 0..48) => with(hours, "h", minutes % 60, "min"),
        _ => with(days, "d", hours % 24, "h"),
    }
}

/// To the second: `2026-11-27 14:05:09`.
pub(crate) fn moment(at: Timestamp, zone: Tz) -> String {
    written(at, zone, "%Y-%m-%d %H:%M:%S")
}

/// `27 Nov 14:05`.
pub(crate) fn short_moment(at: Timestamp, zone: Tz) -> String {
    written(at, zone, "%-d %b %H:%M")
}

/// By chrono's `strftime`.
pub(crate) fn written(at: Timestamp, zone: Tz, form: &str) -> String {
    let time: DateTime<Utc> = DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    time.with_timezone(&zone).format(form).to_string()
}

/// A sentence of ours with its instants, which are in UTC, as moments of the viewer.
pub(crate) fn localized(text: &str, zone: Tz) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', '.', ')']);
        let at = Some(bare).filter(|it| it.contains('T') && it.ends_with('Z'));
        match at.and_then(|it| it.parse::<Timestamp>().ok()) {
            Some(at) => word.replacen(bare, &moment(at, zone), 1),
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

/// How a figure compares with what it was; none where either is unknown or nothing changed that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// `+12 %`, `−0.4 points`.
    pub(crate) text: String,
    pub(crate) is_better: bool,
}

impl Change {
    /// Of a number of which less is better, in percent of what it was.
    pub(crate) fn of_less(now: Option<u64>, before: Option<u64>) -> Option<Self> {
        let (now, before) = (now?, before.filter(|before| *before > 0)?);
        #[expect(clippy::cast_precision_loss, reason = "whole percents are shown")]
        let percent = ((now as f64 / before as f64 - 1.0) * 100.0).round();
        Self::written(percent, 0, " %", percent < 0.0)
    }

    /// Of a share of which more is better, in percentage points.
    pub(crate) fn of_share(now: Option<f64>, before: Option<f64>) -> Option<Self> {
        let points = ((now? - before?) * 1e5).round() / 1e3;
        Self::written(points, 3, " points", points > 0.0)
    }

    fn written(by: f64, digits: usize, unit: &str, is_better: bool) -> Option<Self> {
        if by == 0.0 {
            return None;
        }
        let sign = if by > 0.0 { '+' } else { '−' };
        Some(Self {
            text: format!("{sign}{:.digits$}{unit}", by.abs()),
            is_better,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_with_three_digits() {
        let shown = [
            999, 1_000, 12_345, 99_949, 99_960, 870_000, 999_600, 1_240_000,
        ]
        .map(latency);
        let expected = [
            "999 µs", "1.00 ms", "12.3 ms", "99.9 ms", "100 ms", "870 ms", "1.00 s", "1.24 s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_what_never_failed_is_a_hundred_percent() {
        let shown = [Some(1.0), Some(0.999_999), Some(0.5), None].map(percent);
        assert_eq!(shown, ["100 %", "99.999 %", "50.000 %", "–"]);
    }

    #[test]
    fn large_numbers_and_long_times_are_read_at_a_glance() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(999), "999");
        let shown = [59, 3_599, 7_260, 86_400 * 5 + 4 * 3_600].map(Duration::from_secs);
        assert_eq!(shown.map(span), ["59 s", "59 min", "2 h 1 min", "5 d 4 h"]);
    }

    #[test]
    fn a_moment_is_the_viewers() {
        let at = Timestamp::from_micros(1_763_640_000_000_000);
        assert_eq!(moment(at, Tz::UTC), "2025-11-20 12:00:00");
        assert_eq!(moment(at, Tz::Asia__Kolkata), "2025-11-20 17:30:00");
    }

    #[test]
    fn instants_in_sentences_are_the_viewers_too() {
        let text =
            "the registration of a.test ends 2025-11-20T12:00:00.000000Z, registered with ZT Z";
        let expected = "the registration of a.test ends 2025-11-20 17:30:00, registered with ZT Z";
        assert_eq!(localized(text, Tz::Asia__Kolkata), expected);
    }

    #[test]
    fn a_change_says_whether_it_is_for_the_better() {
        let slower = Change::of_less(Some(112), Some(100)).unwrap();
        assert_eq!((slower.text.as_str(), slower.is_better), ("+12 %", false));
        let better = Change::of_share(Some(1.0), Some(0.996)).unwrap();
        assert_eq!(
            (better.text.as_str(), better.is_better),
            ("+0.400 points", true)
        );
        assert_eq!(Change::of_less(Some(5), None), None);
        assert_eq!(Change::of_share(Some(0.5), Some(0.5)), None);
    }
}
