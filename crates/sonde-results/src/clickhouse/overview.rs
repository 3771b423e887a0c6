//! The summary of every monitor at once, by the rule of summaries.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{MonitorId, WorkspaceId};

use super::ClickhouseResults;
use super::rollup::MEASURED;
use super::schema::QUANTILES;
use super::statistics::{EXACT_UP_TO, SUMS, Scope, SummaryRow, summary};
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

impl ClickhouseResults {
    pub(super) async fn read_overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, Summary>> {
        let scope = Scope::new(workspace, None, range);
        let sources = self.sources(&scope, None).await?;
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
