//! What a monitor's rows of a range add up to, for one monitor or for each.

use std::collections::HashMap;

use sonde_core::{MonitorId, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row, Statement};

use super::corrupt;
use super::read::{ask, collect};
use crate::{Result, Summary, TimeRange};

/// Latencies come as one text: a row for each would cost more than all the rest.
const NUMBERS: &str = "
SELECT count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome = 'degraded'),
    count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'missed'),
    count(*) FILTER (WHERE outcome IN ('ok', 'degraded') AND NOT in_maintenance),
    count(*) FILTER (WHERE outcome = 'failed' AND NOT in_maintenance),
    group_concat(total_us) FILTER (WHERE outcome IN ('ok', 'degraded') AND NOT in_maintenance)
FROM check_results
WHERE workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4 AND trigger = 'schedule'";

pub(super) async fn summary(
    connection: &Connection,
    workspace: &WorkspaceId,
    monitor: &MonitorId,
    range: TimeRange,
) -> Result<Summary> {
    let numbers = connection.prepare(NUMBERS).await?;
    summarize(&numbers, workspace, monitor, range).await
}

/// Monitor by monitor, so that other times of other monitors are never read, and nothing is sorted but latencies.
pub(super) async fn overview(
    connection: &Connection,
    workspace: &WorkspaceId,
    range: TimeRange,
) -> Result<HashMap<MonitorId, Summary>> {
    const MONITORS: &str = "SELECT DISTINCT monitor FROM latest_results WHERE workspace = ?1";
    let monitors = collect(connection, MONITORS, [workspace.as_str()], |row| {
        MonitorId::new(row.get_str(0)?).map_err(corrupt)
    });
    let numbers = connection.prepare(NUMBERS).await?;
    let mut summaries = HashMap::new();
    for monitor in monitors.await? {
        let summary = summarize(&numbers, workspace, &monitor, range).await?;
        if summary != Summary::default() {
            summaries.insert(monitor, summary);
        }
    }
    Ok(summaries)
}

async fn summarize(
    numbers: &Statement,
    workspace: &WorkspaceId,
    monitor: &MonitorId,
    range: TimeRange,
) -> Result<Summary> {
    let (from, to) = (range.from.as_micros(), range.to.as_micros());
    let params = (workspace.as_str(), monitor.as_str(), from, to);
    let summary = ask(numbers, params, read).await?.pop();
    Ok(summary.unwrap_or_default())
}

fn read(row: &Row) -> Result<Summary> {
    let (up, failed): (u64, u64) = (row.get(4)?, row.get(5)?);
    let mut summary = Summary {
        ok: row.get(0)?,
        degraded: row.get(1)?,
        failed: row.get(2)?,
        missed: row.get(3)?,
        uptime: share(up, up + failed),
        ..Summary::default()
    };
    let latencies: Option<String> = row.get(6)?;
    let mut latencies = parse(latencies.as_deref().unwrap_or_default())?;
    latencies.sort_unstable();
    rank(&mut summary, &latencies);
    Ok(summary)
}

/// What `group_concat` made of numbers.
pub(super) fn parse(numbers: &str) -> Result<Vec<u64>> {
    let numbers = numbers.split(',').filter(|number| !number.is_empty());
    let numbers = numbers.map(str::parse).collect::<Result<_, _>>();
    numbers.map_err(corrupt)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of checks are far below 2^53"
)]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Takes the quantiles from all latencies, ascending.
pub(super) fn rank(summary: &mut Summary, latencies: &[u64]) {
    summary.p50_us = nearest_rank(latencies, 50);
    summary.p75_us = nearest_rank(latencies, 75);
    summary.p90_us = nearest_rank(latencies, 90);
    summary.p95_us = nearest_rank(latencies, 95);
    summary.p99_us = nearest_rank(latencies, 99);
}

/// The smallest value that at least `percent` of the `sorted` values do not exceed.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}
