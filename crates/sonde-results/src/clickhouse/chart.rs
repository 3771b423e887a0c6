//! One monitor over time, from the same sources and by the same rule as summaries: quantiles are exact while little was
//! measured in the range and its rows are kept, and within 1 % of the true values beyond that.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{Region, Timestamp};

use super::ClickhouseResults;
use super::schema::QUANTILES;
use super::statistics::{EXACT_UP_TO, Scope, SummaryRow, summary};
use crate::{ChartBucket, ChartQuery, Result, ResultsError};

#[derive(Row, Deserialize)]
struct ChartRow {
    start: i64,
    place: String,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    up_in_maintenance: u64,
    failed_in_maintenance: u64,
    latency_count: u64,
    latency_sum_us: u64,
    quantiles: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct ExactRow {
    start: i64,
    place: String,
    latency_count: u64,
    quantiles: Vec<u64>,
}

impl ClickhouseResults {
    pub(super) async fn read_chart(&self, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
        let step = step_of(query);
        let scope = Scope::of_chart(query);
        let sources = self.sources(&scope, Some(step)).await?;
        let sql = format!(
            "SELECT ?fields FROM (SELECT start, place,
    sum(ok) AS ok, sum(degraded) AS degraded, sum(failed) AS failed, sum(missed) AS missed,
    sum(ok_in_maintenance) + sum(degraded_in_maintenance) AS up_in_maintenance,
    sum(failed_in_maintenance) AS failed_in_maintenance,
    sum(latency_count) AS latency_count, sum(latency_sum_us) AS latency_sum_us,
    arrayMap(q -> if(isNaN(q), 0, toUInt64(round(q))), quantilesDDMerge({QUANTILES})(latency_sketch)) AS quantiles
FROM (\n{}\n)
GROUP BY start, place) ORDER BY start, place",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let mut rows = self.ask(query.fetch_all::<ChartRow>()).await?;
        let measured: u64 = rows.iter().map(|row| row.latency_count).sum();
        if measured > 0 && (measured <= EXACT_UP_TO || scope.is_short()) {
            self.make_exact(&scope, step, &mut rows).await?;
        }
        rows.into_iter().map(bucket).collect()
    }

    /// Where all rows of a bucket are still there.
    async fn make_exact(&self, scope: &Scope, step: i64, rows: &mut [ChartRow]) -> Result<()> {
        let columns = "start, place, latency_count, quantiles";
        let sql = format!("SELECT {columns} FROM ({})", scope.exact_by(step));
        let query = self.client.query(&sql);
        let exact = self.ask(query.fetch_all::<ExactRow>()).await?;
        let mut exact: HashMap<(i64, String), ExactRow> = exact
            .into_iter()
            .map(|row| ((row.start, row.place.clone()), row))
            .collect();
        for row in rows {
            let found = exact.remove(&(row.start, row.place.clone()));
            if let Some(found) = found.filter(|it| it.latency_count >= row.latency_count) {
                row.quantiles = found.quantiles;
            }
        }
        Ok(())
    }
}

pub(super) fn step_of(query: &ChartQuery) -> i64 {
    let step = i64::try_from(query.step.as_micros());
    step.unwrap_or(i64::MAX).max(1)
}

/// The region that a place names.
pub(super) fn region_of(place: &str) -> Result<Option<Region>> {
    if place.is_empty() {
        return Ok(None);
    }
    let region = Region::new(place);
    let region = region.map_err(|error| ResultsError::Corrupt(error.into()));
    region.map(Some)
}

fn bucket(row: ChartRow) -> Result<ChartBucket> {
    Ok(ChartBucket {
        start: Timestamp::from_micros(row.start),
        region: region_of(&row.place)?,
        mean_us: row.latency_sum_us.checked_div(row.latency_count),
        summary: summary(&SummaryRow {
            ok: row.ok,
            degraded: row.degraded,
            failed: row.failed,
            missed: row.missed,
            up_in_maintenance: row.up_in_maintenance,
            failed_in_maintenance: row.failed_in_maintenance,
            latency_count: row.latency_count,
            quantiles: row.quantiles,
        }),
    })
}
