//! One monitor over time: counts, means, quantiles and the distribution of latency per bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{Outcome, Region, Timestamp};
use sonde_libsql::libsql::Connection;

use super::buckets::{self, ROWS};
use super::corrupt;
use super::read::outcome;
use super::summary::{parse, rank, share};
use crate::query::band_of;
use crate::{ChartBucket, ChartQuery, Charts, HeatCell, Result, Summary};

/// Where a row counts: the bucket's start, and the region where buckets are by region.
type Place = (i64, String);

/// What is read at once.
const DAY: Duration = Duration::from_hours(24);

/// What is gathered of one bucket.
#[derive(Default)]
struct Gathered {
    summary: Summary,
    up: u64,
    executed: u64,
    latencies: Vec<u64>,
}

pub(super) async fn chart(connection: &Connection, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
    let gathered = gather(connection, query).await?;
    gathered.into_iter().map(bucket).collect()
}

pub(super) async fn heat(connection: &Connection, query: &ChartQuery) -> Result<Vec<HeatCell>> {
    let together = ChartQuery {
        by_region: false,
        ..query.clone()
    };
    let gathered = gather(connection, &together).await?;
    Ok(gathered.iter().flat_map(cells).collect())
}

/// All of them from one reading.
pub(super) async fn charts(connection: &Connection, query: &ChartQuery) -> Result<Charts> {
    let by_region = ChartQuery {
        by_region: true,
        region: None,
        ..query.clone()
    };
    let by_region = gather(connection, &by_region).await?;
    let mut all = Gathered::default();
    let mut buckets: BTreeMap<Place, Gathered> = BTreeMap::new();
    let mut regions: BTreeMap<String, Gathered> = BTreeMap::new();
    for ((start, region), it) in &by_region {
        regions.entry(region.clone()).or_default().add(it);
        if query.region.as_ref().is_none_or(|of| of.as_str() == region) {
            buckets.entry((*start, String::new())).or_default().add(it);
            all.add(it);
        }
    }
    let region = |(region, it): (String, Gathered)| {
        let region = Region::new(&region).map_err(corrupt)?;
        Ok((region, it.summed_up().0))
    };
    Ok(Charts {
        summary: all.summed_up().0,
        heat: buckets.iter().flat_map(cells).collect(),
        buckets: buckets.into_iter().map(bucket).collect::<Result<_>>()?,
        by_region: by_region.into_iter().map(bucket).collect::<Result<_>>()?,
        regions: regions.into_iter().map(region).collect::<Result<_>>()?,
    })
}

async fn gather(connection: &Connection, query: &ChartQuery) -> Result<BTreeMap<Place, Gathered>> {
    let place = place(query);
    // Latencies come as one text: a row for each would cost more than all the rest.
    let sql = format!(
        "SELECT {place} AS place, outcome, in_maintenance, count(*), group_concat(total_us)
FROM check_results WHERE {ROWS} GROUP BY place, outcome, in_maintenance"
    );
    let mut buckets: BTreeMap<Place, Gathered> = BTreeMap::new();
    buckets::each(connection, query, DAY, &sql, |start, row| {
        let outcome = outcome(row.get_str(1)?)?;
        let in_maintenance = row.get::<bool>(2)?;
        let bucket = buckets.entry((start, row.get(0)?)).or_default();
        bucket.count(outcome, in_maintenance, row.get(3)?);
        if outcome.is_up() && !in_maintenance {
            let latencies = row.get::<Option<String>>(4)?;
            let latencies = parse(latencies.as_deref().unwrap_or_default())?;
            bucket.latencies.extend(latencies);
        }
        Ok(())
    })
    .await?;
    Ok(buckets)
}

/// What rows are grouped by in a bucket.
pub(super) fn place(query: &ChartQuery) -> &'static str {
    if query.by_region { "region" } else { "''" }
}

/// The region that a place names.
pub(super) fn region_of(place: &str) -> Result<Option<Region>> {
    match place {
        "" => Ok(None),
        region => Ok(Some(Region::new(region).map_err(corrupt)?)),
    }
}

impl Gathered {
    fn count(&mut self, outcome: Outcome, in_maintenance: bool, count: u64) {
        let Summary {
            ok,
            degraded,
            failed,
            missed,
            ..
        } = &mut self.summary;
        *match outcome {
            Outcome::Ok => ok,
            Outcome::Degraded => degraded,
            Outcome::Failed => failed,
            Outcome::Missed => missed,
        } += count;
        if !in_maintenance && outcome.is_executed() {
            self.executed += count;
            self.up += if outcome.is_up() { count } else { 0 };
        }
    }

    fn add(&mut self, other: &Self) {
        self.summary.ok += other.summary.ok;
        self.summary.degraded += other.summary.degraded;
        self.summary.failed += other.summary.failed;
        self.summary.missed += other.summary.missed;
        self.up += other.up;
        self.executed += other.executed;
        self.latencies.extend_from_slice(&other.latencies);
    }

    /// With the mean latency.
    fn summed_up(mut self) -> (Summary, Option<u64>) {
        self.latencies.sort_unstable();
        self.summary.uptime = share(self.up, self.executed);
        rank(&mut self.summary, &self.latencies);
        let count = u64::try_from(self.latencies.len()).unwrap_or(u64::MAX);
        let mean_us = self.latencies.iter().sum::<u64>().checked_div(count);
        (self.summary, mean_us)
    }
}

fn cells(((start, _), gathered): (&Place, &Gathered)) -> impl Iterator<Item = HeatCell> {
    let start = Timestamp::from_micros(*start);
    let mut counts = BTreeMap::new();
    for latency in &gathered.latencies {
        *counts.entry(band_of(*latency)).or_default() += 1;
    }
    let cell = move |(band, count)| HeatCell { start, band, count };
    counts.into_iter().map(cell)
}

fn bucket(((start, region), gathered): (Place, Gathered)) -> Result<ChartBucket> {
    let (summary, mean_us) = gathered.summed_up();
    Ok(ChartBucket {
        start: Timestamp::from_micros(start),
        region: region_of(&region)?,
        summary,
        mean_us,
    })
}
