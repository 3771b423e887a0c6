//! The charts of a monitor's page, each from what the API returns for the same range, region and step.

use chrono_tz::Tz;
use sonde_core::{Assertion, Comparator, Source, Timestamp};
use sonde_results::{ChartBucket, Summary};

use super::data::Data;
use super::{figures, key_of_quantile};
use crate::chart::{
    Cell, Figure, Key, Line, Plot, Stack, Table, TableRow, TimeAxis, axis, bars, cells, lines,
};
use crate::format;

/// Pixels.
const HEIGHT: f64 = 168.0;
const ROW_HEIGHT: f64 = 22.0;
/// Regions that are told apart by colour.
pub(super) const COLOURS: usize = 8;

pub(super) fn all(data: &Data, zone: Tz, quantiles: &[&str]) -> Vec<Figure> {
    let charts = Charts {
        data,
        axis: TimeAxis {
            range: data.range,
            zone,
        },
    };
    let mut figures = vec![charts.outcomes(), charts.latency(quantiles)];
    figures.extend(charts.compared());
    figures.extend(charts.phases());
    figures.extend(charts.heat());
    if data.regions.len() > 1 && data.region.is_none() {
        figures.push(charts.regions());
        figures.push(charts.matrix());
    }
    figures.extend(charts.certificates());
    figures
}

pub(super) struct Charts<'a> {
    pub(super) data: &'a Data,
    pub(super) axis: TimeAxis,
}

