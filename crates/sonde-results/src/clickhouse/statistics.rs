//! Counts, means and quantiles, from merged rows and rollups together.
//!
//! The rule: ranges up to a day are read from rows alone. Longer ones take whole days and quarters of an hour from the
//! rollups, and from rows only the edges and the buckets that are still to be recomputed, so that counts and means are
//! always exact and up to date. Quantiles are exact while at most [`EXACT_UP_TO`] checks were measured in the range and
//! their rows are still kept; beyond that each is within 1 % of the true value.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{MonitorId, Region, Timestamp, WorkspaceId};

use super::rollup::{MEASURED, counts, phase_columns, phase_sums};
use super::schema::{QUANTILES, at, literal};
use super::{ClickhouseResults, clamped};
use crate::{Bucket, ChartQuery, Result, ResultsError, Summary, TimeRange};

/// Ranges up to this are read from rows alone.
const SHORT: i64 = 86_400 * SECOND;
/// What is cheap to sort: a week of one region at one check a minute.
pub(super) const EXACT_UP_TO: u64 = 10_000;

const SECOND: i64 = 1_000_000;
const QUARTER: i64 = 900 * SECOND;
pub(super) const HOUR: i64 = 3_600 * SECOND;
pub(super) const DAY: i64 = 86_400 * SECOND;

