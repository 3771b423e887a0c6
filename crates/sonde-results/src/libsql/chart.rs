//! One monitor over time: counts, means and quantiles per bucket.

use std::collections::BTreeMap;

use sonde_core::{Outcome, Region, Timestamp};
use sonde_libsql::libsql::{Connection, Row, Value};

use super::read::{collect, outcome};
use super::summary::{rank, share};
use super::{corrupt, signed};
use crate::{ChartBucket, ChartQuery, Result, Summary};

/// Where a row counts: the bucket's start, and the region where buckets are by region.
pub(super) type Place = (i64, String);

/// What is gathered of one bucket.
#[derive(Default)]
struct Gathered {
    summary: Summary,
    up: u64,
    executed: u64,
    /// Ascending.
    latencies: Vec<u64>,
}

pub(super) async fn chart(connection: &Connection, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
    let region = if query.by_region { "region" } else { "''" };
    let which = format!(
        "SELECT slot - slot % ?1 AS start, {region} AS place, outcome, in_maintenance, total_us FROM check_results
WHERE workspace = ?2 AND monitor = ?3 AND slot >= ?4 AND slot < ?5 AND trigger = 'schedule'
AND (?6 IS NULL OR region = ?6)"
    );
    let counts = format!(
        "SELECT start, place, outcome, in_maintenance, count(*) FROM ({which})
GROUP BY start, place, outcome, in_maintenance"
    );
    let latencies = format!(
        "SELECT start, place, total_us FROM ({which}) WHERE outcome IN ('ok', 'degraded')
AND NOT in_maintenance AND total_us IS NOT NULL ORDER BY start, place, total_us"
    );
    let mut buckets: BTreeMap<Place, Gathered> = BTreeMap::new();
    let counted = collect(connection, &counts, parameters(query), |row| {
        let outcome = outcome(row.get_str(2)?)?;
        Ok((
            place(row)?,
            outcome,
            row.get::<bool>(3)?,
            row.get::<u64>(4)?,
        ))
    });
    for (place, outcome, in_maintenance, count) in counted.await? {
        let bucket = buckets.entry(place).or_default();
        bucket.count(outcome, in_maintenance, count);
    }
    let measured = collect(connection, &latencies, parameters(query), |row| {
        Ok((place(row)?, row.get::<u64>(2)?))
    });
    for (place, latency) in measured.await? {
        buckets.entry(place).or_default().latencies.push(latency);
    }
    buckets.into_iter().map(bucket).collect()
}

pub(super) fn parameters(query: &ChartQuery) -> Vec<Value> {
    let step = u64::try_from(query.step.as_micros()).unwrap_or(u64::MAX);
    let region = query.region.as_ref();
    let region = region.map(|region| region.as_str().to_owned());
    vec![
        signed(step.max(1)).into(),
        query.workspace.as_str().into(),
        query.monitor.as_str().into(),
        query.range.from.as_micros().into(),
        query.range.to.as_micros().into(),
        region.into(),
    ]
}

pub(super) fn place(row: &Row) -> Result<Place> {
    Ok((row.get(0)?, row.get(1)?))
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
}

fn bucket(((start, region), gathered): (Place, Gathered)) -> Result<ChartBucket> {
    let Gathered {
        mut summary,
        up,
        executed,
        latencies,
    } = gathered;
    summary.uptime = share(up, executed);
    rank(&mut summary, &latencies);
    let count = u64::try_from(latencies.len()).unwrap_or(u64::MAX);
    Ok(ChartBucket {
        start: Timestamp::from_micros(start),
        region: region_of(&region)?,
        mean_us: latencies.iter().sum::<u64>().checked_div(count),
        summary,
    })
}
