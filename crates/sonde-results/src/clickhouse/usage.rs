//! How much was checked, of all monitors together: from the same sources as every other count.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{InvalidId, MonitorId, Region, Timestamp, WorkspaceId};

use super::ClickhouseResults;
use super::statistics::Scope;
use crate::{Result, ResultsError, TimeRange, Usage, UsageBucket};

#[derive(Row, Deserialize)]
struct UsageRow {
    start: i64,
    monitor: String,
    place: String,
    executed: u64,
    missed_checks: u64,
}

impl ClickhouseResults {
    /// What a row is not grouped by is empty in it.
    pub(super) async fn read_usage(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
        step: Duration,
    ) -> Result<Usage> {
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
        let scope = Scope::new(workspace, None, range).of_regions(None, true);
        let sources = self.sources(&scope, Some(step)).await?;
        let sql = format!(
            "SELECT ?fields FROM (SELECT start, monitor, place,
    sum(ok) + sum(degraded) + sum(failed) AS executed, sum(missed) AS missed_checks
FROM (
SELECT start, toString(monitor) AS monitor, toString(place) AS place, ok, degraded, failed, missed FROM (\n{}\n)
) GROUP BY GROUPING SETS ((start, monitor), (start, place))) ORDER BY start, monitor, place",
            sources.join("\nUNION ALL\n")
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<UsageRow>()).await?;
        let mut usage = Usage::default();
        for row in rows {
            if row.place.is_empty() {
                let monitor = MonitorId::new(&row.monitor);
                usage.by_monitor.push(bucket(&row, monitor)?);
            } else {
                let region = Region::new(&row.place);
                usage.by_region.push(bucket(&row, region)?);
            }
        }
        Ok(usage)
    }
}

fn bucket<T>(row: &UsageRow, of: Result<T, InvalidId>) -> Result<UsageBucket<T>> {
    Ok(UsageBucket {
        start: Timestamp::from_micros(row.start),
        of: of.map_err(|error| ResultsError::Corrupt(error.into()))?,
        executed: row.executed,
        missed: row.missed_checks,
    })
}
