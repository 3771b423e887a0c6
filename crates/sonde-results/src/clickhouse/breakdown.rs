//! What is behind a chart: phases from the same sources as its numbers, the distribution of latency and reasons from rows.

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{MonitorId, Phases, Region, Timestamp, WorkspaceId};

use super::ClickhouseResults;
use super::chart::{region_of, step_of};
use super::rollup::{MEASURED, PHASES};
use super::statistics::{Scope, start_of};
use crate::query::band_sql;
use crate::{ChartQuery, HeatCell, PhaseBucket, ReasonCount, Result, TimeRange};

/// Phases in the order of [`PHASES`].
#[derive(Row, Deserialize)]
struct PhaseRow {
    start: i64,
    place: String,
    counts: Vec<u64>,
    sums_us: Vec<u64>,
}

#[derive(Row, Deserialize)]
struct HeatRow {
    start: i64,
    band: u8,
    count: u64,
}

#[derive(Row, Deserialize)]
struct ReasonRow {
    reason: String,
    outcome: String,
    region: String,
    count: u64,
    last: i64,
}

impl ClickhouseResults {
    pub(super) async fn read_phases(&self, query: &ChartQuery) -> Result<Vec<PhaseBucket>> {
        let scope = Scope::of_chart(query).of_phases();
        let sources = self.sources(&scope, Some(step_of(query))).await?;
        let sums = |column: &str| {
            PHASES
                .map(|phase| format!("sum({phase}_{column})"))
                .join(", ")
        };
        let sql = format!(
            "SELECT ?fields FROM (SELECT start, place, [{}] AS counts, [{}] AS sums_us
FROM (\n{}\n)
GROUP BY start, place) WHERE arraySum(counts) > 0 ORDER BY start, place",
            sums("count"),
            sums("sum_us"),
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<PhaseRow>()).await?;
        rows.iter().map(phases).collect()
    }

    pub(super) async fn read_heat(&self, query: &ChartQuery) -> Result<Vec<HeatCell>> {
        let sql = format!(
            "SELECT ?fields FROM (SELECT {} AS start, {} AS band, count() AS count
FROM {} AND {MEASURED} GROUP BY start, band) ORDER BY start, band",
            start_of(step_of(query)),
            band_sql("assumeNotNull(total_us)"),
            Scope::of_chart(query).all_rows()
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<HeatRow>()).await?;
        let cell = |row: HeatRow| HeatCell {
            start: Timestamp::from_micros(row.start),
            band: row.band,
            count: row.count,
        };
        Ok(rows.into_iter().map(cell).collect())
    }

    pub(super) async fn read_reasons(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Result<Vec<ReasonCount>> {
        let scope = Scope::new(workspace, Some(monitor), range).of_regions(region, false);
        let sql = format!(
            "SELECT ?fields FROM (SELECT reason, outcome, region, count() AS count,
    toUnixTimestamp64Micro(max(slot)) AS last
FROM {} AND outcome != 'ok' GROUP BY reason, outcome, region)
ORDER BY count DESC, last DESC, region, outcome, reason",
            scope.all_rows()
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<ReasonRow>()).await?;
        let count = |row: ReasonRow| {
            let names = (&*row.reason, &*row.outcome, &*row.region);
            ReasonCount::read(names, row.count, row.last)
        };
        Ok(rows.into_iter().filter_map(count).collect())
    }
}

fn phases(row: &PhaseRow) -> Result<PhaseBucket> {
    let mean = |phase: usize| {
        let (sum, count) = (row.sums_us.get(phase)?, row.counts.get(phase)?);
        sum.checked_div(*count)
    };
    Ok(PhaseBucket {
        start: Timestamp::from_micros(row.start),
        region: region_of(&row.place)?,
        mean_us: Phases {
            dns: mean(0),
            connect: mean(1),
            tls: mean(2),
            send: mean(3),
            wait: mean(4),
            receive: mean(5),
        },
    })
}
