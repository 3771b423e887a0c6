//! A day as a row of bars: height is latency, colour is the outcome, gaps are gaps.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use sonde_core::Timestamp;
use sonde_results::Bucket;

/// Bars in a day: one per half hour.
pub(crate) const STEP: Duration = Duration::from_mins(30);
pub(crate) const DAY: Duration = Duration::from_hours(24);
const BARS: u32 = 48;

/// Units of the SVG's own coordinates.
const BAR_WIDTH: u32 = 5;
const HEIGHT: f64 = 28.0;
/// The least height of a bar that has data, so that fast is not invisible.
const LEAST: f64 = 4.0;
/// The stub that stands for half an hour without a check.
const NOTHING: f64 = 1.5;

/// The SVG of the day that ends at `now`, with a text for those who do not see it.
pub(crate) fn render(buckets: &[Bucket], now: Timestamp) -> String {
    let start = (now - DAY).floor(STEP) + STEP;
    let highest = buckets
        .iter()
        .filter_map(|bucket| bucket.mean_us)
        .max()
        .unwrap_or(1)
        .max(1);
    let at = |bucket: &Bucket| bucket.start.since(start).as_secs() / STEP.as_secs();
    let by_place: HashMap<u64, &Bucket> = buckets
        .iter()
        .filter(|bucket| bucket.start >= start)
        .map(|bucket| (at(bucket), bucket))
        .collect();
    let mut bars = String::new();
    for place in 0..u64::from(BARS) {
        let bucket = by_place.get(&place);
        let height = bucket.map_or(NOTHING, |bucket| {
            #[expect(clippy::cast_precision_loss, reason = "a bar's height on a screen")]
            let share = bucket
                .mean_us
                .map_or(1.0, |mean| mean as f64 / highest as f64);
            LEAST + (HEIGHT - LEAST) * share
        });
        let class = bucket.map_or("none", |bucket| class(bucket));
        let title = bucket.map_or_else(String::new, |bucket| title(bucket));
        let (x, y) = (place * u64::from(BAR_WIDTH), HEIGHT - height);
        // Writing to a String cannot fail.
        let _ = write!(
            bars,
            r#"<rect class="{class}" x="{x}" y="{y:.1}" width="4" height="{height:.1}" rx="1"><title>{title}</title></rect>"#
        );
    }
    let label = label(buckets);
    format!(
        r#"<svg class="spark" viewBox="0 0 {} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">{bars}</svg>"#,
        BARS * BAR_WIDTH
    )
}

fn class(bucket: &Bucket) -> &'static str {
    match bucket {
        bucket if bucket.failed > 0 => "down",
        bucket if bucket.degraded > 0 => "degraded",
        bucket if bucket.ok > 0 => "up",
        _ => "unknown",
    }
}

fn title(bucket: &Bucket) -> String {
    let Bucket {
        ok,
        degraded,
        failed,
        missed,
        ..
    } = bucket;
    let minute = bucket.start.to_string();
    let time = minute.get(11..16).unwrap_or_default();
    let mut text = format!("{time} UTC: {ok} ok");
    for (count, word) in [
        (degraded, "degraded"),
        (failed, "failed"),
        (missed, "missed"),
    ] {
        if *count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    if let Some(mean) = bucket.mean_us {
        let _ = write!(text, ", mean {}", milliseconds(mean));
    }
    text
}

fn label(buckets: &[Bucket]) -> String {
    let sum = |count: fn(&Bucket) -> u64| buckets.iter().map(count).sum::<u64>();
    let executed = sum(|bucket| bucket.ok + bucket.degraded + bucket.failed);
    if executed == 0 {
        return "no checks in the last 24 hours".to_owned();
    }
    format!(
        "last 24 hours: {executed} checks, {} failed",
        sum(|bucket| bucket.failed)
    )
}

/// Three significant digits, in the unit that people read: `870 µs`, `12.3 ms`, `1.24 s`.
pub(crate) fn milliseconds(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (value, unit) = match micros {
        0..1_000 => return format!("{micros} µs"),
        1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_with_three_digits() {
        let shown = [999, 1_000, 12_345, 870_000, 1_240_000].map(milliseconds);
        assert_eq!(shown, ["999 µs", "1.00 ms", "12.3 ms", "870 ms", "1.24 s"]);
    }

    #[test]
    fn a_gap_is_a_gap_and_a_failure_is_marked() {
        let now = Timestamp::from_micros(1_763_640_000_000_000);
        let bucket = |hours: u64, failed| Bucket {
            monitor: sonde_core::MonitorId::new("shop").unwrap(),
            start: (now - Duration::from_hours(hours)).floor(STEP),
            ok: 10,
            degraded: 0,
            failed,
            missed: 0,
            mean_us: Some(1000),
        };
        let svg = render(&[bucket(3, 0), bucket(1, 2)], now);
        assert_eq!(svg.matches(r#"class="none""#).count(), 46);
        assert!(
            svg.contains(r#"class="down""#) && svg.contains(r#"class="up""#),
            "{svg}"
        );
        assert!(svg.contains("last 24 hours: 22 checks, 2 failed"), "{svg}");
    }
}
