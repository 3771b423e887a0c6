//! Where the time went: phases on each other, and how latency was distributed.

use std::collections::BTreeMap;

use sonde_core::{Phase, Timestamp};
use sonde_results::{HeatCell, LATENCY_BANDS};

use super::charts::{Charts, degraded_above, exact, slow_from};
use crate::chart::{Cell, Figure, Key, Plot, Stack, Table, axis, bars, cells, phases};
use crate::format;

/// Bands that are drawn at least, so that a cell is no stripe.
const LEAST_BANDS: usize = 5;

impl Charts<'_> {
    /// None for kinds whose checks have no phases.
    pub(super) fn phases(&self) -> Option<Figure> {
        let buckets = &self.data.phases;
        let happened = |phase: &Phase| buckets.iter().any(|it| it.mean_us.get(*phase).is_some());
        let shown: Vec<Phase> = Phase::ALL.into_iter().filter(happened).collect();
        if shown.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
        let stacks = buckets.iter().map(|bucket| Stack {
            from: bucket.start,
            to: bucket.start + self.data.step,
            parts: shown
                .iter()
                .map(|phase| bucket.mean_us.get(*phase).unwrap_or(0) as f64)
                .collect(),
        });
        let stacks: Vec<Stack> = stacks.collect();
        let classes: Vec<&str> = shown.iter().map(|phase| phases::class(*phase)).collect();
        let plot = self.phases_plot(&stacks);
        let keys = shown.iter().zip(&classes);
        let mut legend: Vec<Key> = keys
            .map(|(phase, class)| Key::new(*class, phase.as_str()))
            .collect();
        if !plot.thresholds.is_empty() {
            legend.push(Key::new("line-key threshold", "degraded above"));
        }
        let rows = buckets.iter().map(|bucket| {
            let values = shown.iter().map(|phase| bucket.mean_us.get(*phase));
            self.row(
                bucket.start,
                values.map(format::latency_or_nothing).collect(),
            )
        });
        Some(Figure {
            id: "phases",
            title: "Phases".to_owned(),
            note: format!("Mean time of each phase per {}.", self.step()),
            svg: plot.draw(&bars(&plot, &classes, &stacks)),
            legend,
            table: Table {
                columns: shown.iter().map(|it| it.as_str().to_owned()).collect(),
                rows: rows.collect(),
            },
        })
    }

    fn phases_plot(&self, stacks: &[Stack]) -> Plot<'_> {
        let highest = stacks.iter().map(|it| it.parts.iter().sum::<f64>());
        let highest = highest.fold(0.0, f64::max);
        let threshold = self.data.view.monitor.degraded.iter().find_map(slow_from);
        // One that is far away would press all else to the ground.
        let threshold = threshold.filter(|it| *it < highest * 3.0);
        let heights = axis::heights(highest.max(threshold.unwrap_or(0.0)));
        Plot {
            heights: heights.into_iter().map(|it| (it, exact(it))).collect(),
            thresholds: threshold.map(degraded_above).into_iter().collect(),
            ..self.plot("Mean time of each phase over time")
        }
    }

    /// None where nothing was measured.
    pub(super) fn heat(&self) -> Option<Figure> {
        let heat = &self.data.heat;
        let band = |cell: &HeatCell| usize::from(cell.band);
        let (lowest, highest) = (heat.iter().map(band).min()?, heat.iter().map(band).max()?);
        let lowest = lowest.min(highest.saturating_sub(LEAST_BANDS - 1));
        let rows = (highest - lowest + 1).max(LEAST_BANDS);
        let mut columns: BTreeMap<Timestamp, Vec<u64>> = BTreeMap::new();
        for cell in heat {
            let column = columns.entry(cell.start).or_insert_with(|| vec![0; rows]);
            if let Some(count) = column.get_mut(band(cell) - lowest) {
                *count = cell.count;
            }
        }
        let drawn = columns.iter().flat_map(|(start, counts)| {
            let all: u64 = counts.iter().sum();
            let counts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            counts.map(move |(row, count)| Cell {
                from: *start,
                to: *start + self.data.step,
                row,
                class: shade(*count, all),
            })
        });
        let drawn: Vec<Cell> = drawn.collect();
        #[expect(clippy::cast_precision_loss, reason = "there are sixteen")]
        let heights = (0..=rows).map(|row| (row as f64, bound(lowest + row).unwrap_or_default()));
        let plot = Plot {
            heights: heights.collect(),
            ..self.plot("How latency was distributed over time")
        };
        let names = (lowest..lowest + rows).map(name_of_band);
        let numbers = columns.iter().map(|(start, counts)| {
            let counts = counts.iter().map(|it| format::count(*it));
            self.row(*start, counts.collect())
        });
        let shades = [("heat-1", "few"), ("heat-3", "half"), ("heat-5", "most")];
        Some(Figure {
            id: "heat",
            title: "Distribution of latency".to_owned(),
            note: format!("The share of checks per {} that took so long.", self.step()),
            svg: plot.draw(&cells(&plot, rows, &drawn)),
            legend: shades.map(|(class, name)| Key::new(class, name)).into(),
            table: Table {
                columns: names.collect(),
                rows: numbers.collect(),
            },
        })
    }
}

/// From few of a step's checks to most of them.
fn shade(count: u64, all: u64) -> &'static str {
    match count * 100 / all.max(1) {
        0..10 => "heat-1",
        10..30 => "heat-2",
        30..60 => "heat-3",
        60..90 => "heat-4",
        _ => "heat-5",
    }
}

/// Where a band begins.
#[expect(clippy::cast_precision_loss, reason = "the last one is half a minute")]
fn bound(band: usize) -> Option<String> {
    let bound = LATENCY_BANDS.get(band.checked_sub(1)?)?;
    Some(exact(*bound as f64))
}

fn name_of_band(band: usize) -> String {
    match (bound(band), bound(band + 1)) {
        (None, Some(to)) => format!("below {to}"),
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (Some(from), None) => format!("{from} and more"),
        (None, None) => String::new(),
    }
}
