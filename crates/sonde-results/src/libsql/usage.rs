//! How much was checked, of all monitors together.

use std::time::Duration;

use sonde_core::WorkspaceId;
use sonde_libsql::libsql::{Connection, params};

use super::read::collect;
use super::{corrupt, signed};
use crate::{Result, TimeRange, Usage};

/// Read once, monitor by monitor, so that other times of other monitors are never read.
const USAGE: &str = "
WITH monitors AS (SELECT DISTINCT monitor FROM latest_results WHERE workspace = ?1),
    counts AS MATERIALIZED (
        SELECT r.slot - r.slot % ?4 AS start, r.monitor AS monitor, r.region AS region,
            count(*) FILTER (WHERE r.outcome <> 'missed') AS executed,
            count(*) FILTER (WHERE r.outcome = 'missed') AS missed
        FROM monitors m CROSS JOIN check_results r ON r.workspace = ?1 AND r.monitor = m.monitor
        WHERE r.slot >= ?2 AND r.slot < ?3 AND r.trigger = 'schedule'
        GROUP BY r.monitor, start, r.region
    )
SELECT start, monitor, '' AS region, sum(executed), sum(missed) FROM counts GROUP BY start, monitor
UNION ALL
SELECT start, '' AS monitor, region, sum(executed), sum(missed) FROM counts GROUP BY start, region
ORDER BY start, monitor, region";

pub(super) async fn usage(
    connection: &Connection,
    workspace: &WorkspaceId,
    range: TimeRange,
    step: Duration,
) -> Result<Usage> {
    let step = u64::try_from(step.as_micros()).unwrap_or(u64::MAX).max(1);
    let params = params![
        workspace.as_str(),
        range.from.as_micros(),
        range.to.as_micros(),
        signed(step),
    ];
    let mut usage = Usage::default();
    let rows = collect(connection, USAGE, params, |row| {
        let names = (row.get_str(1)?, row.get_str(2)?);
        let counts = (row.get(3)?, row.get(4)?);
        usage.add(row.get(0)?, names, counts).map_err(corrupt)
    });
    rows.await?;
    Ok(usage)
}
