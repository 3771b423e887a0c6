//! `/settings/usage`: what was checked day by day, and what is configured, as the API tells it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::response::Response;
use axum::routing::get;
use chrono_tz::Tz;
use sonde_core::{Kind, Region, Timestamp};
use sonde_results::TimeRange;
use sonde_service::{DayUsage, UsageReport};
use sonde_store::ResourceKind;

use super::{Tab, tabs};
use crate::chart::{Figure, Key, Plot, Stack, Table, TableRow, TimeAxis, axis, bars};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

const PATH: &str = "/settings/usage";
const DAYS: u32 = 30;
const DAY: Duration = Duration::from_hours(24);
/// Pixels.
const HEIGHT: f64 = 168.0;
/// Of the palette.
const COLOURS: usize = 8;

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new().route(PATH, get(page))
}

#[derive(Template)]
#[template(path = "usage.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    numbers: [(&'static str, String); 4],
    figures: [Figure; 2],
    kinds: Vec<KindRow>,
    resources: Vec<ResourceRow>,
}

struct KindRow {
    kind: &'static str,
    monitors: String,
    paused: String,
    checks_per_day: String,
}

struct ResourceRow {
    name: &'static str,
    count: String,
    most: String,
}

async fn page(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    let usage = viewer.access.usage(DAYS).await?;
    let kinds = usage.configured.iter().map(|(kind, it)| KindRow {
        kind: kind.as_str(),
        monitors: format::count(it.monitors),
        paused: format::count(it.paused),
        checks_per_day: format::count(it.checks_per_day),
    });
    let resources = usage.resources.iter().map(|it| ResourceRow {
        name: name(it.kind),
        count: format::count(it.count),
        most: it.most.map_or_else(
            || format::NOTHING.to_owned(),
            |most| format::count(most.into()),
        ),
    });
    html(&Page {
        shell: Shell::new(&viewer, Place::Settings, "Usage", pages.service.now()),
        tabs: tabs(&viewer, PATH),
        numbers: numbers(&usage),
        figures: [by_kind(&usage), by_region(&usage)],
        kinds: kinds.collect(),
        resources: resources.collect(),
    })
}

fn numbers(usage: &UsageReport) -> [(&'static str, String); 4] {
    let sum = |of: fn(&DayUsage) -> u64| format::count(usage.days.iter().map(of).sum());
    [
        ("Checks executed", sum(|day| day.executed)),
        ("Checks missed", sum(|day| day.missed)),
        ("Monitors now", format::count(usage.monitors())),
        (
            "Checks a day as configured",
            format::count(usage.checks_per_day()),
        ),
    ]
}

const fn name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Monitor => "Monitors",
        ResourceKind::Maintenance => "Maintenance",
        ResourceKind::Channel => "Channels",
        ResourceKind::Report => "Reports",
        ResourceKind::Member => "Members",
        ResourceKind::Invitation => "Invitations",
        ResourceKind::ApiKey => "API keys",
        ResourceKind::Heartbeat => "Heartbeats",
    }
}

fn by_kind(usage: &UsageReport) -> Figure {
    let kinds: BTreeSet<Option<Kind>> = seen(usage, |day| day.by_kind.keys().copied());
    let series = kinds.into_iter().map(|kind| {
        let name = kind.map_or("monitors that are no more", Kind::as_str);
        let of = |day: &DayUsage| day.by_kind.get(&kind).copied().unwrap_or(0);
        (name.to_owned(), usage.days.iter().map(of).collect())
    });
    figure(usage, "usage-kinds", "Checks by kind", series.collect())
}

fn by_region(usage: &UsageReport) -> Figure {
    let regions: BTreeSet<Region> = seen(usage, |day| day.by_region.keys().cloned());
    let series = regions.into_iter().map(|region| {
        let of = |day: &DayUsage| day.by_region.get(&region).copied().unwrap_or(0);
        (region.to_string(), usage.days.iter().map(of).collect())
    });
    figure(usage, "usage-regions", "Checks by region", series.collect())
}

fn seen<'a, T: Ord, I: Iterator<Item = T> + 'a>(
    usage: &'a UsageReport,
    names: impl Fn(&'a DayUsage) -> I,
) -> BTreeSet<T> {
    usage.days.iter().flat_map(names).collect()
}

/// Bars of days, which are those of UTC, with a part for each of the series.
fn figure(
    usage: &UsageReport,
    id: &'static str,
    title: &str,
    series: Vec<(String, Vec<u64>)>,
) -> Figure {
    let (names, counts): (Vec<String>, Vec<Vec<u64>>) = series.into_iter().unzip();
    let of_day = |place: usize| -> Vec<u64> {
        let counts = counts.iter();
        counts
            .map(|it| it.get(place).copied().unwrap_or(0))
            .collect()
    };
    let days = usage.days.iter().enumerate();
    let days: Vec<(Timestamp, Vec<u64>)> = days
        .map(|(place, day)| (day.start, of_day(place)))
        .collect();
    let axis = TimeAxis {
        range: TimeRange {
            from: usage.range.from,
            to: usage.range.from + DAY * DAYS,
        },
        zone: Tz::UTC,
    };
    let classes: Vec<String> = (0..names.len())
        .map(|place| format!("line-key c{}", place % COLOURS))
        .collect();
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    let legend = classes.iter().zip(&names);
    Figure {
        id,
        title: title.to_owned(),
        note: "Executed as scheduled, per day in UTC.".to_owned(),
        svg: draw(
            axis,
            &format!("{title} over the last {DAYS} days"),
            &classes,
            &days,
        ),
        legend: legend.map(|(class, name)| Key::new(*class, name)).collect(),
        table: table(axis, &names, &days),
    }
}

fn draw(axis: TimeAxis, label: &str, classes: &[&str], days: &[(Timestamp, Vec<u64>)]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a height on a screen")]
    let stacks = days.iter().map(|(start, counts)| Stack {
        from: *start,
        to: *start + DAY,
        parts: counts.iter().map(|count| *count as f64).collect(),
    });
    let stacks: Vec<Stack> = stacks.collect();
    let highest = stacks.iter().map(|it| it.parts.iter().sum::<f64>());
    let heights = axis::heights(highest.fold(0.0, f64::max)).into_iter();
    let heights = heights.filter(|it| it.fract() == 0.0);
    let plot = Plot {
        axis,
        height: HEIGHT,
        label: label.to_owned(),
        heights: heights.map(|it| (it, format!("{it}"))).collect(),
        bands: &[],
        thresholds: Vec::new(),
    };
    plot.draw(&bars(&plot, classes, &stacks))
}

fn table(axis: TimeAxis, names: &[String], days: &[(Timestamp, Vec<u64>)]) -> Table {
    let rows = days.iter().map(|(start, counts)| {
        let label = format::written(*start, Tz::UTC, "%-d %b");
        let all: u64 = counts.iter().sum();
        let counts = counts.iter().copied().chain([all]);
        TableRow::new(
            axis.x(*start + DAY / 2),
            label,
            counts.map(format::count).collect(),
        )
    });
    let columns = names.iter().cloned().chain(["all".to_owned()]);
    Table {
        columns: columns.collect(),
        rows: rows.collect(),
    }
}
