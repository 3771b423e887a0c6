//! The summary of every monitor at once.
//!
//! The rule: whole hours and days from rollups, and from rows only the edges and the hours that are still to be recomputed,
//! so that counts are exact and up to date. Quantiles are exact while at most [`EXACT_UP_TO`] checks were measured
//! altogether and their rows are still kept; beyond that each is within 1 % of the true value.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{MonitorId, WorkspaceId};

use super::ClickhouseResults;
use super::by_time::{COMPLETE_AFTER, HOURS, RECENT};
use super::rollup::MEASURED;
use super::schema::{BY_TIME, QUANTILES};
use super::statistics::{DAY, EXACT_UP_TO, HOUR, SUMS, Scope, SummaryRow, buckets, slots, summary};
use crate::{Result, Summary, TimeRange};

#[derive(Row, Deserialize)]
struct OverviewRow {
    monitor: String,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    up_in_maintenance: u64,
    failed_in_maintenance: u64,
    latency_count: u64,
    quantiles: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct ExactRow {
    monitor: String,
    latency_count: u64,
    quantiles: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct Migrated {
    at: i64,
}

#[derive(Row, Deserialize)]
struct DirtyHour {
    hour: i64,
}

/// From when to when, in microseconds.
type Span = (i64, i64);

/// Beyond this a question would be longer than what it saves.
const MOST_SPANS: usize = 8;

/// What can be had from where.
#[derive(Debug, Default)]
struct Known {
    hours_from: i64,
    recent_from: i64,
    dirty_hours: BTreeSet<i64>,
}

/// A range, cut into what comes from where; neighbours are one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    days: Vec<Span>,
    hours: Vec<Span>,
    recent: Vec<Span>,
    /// As for one monitor.
    rest: Vec<Span>,
}

impl Plan {
    fn new((from, to): Span, known: &Known) -> Self {
        let mut plan = Self::default();
        let mut at = from;
        while at < to {
            let (day, hour) = (at / DAY * DAY + DAY, at / HOUR * HOUR + HOUR);
            let mut dirty = known.dirty_hours.range(at..day);
            let (spans, end) = if at % DAY == 0 && day <= to && dirty.next().is_none() {
                (&mut plan.days, day)
            } else if at % HOUR == 0
                && hour <= to
                && at >= known.hours_from
                && !known.dirty_hours.contains(&at)
            {
                (&mut plan.hours, hour)
            } else if at >= known.recent_from {
                (&mut plan.recent, hour.min(to))
            } else {
                (&mut plan.rest, hour.min(to))
            };
            match spans.last_mut() {
                Some(last) if last.1 == at => last.1 = end,
                _ => spans.push((at, end)),
            }
            at = end;
        }
        plan
    }
}

impl ClickhouseResults {
    pub(super) async fn read_overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, Summary>> {
        let scope = Scope::new(workspace, None, range);
        let sources = self.sources_of_all(&scope).await?;
        if sources.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT ?fields FROM (SELECT monitor, {SUMS},
    sum(ok_in_maintenance) + sum(degraded_in_maintenance) AS up_in_maintenance,
    sum(failed_in_maintenance) AS failed_in_maintenance,
    arrayMap(q -> if(isNaN(q), 0, toUInt64(round(q))), quantilesDDMerge({QUANTILES})(latency_sketch)) AS quantiles
FROM (\n{}\n)
GROUP BY monitor)",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let mut rows = self.ask(query.fetch_all::<OverviewRow>()).await?;
        let measured: u64 = rows.iter().map(|row| row.latency_count).sum();
        if measured > 0 && measured <= EXACT_UP_TO {
            self.make_all_exact(&scope, &mut rows).await?;
        }
        let mut summaries = HashMap::new();
        for row in rows {
            let (monitor, row) = row.split();
            match MonitorId::new(&monitor) {
                Ok(monitor) => {
                    summaries.insert(monitor, summary(&row));
                }
                Err(error) => {
                    tracing::error!(%error, "results of an unreadable monitor are left out");
                }
            }
        }
        Ok(summaries)
    }

    async fn sources_of_all(&self, scope: &Scope) -> Result<Vec<String>> {
        let progress = self.progress().await?;
        let known = self.known(scope, progress.now, progress.settled).await?;
        let plan = Plan::new(scope.range(), &known);
        if plan.rest.len() > MOST_SPANS {
            return Ok(self.long_sources(scope, None, progress.settled));
        }
        let any_of = |spans: &[Span], condition: fn(Span) -> String| {
            let conditions: Vec<String> = spans.iter().copied().map(condition).collect();
            (!conditions.is_empty()).then(|| format!("({})", conditions.join(" OR ")))
        };
        let rest = plan.rest.iter();
        let mut sources: Vec<String> = rest
            .flat_map(|span| self.long_sources(&scope.between(*span), None, progress.settled))
            .collect();
        if let Some(recent) = any_of(&plan.recent, |(from, to)| slots(from, to)) {
            sources.push(scope.recent_by(&recent));
        }
        if let Some(hours) = any_of(&plan.hours, buckets) {
            sources.push(scope.rollup_by("rollup_1h", None, &hours));
        }
        if let Some(days) = any_of(&plan.days, buckets) {
            sources.push(scope.rollup_by("rollup_1d", None, &days));
        }
        Ok(sources)
    }

