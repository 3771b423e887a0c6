//! Small pictures in rows of lists: the outcomes of a day, and how latency went. A thousand of them fit on a page.

use std::fmt::Write as _;
use std::time::Duration;

use sonde_core::Timestamp;
use sonde_results::{Bucket, TimeRange};

use crate::format;

/// Bars in a day: one per half hour.
pub(crate) const STEP: Duration = Duration::from_mins(30);
pub(crate) const DAY: Duration = Duration::from_hours(24);
const BARS: usize = 48;

/// The worst outcome of each half hour of the day that ends at `now`, with a text for those who do not see it. Bars of one
/// kind are one stroke, which the stylesheet dashes.
pub(crate) fn day(buckets: &[Bucket], now: Timestamp) -> String {
    let mut classes = [None; BARS];
    for bucket in buckets {
        if let Some(class) = place(bucket.start, now).and_then(|place| classes.get_mut(place)) {
            *class = Some(worst(bucket));
        }
    }
    let mut strokes = String::new();
    for class in ["ok", "degraded", "failed", "missed"] {
        let path = runs(&classes, class);
        if !path.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(strokes, r#"<path class="{class}" d="{path}"/>"#);
        }
    }
    let label = label(buckets);
    format!(
        r#"<svg class="strip" viewBox="0 0 {BARS} 10" preserveAspectRatio="none" role="img" aria-label="{label}"><path class="none" d="M0 5h{BARS}"/>{strokes}</svg>"#
    )
}

/// Which bar of the day that ends at `now` a bucket is.
fn place(start: Timestamp, now: Timestamp) -> Option<usize> {
    let first = (now - DAY).floor(STEP) + STEP;
    if start < first {
        return None;
    }
    usize::try_from(start.since(first).as_secs() / STEP.as_secs()).ok()
}

fn runs(classes: &[Option<&str>], class: &str) -> String {
    let mut path = String::new();
    let mut place = 0;
    while place < classes.len() {
        let these = classes.iter().skip(place);
        let length = these.take_while(|it| **it == Some(class)).count();
        if length > 0 {
            let _ = write!(path, "M{place} 5h{length}");
        }
        place += length.max(1);
    }
    path
}

fn worst(bucket: &Bucket) -> &'static str {
    match bucket {
        bucket if bucket.failed > 0 => "failed",
        bucket if bucket.degraded > 0 => "degraded",
        bucket if bucket.ok > 0 => "ok",
        _ => "missed",
    }
}

fn label(buckets: &[Bucket]) -> String {
    let sum = |count: fn(&Bucket) -> u64| buckets.iter().map(count).sum::<u64>();
    let executed = sum(|bucket| bucket.ok + bucket.degraded + bucket.failed);
    if executed == 0 {
        return "no checks in the last 24 hours".to_owned();
    }
    format!(
        "last 24 hours: {} checks, {} failed",
        format::count(executed),
        format::count(sum(|bucket| bucket.failed))
    )
}

/// Values over a range, from nothing up; what is further apart than a step is not joined. In whole steps and pixels, each
/// from the one before, so that it is short.
pub(crate) fn trend(
    points: &[(Timestamp, Option<u64>)],
    range: TimeRange,
    step: Duration,
) -> String {
    const HEIGHT: u64 = 20;
    let known = points
        .iter()
        .filter_map(|(at, value)| Some((*at, (*value)?)));
    let highest = known.clone().map(|(_, value)| value).max();
    let Some(highest) = highest.filter(|it| *it > 0) else {
        return String::new();
    };
    let first = range.from.floor(step);
    let steps = |until: Timestamp| until.since(first).as_micros() / step.as_micros().max(1);
    let mut path = String::new();
    let mut before: Option<(u128, u64)> = None;
    for (at, value) in known {
        let x = steps(at);
        let y = HEIGHT - (value * HEIGHT + highest / 2) / highest;
        // Writing to a String cannot fail.
        let _ = match before {
            Some((last, _)) if last == x => continue,
            Some((last, above)) if last + 1 == x => {
                write!(path, "l1 {}", y.cast_signed() - above.cast_signed())
            }
            _ => write!(path, "M{x} {y}"),
        };
        before = Some((x, y));
    }
    let path = path.replace(" -", "-");
    format!(
        r#"<svg class="trend" viewBox="0 -1 {} {}" preserveAspectRatio="none" role="img" aria-label="up to {}"><path d="{path}"/></svg>"#,
        steps(range.to).max(1),
        HEIGHT + 2,
        format::latency(highest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(start: Timestamp, failed: u64) -> Bucket {
        Bucket {
            monitor: sonde_core::MonitorId::new("shop").unwrap(),
            start,
            ok: 10,
            degraded: 0,
            failed,
            missed: 0,
            mean_us: Some(1000),
        }
    }

    #[test]
    fn a_gap_is_a_gap_and_a_failure_is_marked() {
        let now = Timestamp::from_micros(1_763_640_000_000_000);
        let hours = |hours: u64| (now - Duration::from_hours(hours)).floor(STEP);
        let two_days_ago = bucket(hours(48), 1);
        let svg = day(
            &[bucket(hours(3), 0), bucket(hours(1), 2), two_days_ago],
            now,
        );
        assert!(svg.contains(r#"<path class="ok" d="M41 5h1"/>"#), "{svg}");
        assert!(
            svg.contains(r#"<path class="failed" d="M45 5h1"/>"#),
            "{svg}"
        );
        let all: Vec<_> = (0..48_u32)
            .map(|n| bucket((now - DAY).floor(STEP) + STEP * (n + 1), 0))
            .collect();
        let svg = day(&all, now);
        assert!(svg.contains(r#"<path class="ok" d="M0 5h48"/>"#), "{svg}");
        assert!(svg.contains("last 24 hours: 480 checks, 0 failed"), "{svg}");
    }

    #[test]
    fn a_trend_is_joined_where_nothing_is_missing() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let range = TimeRange {
            from: at(0),
            to: at(100),
        };
        let points = [
            (at(0), Some(5)),
            (at(10), Some(10)),
            (at(20), None),
            (at(50), Some(10)),
        ];
        let svg = trend(&points, range, Duration::from_secs(10));
        assert!(svg.contains(r#"d="M0 10l1-10M5 0""#), "{svg}");
        assert_eq!(trend(&points[2..3], range, Duration::from_secs(10)), "");
    }
}
