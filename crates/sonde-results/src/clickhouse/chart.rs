//! One monitor over time, from the same sources and by the same rule as summaries: quantiles are exact while little was
//! measured in the range and its rows are kept, and within 1 % of the true values beyond that.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{Region, Timestamp};

use super::ClickhouseResults;
use super::schema::QUANTILES;
use super::statistics::{EXACT_UP_TO, Scope, SummaryRow, summary};
use crate::{ChartBucket, ChartQuery, Charts, Result, Results as _, ResultsError};

/// What rows are summed up by: alone, or in each way that a page shows. Columns that a sum is not by are empty in it.
const EACH: &str = "(start, place)";
const ALL: &str = "(start, place), (start), (place), ()";
const SUMMED_BY: &str =
    "start, place, toBool(grouping(start)) AS all_times, toBool(grouping(place)) AS all_places";

#[derive(Row, Deserialize)]
struct ChartRow {
    start: i64,
    place: String,
    all_times: bool,
    all_places: bool,
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
    all_times: bool,
    all_places: bool,
    latency_count: u64,
    quantiles: Vec<u64>,
}

/// Which sum it is.
type Key = (bool, bool, i64, String);

impl ClickhouseResults {
    pub(super) async fn read_chart(&self, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
        let rows = self.sum_up(query, EACH).await?;
        rows.into_iter().map(bucket).collect()
    }

    /// All charts of outcomes and latency from one statement; with a region of their own, two of them from others.
    pub(super) async fn read_charts(&self, query: &ChartQuery) -> Result<Charts> {
        let by_region = ChartQuery {
            by_region: true,
            region: None,
            ..query.clone()
        };
        let of_region = async {
            if query.region.is_none() {
                return Ok(None);
            }
            let together = ChartQuery {
                by_region: false,
                ..query.clone()
            };
            tokio::try_join!(self.summary_of(&together), self.read_chart(&together)).map(Some)
        };
        let rows = self.sum_up(&by_region, ALL);
        let (rows, heat, of_region) = tokio::try_join!(rows, self.read_heat(query), of_region)?;
        let mut charts = Charts {
            heat,
            ..Charts::default()
        };
        for row in rows {
            let (all_times, all_places) = (row.all_times, row.all_places);
            let bucket = bucket(row)?;
            match (all_times, all_places) {
                (true, true) => charts.summary = bucket.summary,
                (false, true) => charts.buckets.push(bucket),
                (false, false) => charts.by_region.push(bucket),
                (true, false) => {
                    let summary = bucket.summary;
                    charts.regions.extend(bucket.region.map(|it| (it, summary)));
                }
            }
        }
        if let Some(of_region) = of_region {
            (charts.summary, charts.buckets) = of_region;
        }
        Ok(charts)
    }

    async fn sum_up(&self, query: &ChartQuery, by: &str) -> Result<Vec<ChartRow>> {
        let step = step_of(query);
        let scope = Scope::of_chart(query);
        let sources = self.sources(&scope, Some(step)).await?;
        let sql = format!(
            "SELECT ?fields FROM (SELECT {SUMMED_BY},
    sum(ok) AS ok, sum(degraded) AS degraded, sum(failed) AS failed, sum(missed) AS missed,
    sum(ok_in_maintenance) + sum(degraded_in_maintenance) AS up_in_maintenance,
    sum(failed_in_maintenance) AS failed_in_maintenance,
    sum(latency_count) AS latency_count, sum(latency_sum_us) AS latency_sum_us,
    arrayMap(q -> if(isNaN(q), 0, toUInt64(round(q))), quantilesDDMerge({QUANTILES})(latency_sketch)) AS quantiles
FROM (\n{}\n)
GROUP BY GROUPING SETS ({by})) ORDER BY start, place",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let mut rows = self.ask(query.fetch_all::<ChartRow>()).await?;
        let each = rows.iter().filter(|row| !row.all_times && !row.all_places);
        let measured: u64 = each.map(|row| row.latency_count).sum();
        if measured > 0 && (measured <= EXACT_UP_TO || scope.is_short()) {
            self.make_exact(&scope, step, by, &mut rows).await?;
        }
        Ok(rows)
    }

    /// Where all rows of a bucket are still there.
    async fn make_exact(
        &self,
        scope: &Scope,
        step: i64,
        by: &str,
        rows: &mut [ChartRow],
    ) -> Result<()> {
        let sql = format!(
            "SELECT ?fields FROM (
SELECT {SUMMED_BY}, arraySort(groupArray(latency_us)) AS sorted, length(sorted) AS latency_count,
    arrayMap(p -> sorted[intDiv(length(sorted) * p + 99, 100)], [50, 75, 90, 95, 99]) AS quantiles
FROM ({}) GROUP BY GROUPING SETS ({by}))",
            scope.measured_by(step)
        );
        let query = self.client.query(&sql);
        let exact = self.ask(query.fetch_all::<ExactRow>()).await?;
        let mut exact: HashMap<Key, ExactRow> = exact
            .into_iter()
            .map(|row| {
                let place = row.place.clone();
                ((row.all_times, row.all_places, row.start, place), row)
            })
            .collect();
        for row in rows {
            let place = row.place.clone();
            let found = exact.remove(&(row.all_times, row.all_places, row.start, place));
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