    async fn known(&self, scope: &Scope, now: i64, settled: i64) -> Result<Known> {
        let migrated = format!(
            "SELECT toUnixTimestamp64Micro(min(migrated_at)) AS at FROM schema_versions WHERE version = {BY_TIME}"
        );
        let migrated = self.client.query(&migrated);
        let Migrated { at } = self.ask(migrated.fetch_one::<Migrated>()).await?;
        let dirty = scope.dirty_hours(settled, self.dialect.retention);
        let dirty = self.client.query(&dirty);
        let dirty = self.ask(dirty.fetch_all::<DirtyHour>()).await?;
        let complete = at.saturating_add(micros(COMPLETE_AFTER));
        Ok(Known {
            hours_from: complete.max(now - micros(HOURS)),
            recent_from: complete.max(now - micros(RECENT)),
            dirty_hours: dirty.into_iter().map(|it| it.hour).collect(),
        })
    }

    /// Where all rows of a monitor are still there.
    async fn make_all_exact(&self, scope: &Scope, rows: &mut [OverviewRow]) -> Result<()> {
        let sql = format!(
            "SELECT ?fields FROM (
SELECT monitor, arraySort(groupArrayIf(assumeNotNull(total_us), {MEASURED})) AS sorted,
    length(sorted) AS latency_count,
    arrayMap(p -> sorted[intDiv(length(sorted) * p + 99, 100)], [50, 75, 90, 95, 99]) AS quantiles
FROM {} GROUP BY monitor)",
            scope.all_rows()
        );
        let query = self.client.query(&sql);
        let exact = self.ask(query.fetch_all::<ExactRow>()).await?;
        let mut exact: HashMap<String, ExactRow> = exact
            .into_iter()
            .map(|row| (row.monitor.clone(), row))
            .collect();
        for row in rows {
            let found = exact.remove(&row.monitor);
            if let Some(found) = found.filter(|it| it.latency_count >= row.latency_count) {
                row.quantiles = found.quantiles;
            }
        }
        Ok(())
    }
}

impl OverviewRow {
    fn split(self) -> (String, SummaryRow) {
        let summary = SummaryRow {
            ok: self.ok,
            degraded: self.degraded,
            failed: self.failed,
            missed: self.missed,
            up_in_maintenance: self.up_in_maintenance,
            failed_in_maintenance: self.failed_in_maintenance,
            latency_count: self.latency_count,
            quantiles: self.quantiles,
        };
        (self.monitor, summary)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In hours and tenths of one.
    fn plan(range: (f64, f64), hours_from: i64, recent_from: i64, dirty: &[i64]) -> [String; 4] {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let tenths = |hours: f64| (hours * 10.0) as i64 * (HOUR / 10);
        let known = Known {
            hours_from: hours_from * HOUR,
            recent_from: recent_from * HOUR,
            dirty_hours: dirty.iter().map(|hour| hour * HOUR).collect(),
        };
        let plan = Plan::new((tenths(range.0), tenths(range.1)), &known);
        [plan.days, plan.hours, plan.recent, plan.rest].map(|spans| {
            let spans = spans.iter().map(|(from, to)| {
                let tenths = |at: i64| format!("{}.{}", at / HOUR, at % HOUR / (HOUR / 10));
                format!("{}-{}", tenths(*from), tenths(*to))
            });
            spans.collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn a_range_is_cut_into_days_hours_and_rows() {
        let day = plan((10.5, 34.5), 0, 0, &[]);
        assert_eq!(day, ["", "11.0-34.0", "10.5-11.0 34.0-34.5", ""]);
        let days = plan((10.5, 80.2), 0, 60, &[33, 79]);
        assert_eq!(
            days,
            [
                "48.0-72.0",
                "11.0-33.0 34.0-48.0 72.0-79.0",
                "79.0-80.2",
                "10.5-11.0 33.0-34.0"
            ]
        );
        let old = plan((10.5, 80.0), 76, 90, &[]);
        assert_eq!(old, ["24.0-72.0", "76.0-80.0", "", "10.5-24.0 72.0-76.0"]);
        assert_eq!(plan((5.1, 5.3), 0, 0, &[]), ["", "", "5.1-5.3", ""]);
        assert_eq!(plan((5.0, 5.0), 0, 0, &[]), ["", "", "", ""]);
    }
}
