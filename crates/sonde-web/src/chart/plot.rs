//! The ground of a chart: a grid with its labels, what lay over the time, and an inner part that is stretched to the width.
//!
//! Heights are pixels, widths are shares: text keeps its size on every screen.

use std::fmt::Write as _;

use askama::filters::{Html, escape};
use sonde_core::Timestamp;

use super::axis::{TimeAxis, WIDTH};
use super::short;

/// Room for the label of the highest value.
const ABOVE: f64 = 18.0;
/// Room for the labels of time.
const BELOW: f64 = 24.0;
/// Labels nearer to an edge than this would be cut off.
const EDGE_PERCENT: f64 = 4.0;

/// What went on over a while, drawn behind the numbers.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    pub(crate) kind: BandKind,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BandKind {
    Incident,
    Maintenance,
}

/// A chart's ground.
pub(crate) struct Plot<'a> {
    pub(crate) axis: TimeAxis,
    pub(crate) height: f64,
    /// For who does not see it.
    pub(crate) label: String,
    /// From the lowest to the highest, with what is written there.
    pub(crate) heights: Vec<(f64, String)>,
    pub(crate) bands: &'a [Band],
    /// Values that are worth a line of their own.
    pub(crate) thresholds: Vec<(f64, String)>,
}

impl Plot<'_> {
    /// Where a value is, in pixels from the top of the inner part.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let highest = self.heights.last().map_or(1.0, |(value, _)| *value);
        self.height * (1.0 - (value / highest).clamp(0.0, 1.0))
    }

    /// The whole chart around what is drawn in units of `WIDTH` × `height`.
    pub(crate) fn draw(&self, inner: &str) -> String {
        let Self { height, axis, .. } = self;
        let (from, to) = (axis.range.from.as_micros(), axis.range.to.as_micros());
        let (label, whole) = (text(&self.label), ABOVE + height + BELOW);
        let mut svg = format!(
            r#"<svg class="chart" role="img" aria-label="{label}" height="{whole}" data-from="{from}" data-to="{to}" data-top="{ABOVE}" data-height="{height}">"#
        );
        self.grid(&mut svg);
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            r#"<svg y="{ABOVE}" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none">"#
        );
        for band in self.bands {
            self.band(&mut svg, band);
        }
        svg.push_str(inner);
        for (value, name) in &self.thresholds {
            let (y, name) = (short(self.y(*value)), text(name));
            let _ = write!(
                svg,
                r#"<path class="threshold" d="M0 {y}H{WIDTH}"><title>{name}</title></path>"#
            );
        }
        svg.push_str("</svg>");
        self.labels(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn grid(&self, svg: &mut String) {
        for (value, _) in &self.heights {
            let y = short(ABOVE + self.y(*value));
            let _ = write!(svg, r#"<line class="grid" x2="100%" y1="{y}" y2="{y}"/>"#);
        }
    }

    /// Above what is drawn, so that they can be read.
    fn labels(&self, svg: &mut String) {
        for (value, label) in self.heights.iter().skip(1) {
            let (y, label) = (short(ABOVE + self.y(*value) - 4.0), text(label));
            let _ = write!(svg, r#"<text y="{y}">{label}</text>"#);
        }
        let y = short(ABOVE + self.height + 17.0);
        for (place, tick) in self.axis.ticks().into_iter().enumerate() {
            if !(EDGE_PERCENT..=100.0 - EDGE_PERCENT).contains(&tick.percent) {
                continue;
            }
            // Every other one is left out where there is little room.
            let class = if place % 2 == 0 { "time" } else { "time spare" };
            let (percent, label) = (tick.percent, text(&tick.label));
            let _ = write!(
                svg,
                r#"<text class="{class}" x="{percent:.2}%" y="{y}">{label}</text>"#
            );
        }
    }

    fn band(&self, svg: &mut String, band: &Band) {
        let Some((x, width)) = self.axis.between(band.from, band.to) else {
            return;
        };
        let class = match band.kind {
            BandKind::Incident => "incident",
            BandKind::Maintenance => "maintenance",
        };
        // Of a month a minute is still to be seen.
        let (x, width) = (short(x), short(width.max(2.0)));
        let (height, title) = (self.height, text(&band.title));
        let _ = write!(
            svg,
            r#"<rect class="band {class}" x="{x}" width="{width}" height="{height}"><title>{title}</title></rect>"#
        );
    }
}

#[cfg(test)]
impl Plot<'_> {
    /// A hundred seconds, with heights up to ten over a hundred pixels.
    pub(super) fn sample() -> Self {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let range = sonde_results::TimeRange {
            from: at(0),
            to: at(100),
        };
        Self {
            axis: TimeAxis {
                range,
                zone: chrono_tz::Tz::UTC,
            },
            height: 100.0,
            label: String::new(),
            heights: vec![(0.0, String::new()), (10.0, String::new())],
            bands: &[],
            thresholds: Vec::new(),
        }
    }
}

/// As text in markup, never markup itself.
pub(crate) fn text(text: &str) -> String {
    escape(text, Html).map_or_else(|_| String::new(), |safe| safe.to_string())
}