#[derive(Row, Deserialize)]
pub(super) struct SummaryRow {
    pub(super) ok: u64,
    pub(super) degraded: u64,
    pub(super) failed: u64,
    pub(super) missed: u64,
    pub(super) up_in_maintenance: u64,
    pub(super) failed_in_maintenance: u64,
    pub(super) latency_count: u64,
    pub(super) quantiles: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct ExactRow {
    latency_count: u64,
    quantiles: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct BucketRow {
    monitor: String,
    start: i64,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    latency_count: u64,
    latency_sum_us: u64,
}

pub(super) const SUMS: &str =
    "sum(ok) AS ok, sum(degraded) AS degraded, sum(failed) AS failed, sum(missed) AS missed,
    sum(latency_count) AS latency_count";

impl ClickhouseResults {
    pub(super) async fn summarize(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
    ) -> Result<Summary> {
        let scope = Scope::new(workspace, Some(monitor), range);
        let sources = self.sources(&scope, None).await?;
        let sql = format!(
            "SELECT ?fields FROM (SELECT {SUMS},
    sum(ok_in_maintenance) + sum(degraded_in_maintenance) AS up_in_maintenance,
    sum(failed_in_maintenance) AS failed_in_maintenance,
    arrayMap(q -> if(isNaN(q), 0, toUInt64(round(q))), quantilesDDMerge({QUANTILES})(latency_sketch)) AS quantiles
FROM (\n{}\n))",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let mut row = self.ask(query.fetch_one::<SummaryRow>()).await?;
        if row.latency_count > 0 && (row.latency_count <= EXACT_UP_TO || scope.is_short()) {
            let exact = self.exact_quantiles(&scope).await?;
            if exact.latency_count >= row.latency_count {
                row.quantiles = exact.quantiles;
            }
        }
        Ok(summary(&row))
    }

    /// The smallest values that at least these shares of all do not exceed.
    async fn exact_quantiles(&self, scope: &Scope) -> Result<ExactRow> {
        let sql = format!(
            "SELECT ?fields FROM (
SELECT arraySort(groupArrayIf(assumeNotNull(total_us), {MEASURED})) AS sorted, length(sorted) AS latency_count,
    arrayMap(p -> sorted[intDiv(length(sorted) * p + 99, 100)], [50, 75, 90, 95, 99]) AS quantiles
FROM {})",
            scope.all_rows()
        );
        self.ask(self.client.query(&sql).fetch_one::<ExactRow>())
            .await
    }

    pub(super) async fn read_series(
        &self,
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<Bucket>> {
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
        let scope = Scope::new(workspace, monitor, range);
        let sources = self.sources(&scope, Some(step)).await?;
        let sql = format!(
            "SELECT ?fields FROM (SELECT monitor, start, {SUMS}, sum(latency_sum_us) AS latency_sum_us
FROM (\n{}\n)
GROUP BY monitor, start) ORDER BY monitor, start",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<BucketRow>()).await?;
        rows.iter().map(bucket).collect()
    }

    /// What the numbers of a range are summed up from, as selects with the same columns.
    pub(super) async fn sources(&self, scope: &Scope, step: Option<i64>) -> Result<Vec<String>> {
        let fits = step.is_none_or(|step| step % QUARTER == 0);
        if scope.is_short() || !fits {
            let all = slots(scope.from, scope.to);
            return Ok(vec![scope.rows_by(step, &all)]);
        }
        Ok(self.long_sources(scope, step, self.settled().await?))
    }

    /// The same of a range whose rows may be gone, however short it is.
    pub(super) fn long_sources(
        &self,
        scope: &Scope,
        step: Option<i64>,
        settled: i64,
    ) -> Vec<String> {
        let fits = |bucket: i64| step.is_none_or(|step| step % bucket == 0);
        let quarters = whole(scope, QUARTER);
        let days = whole(scope, DAY);
        let dirty = scope.dirty(settled, quarters, self.dialect.retention);
        let dirty_days = format!("SELECT monitor, toStartOfDay(bucket) FROM ({dirty})");
        let edges = format!(
            "({} OR {} OR (monitor, toStartOfFifteenMinutes(slot)) IN ({dirty}))",
            slots(scope.from, quarters.0.min(scope.to)),
            slots(quarters.1.max(scope.from), scope.to)
        );
        let clean = format!("(monitor, bucket) NOT IN ({dirty})");
        let mut sources = vec![scope.rows_by(step, &edges)];
        if fits(DAY) && days.0 < days.1 {
            let outside = format!(
                "(NOT {} OR (monitor, toStartOfDay(bucket)) IN ({dirty_days}))",
                buckets(days)
            );
            let these = format!("{} AND {clean} AND {outside}", buckets(quarters));
            sources.push(scope.rollup_by("rollup_15m", step, &these));
            let these = format!(
                "{} AND (monitor, bucket) NOT IN ({dirty_days})",
                buckets(days)
            );
            sources.push(scope.rollup_by("rollup_1d", step, &these));
        } else {
            let these = format!("{} AND {clean}", buckets(quarters));
            sources.push(scope.rollup_by("rollup_15m", step, &these));
        }
        sources
    }
}

/// What is summed up.
#[derive(Clone, Copy)]
enum Sums {
    Outcomes,
    Phases,
}

impl Sums {
    fn of_rows(self) -> String {
        match self {
            Self::Outcomes => counts(),
            Self::Phases => phase_sums(),
        }
    }

    fn of_rollups(self) -> String {
        match self {
            Self::Outcomes => "ok, degraded, failed, missed,
    ok_in_maintenance, degraded_in_maintenance, failed_in_maintenance, missed_in_maintenance,
    latency_count, latency_sum_us, latency_sketch"
                .to_owned(),
            Self::Phases => phase_columns(),
        }
    }
}

/// Whose checks, and from when to when in microseconds.
#[derive(Clone)]
pub(super) struct Scope {
    sums: Sums,
    who: String,
    /// Of one region only.
    region: Option<String>,
    /// Keeps regions apart: their names are in the column `place`, which is empty otherwise.
    by_region: bool,
    from: i64,
    to: i64,
}

impl Scope {
    pub(super) fn new(
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
    ) -> Self {
        let mut who = format!("workspace = {}", literal(workspace.as_str()));
        if let Some(monitor) = monitor {
            who = format!("{who} AND monitor = {}", literal(monitor.as_str()));
        }
        let from = clamped(range.from);
        Self {
            sums: Sums::Outcomes,
            who,
            region: None,
            by_region: false,
            from,
            to: clamped(range.to).max(from),
        }
    }

    pub(super) fn of_regions(self, region: Option<&Region>, by_region: bool) -> Self {
        let region = region.map(|region| literal(region.as_str()));
        Self {
            region,
            by_region,
            ..self
        }
    }

    /// Of one monitor over time.
    pub(super) fn of_chart(query: &ChartQuery) -> Self {
        Self::new(&query.workspace, Some(&query.monitor), query.range)
            .of_regions(query.region.as_ref(), query.by_region)
    }

    /// The same from then to then.
    pub(super) fn between(&self, (from, to): (i64, i64)) -> Self {
        Self {
            from,
            to,
            ..self.clone()
        }
    }

    pub(super) fn range(&self) -> (i64, i64) {
        (self.from, self.to)
    }

    pub(super) fn of_phases(self) -> Self {
        Self {
            sums: Sums::Phases,
            ..self
        }
    }

    /// What is counted: the monitors' rows, in the region that was asked for.
    fn these(&self) -> String {
        match &self.region {
            Some(region) => format!("{} AND region = {region}", self.who),
            None => self.who.clone(),
        }
    }

    fn place(&self) -> &'static str {
        if self.by_region { "region" } else { "''" }
    }

    pub(super) fn is_short(&self) -> bool {
        self.to - self.from <= SHORT
    }

    fn rows(&self) -> String {
        format!("{} AND trigger = 'schedule'", self.these())
    }

    /// All rows in the range.
    pub(super) fn all_rows(&self) -> String {
        format!(
            "check_results FINAL WHERE {} AND {}",
            self.rows(),
            slots(self.from, self.to)
        )
    }

    fn rows_by(&self, step: Option<i64>, which: &str) -> String {
        let start = step.map_or("toInt64(0)".to_owned(), start_of);
        format!(
            "SELECT monitor, {start} AS start, {} AS place, {}
FROM check_results FINAL WHERE {} AND {which} GROUP BY monitor, start, place",
            self.place(),
            self.sums.of_rows(),
            self.rows()
        )
    }

    /// Every latency that is measured, with its bucket.
    pub(super) fn measured_by(&self, step: i64) -> String {
        format!(
            "SELECT {} AS start, {} AS place, assumeNotNull(total_us) AS latency_us
FROM {} AND {MEASURED}",
            start_of(step),
            self.place(),
            self.all_rows()
        )
    }

    /// From rows by time.
    pub(super) fn recent_by(&self, which: &str) -> String {
        format!(
            "SELECT monitor, toInt64(0) AS start, '' AS place, {}
FROM recent_checks FINAL WHERE {} AND {which} GROUP BY monitor, start, place",
            self.sums.of_rows(),
            self.these()
        )
    }

    /// Hours that are to be recomputed, in any of the monitors.
    pub(super) fn dirty_hours(&self, settled: i64, retention: Duration) -> String {
        let dirty = self.dirty(settled, (self.from / HOUR * HOUR, self.to), retention);
        format!(
            "SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(bucket))) * 1000000 AS hour FROM ({dirty})"
        )
    }

    pub(super) fn rollup_by(&self, table: &str, step: Option<i64>, which: &str) -> String {
        let start = step.map_or("toInt64(0)".to_owned(), |step| {
            format!("intDiv(toInt64(toUnixTimestamp(bucket)) * 1000000, {step}) * {step}")
        });
        format!(
            "SELECT monitor, {start} AS start, {} AS place, {}
FROM {table} FINAL WHERE {} AND {which}",
            self.place(),
            self.sums.of_rollups(),
            self.these()
        )
    }

    /// Buckets that are to be recomputed, of those whose rows are all still kept.
    fn dirty(&self, settled: i64, quarters: (i64, i64), retention: Duration) -> String {
        format!(
            "SELECT monitor, bucket FROM dirty_buckets WHERE {} AND {}
AND noted_at > {} AND bucket >= now() - toIntervalSecond({})",
            self.who,
            buckets(quarters),
            at(settled),
            retention.as_secs()
        )
    }
}

/// The beginning of a row's bucket.
pub(super) fn start_of(step: i64) -> String {
    format!("intDiv(toUnixTimestamp64Micro(slot), {step}) * {step}")
}

/// The whole buckets within the range: the first one's beginning and the last one's end.
fn whole(scope: &Scope, bucket: i64) -> (i64, i64) {
    let from = (scope.from + bucket - 1) / bucket * bucket;
    (from, (scope.to / bucket * bucket).max(from))
}

pub(super) fn slots(from: i64, to: i64) -> String {
    format!("(slot >= {} AND slot < {})", at(from), at(to))
}

pub(super) fn buckets((from, to): (i64, i64)) -> String {
    let (from, to) = (from / SECOND, to / SECOND);
    format!("(bucket >= toDateTime({from}, 'UTC') AND bucket < toDateTime({to}, 'UTC'))")
}

pub(super) fn summary(row: &SummaryRow) -> Summary {
    let quantile = |index: usize| {
        let value = row.quantiles.get(index).copied();
        value.filter(|_| row.latency_count > 0)
    };
    let up = row.ok + row.degraded - row.up_in_maintenance;
    Summary {
        ok: row.ok,
        degraded: row.degraded,
        failed: row.failed,
        missed: row.missed,
        uptime: share(up, up + row.failed - row.failed_in_maintenance),
        p50_us: quantile(0),
        p75_us: quantile(1),
        p90_us: quantile(2),
        p95_us: quantile(3),
        p99_us: quantile(4),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of checks are far below 2^53"
)]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn bucket(row: &BucketRow) -> Result<Bucket> {
    Ok(Bucket {
        monitor: MonitorId::new(&row.monitor)
            .map_err(|error| ResultsError::Corrupt(error.into()))?,
        start: Timestamp::from_micros(row.start),
        ok: row.ok,
        degraded: row.degraded,
        failed: row.failed,
        missed: row.missed,
        mean_us: row.latency_sum_us.checked_div(row.latency_count),
    })
}
