//! Lines that break where nothing was measured.

use std::fmt::Write as _;
use std::time::Duration;

use sonde_core::Timestamp;

use super::plot::Plot;
use super::short;

/// One series: the middle of each step with its value, oldest first.
pub(crate) struct Line {
    pub(crate) class: String,
    pub(crate) points: Vec<(Timestamp, f64)>,
}

/// Steps further apart than `step` are not joined.
pub(crate) fn lines(plot: &Plot<'_>, step: Duration, lines: &[Line]) -> String {
    let mut svg = String::new();
    for line in lines {
        let path = path(plot, step, &line.points);
        let class = &line.class;
        if !path.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(svg, r#"<path class="line {class}" d="{path}"/>"#);
        }
    }
    svg
}

fn path(plot: &Plot<'_>, step: Duration, points: &[(Timestamp, f64)]) -> String {
    let mut path = String::new();
    let mut before: Option<Timestamp> = None;
    for (place, (at, value)) in points.iter().enumerate() {
        let (x, y) = (short(plot.axis.x(*at)), short(plot.y(*value)));
        let is_joined = before.is_some_and(|before| at.since(before) <= step);
        let verb = if is_joined { 'L' } else { 'M' };
        let _ = write!(path, "{verb}{x} {y}");
        let next = points.get(place + 1);
        let goes_on = next.is_some_and(|(next, _)| next.since(*at) <= step);
        if !is_joined && !goes_on {
            // A line of no length is a dot, with round caps.
            path.push_str("h0");
        }
        before = Some(*at);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_breaks_the_line_and_what_stands_alone_is_a_dot() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let plot = Plot::sample();
        let points = [(0, 1.0), (10, 2.0), (50, 3.0), (70, 10.0), (80, 10.0)];
        let line = Line {
            class: "p50".to_owned(),
            points: points.map(|(second, value)| (at(second), value)).to_vec(),
        };
        assert_eq!(
            lines(&plot, Duration::from_secs(10), &[line]),
            r#"<path class="line p50" d="M0 90L100 80M500 70h0M700 0L800 0"/>"#
        );
    }
}