impl Charts<'_> {
    fn outcomes(&self) -> Figure {
        let stacks: Vec<Stack> = self.data.buckets.iter().map(|it| self.stack(it)).collect();
        let highest = stacks.iter().map(|it| it.parts.iter().sum::<f64>());
        let heights = axis::heights(highest.fold(0.0, f64::max));
        let heights = heights.into_iter().filter(|it| it.fract() == 0.0);
        let plot = Plot {
            heights: heights.map(|it| (it, format!("{it}"))).collect(),
            ..self.plot("Checks by outcome over time")
        };
        let classes = ["ok", "degraded", "failed", "missed"];
        let svg = plot.draw(&bars(&plot, &classes, &stacks));
        let numbers = |summary: &Summary| {
            let counts = [summary.ok, summary.degraded, summary.failed, summary.missed];
            let mut numbers = counts.map(format::count).to_vec();
            numbers.push(format::percent(summary.uptime));
            numbers
        };
        let names = ["ok", "degraded", "failed", "missed", "uptime"];
        Figure {
            id: "outcomes",
            title: "Checks by outcome".to_owned(),
            note: format!(
                "Per {}. Missed checks were not executed: they say nothing about the target.",
                self.step()
            ),
            svg,
            legend: classes.map(|class| Key::new(class, class)).into(),
            table: self.table(&names, &self.data.buckets, numbers),
        }
    }

    fn latency(&self, quantiles: &[&str]) -> Figure {
        let buckets = &self.data.buckets;
        let drawn: Vec<Line> = quantiles
            .iter()
            .map(|name| {
                let class = format!("p{name}");
                self.line(class, buckets, |it| figures::quantile(it, name))
            })
            .collect();
        let mut legend: Vec<Key> = quantiles.iter().map(|name| key_of_quantile(name)).collect();
        let threshold = self.data.view.monitor.degraded.iter().find_map(slow_from);
        let plot = Plot {
            thresholds: threshold.map(degraded_above).into_iter().collect(),
            ..self.latency_plot("Latency over time", &drawn, threshold)
        };
        let columns: Vec<String> = quantiles.iter().map(|name| format!("p{name}")).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let numbers = |summary: &Summary| {
            let values = quantiles
                .iter()
                .map(|name| figures::quantile(summary, name));
            values.map(format::latency_or_nothing).collect()
        };
        if threshold.is_some() {
            legend.push(Key::new("line-key threshold", "degraded above"));
        }
        Figure {
            id: "latency",
            title: "Latency".to_owned(),
            note: format!("Percentiles per {} of checks that were up.", self.step()),
            svg: plot.draw(&lines(&plot, self.data.step, &drawn)),
            legend,
            table: self.table(&columns, buckets, numbers),
        }
    }

    fn regions(&self) -> Figure {
        let regions = &self.data.regions;
        let of = |place: usize| -> Vec<ChartBucket> {
            let all = self.data.buckets_by_region.iter();
            let these = all.filter(|it| it.region.as_ref() == regions.get(place));
            these.cloned().collect()
        };
        let class = |place: usize| format!("c{}", place % COLOURS);
        let drawn: Vec<Line> = (0..regions.len())
            .map(|place| self.line(class(place), &of(place), |it| it.p50_us))
            .collect();
        let plot = self.latency_plot("Median latency by region over time", &drawn, None);
        let legend = regions.iter().enumerate();
        let legend = legend.map(|(place, region)| {
            Key::new(format!("line-key {}", class(place)), region.to_string())
        });
        Figure {
            id: "regions-latency",
            title: "Latency by region".to_owned(),
            note: format!("Median per {}.", self.step()),
            svg: plot.draw(&lines(&plot, self.data.step, &drawn)),
            legend: legend.collect(),
            table: self.by_region(|it| format::latency_or_nothing(it.p50_us)),
        }
    }

    fn matrix(&self) -> Figure {
        let regions = &self.data.regions;
        let rows = regions.len();
        #[expect(clippy::cast_precision_loss, reason = "there are a few dozen")]
        let height = rows as f64 * ROW_HEIGHT;
        let drawn = self.data.buckets_by_region.iter().filter_map(|bucket| {
            let place = regions
                .iter()
                .position(|it| Some(it) == bucket.region.as_ref())?;
            Some(Cell {
                from: bucket.start,
                to: bucket.start + self.data.step,
                row: rows - 1 - place,
                class: worst(&bucket.summary),
            })
        });
        let drawn: Vec<Cell> = drawn.collect();
        #[expect(clippy::cast_precision_loss, reason = "there are a few dozen")]
        let heights = (0..=rows).map(|row| {
            let name = rows.checked_sub(row).and_then(|place| regions.get(place));
            let name = name.map(ToString::to_string).unwrap_or_default();
            (row as f64, name)
        });
        let plot = Plot {
            height,
            heights: heights.collect(),
            bands: &[],
            ..self.plot("Outcomes by region over time")
        };
        let inner = cells(&plot, rows, &drawn);
        Figure {
            id: "regions-outcomes",
            title: "Outcomes by region".to_owned(),
            note: "A failure seen from one region alone says more about the way there than about the target.".to_owned(),
            svg: plot.draw(&inner),
            legend: ["ok", "degraded", "failed", "missed"]
                .map(|class| Key::new(class, class))
                .into(),
            table: self.by_region(|it| {
                let counts = [it.ok + it.degraded, it.failed, it.missed];
                counts.map(|count| count.to_string()).join(" / ")
            }),
        }
    }

    pub(super) fn plot(&self, label: &str) -> Plot<'_> {
        Plot {
            axis: self.axis,
            height: HEIGHT,
            label: label.to_owned(),
            heights: Vec::new(),
            bands: &self.data.bands,
            thresholds: Vec::new(),
        }
    }

    /// As high as the highest value, and the threshold where that is near.
    pub(super) fn latency_plot(
        &self,
        label: &str,
        drawn: &[Line],
        threshold: Option<f64>,
    ) -> Plot<'_> {
        let values = drawn
            .iter()
            .flat_map(|line| &line.points)
            .map(|(_, value)| *value);
        let highest = values.fold(0.0, f64::max);
        let near = threshold.filter(|it| *it < highest * 3.0);
        let heights = axis::heights(highest.max(near.unwrap_or(0.0)));
        Plot {
            heights: heights.into_iter().map(|it| (it, exact(it))).collect(),
            ..self.plot(label)
        }
    }

    fn stack(&self, bucket: &ChartBucket) -> Stack {
        let Summary {
            ok,
            degraded,
            failed,
            missed,
            ..
        } = bucket.summary;
        #[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
        let parts = [ok, degraded, failed, missed].map(|count| count as f64);
        Stack {
            from: bucket.start,
            to: bucket.start + self.data.step,
            parts: parts.to_vec(),
        }
    }

    pub(super) fn line(
        &self,
        class: String,
        buckets: &[ChartBucket],
        value: impl Fn(&Summary) -> Option<u64>,
    ) -> Line {
        #[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
        let points = buckets.iter().filter_map(|bucket| {
            let value = value(&bucket.summary)?;
            Some((self.middle(bucket.start), value as f64))
        });
        Line {
            class,
            points: points.collect(),
        }
    }

    /// Of a bucket: of what of it lies in the range.
    pub(super) fn middle(&self, start: Timestamp) -> Timestamp {
        let (from, to) = (self.data.range.from, self.data.range.to);
        let (begins, ends) = (start.max(from), (start + self.data.step).min(to));
        begins + ends.since(begins) / 2
    }

    pub(super) fn step(&self) -> String {
        sonde_core::format_duration(self.data.step)
    }

    fn table(
        &self,
        columns: &[&str],
        buckets: &[ChartBucket],
        numbers: impl Fn(&Summary) -> Vec<String>,
    ) -> Table {
        let rows = buckets
            .iter()
            .map(|it| self.row(it.start, numbers(&it.summary)));
        Table {
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            rows: rows.collect(),
        }
    }

    fn by_region(&self, number: impl Fn(&Summary) -> String) -> Table {
        let regions = &self.data.regions;
        let all = &self.data.buckets_by_region;
        let mut starts: Vec<Timestamp> = all.iter().map(|it| it.start).collect();
        starts.dedup();
        let rows = starts.into_iter().map(|start| {
            let at = all.iter().filter(|it| it.start == start);
            let at: Vec<&ChartBucket> = at.collect();
            let values = regions.iter().map(|region| {
                let found = at.iter().find(|it| it.region.as_ref() == Some(region));
                found.map_or_else(|| format::NOTHING.to_owned(), |it| number(&it.summary))
            });
            self.row(start, values.collect())
        });
        Table {
            columns: regions.iter().map(ToString::to_string).collect(),
            rows: rows.collect(),
        }
    }

    pub(super) fn row(&self, start: Timestamp, values: Vec<String>) -> TableRow {
        let label = format::short_moment(start, self.axis.zone);
        TableRow::new(self.axis.x(self.middle(start)), label, values)
    }
}

/// The latency above which a check is degraded, in microseconds.
pub(super) fn slow_from(assertion: &Assertion) -> Option<f64> {
    let bounds = matches!(
        assertion.comparator,
        Comparator::Greater | Comparator::GreaterOrEqual
    );
    (assertion.source == Source::Latency && bounds)
        .then(|| assertion.value.base())
        .flatten()
}

/// What is written at that line.
pub(super) fn degraded_above(latency: f64) -> (f64, String) {
    (latency, format!("degraded above {}", exact(latency)))
}

/// A round value as people write it: `2.5 ms`, `1 s`.
pub(super) fn exact(micros: f64) -> String {
    let (value, unit) = match micros {
        it if it < 1e3 => (it, "µs"),
        it if it < 1e6 => (it / 1e3, "ms"),
        it => (it / 1e6, "s"),
    };
    format!("{} {unit}", (value * 100.0).round() / 100.0)
}

fn worst(summary: &Summary) -> &'static str {
    match summary {
        it if it.failed > 0 => "failed",
        it if it.degraded > 0 => "degraded",
        it if it.ok > 0 => "ok",
        _ => "missed",
    }
}
