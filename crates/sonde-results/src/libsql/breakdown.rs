//! What is behind a chart: phases and reasons.

use sonde_core::{MonitorId, Phases, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, params};

use super::buckets::{self, ROWS};
use super::chart::{place, region_of};
use super::fill::COMPLETE_ROWS;
use super::read::collect;
use super::text;
use crate::{ChartQuery, PhaseBucket, ReasonCount, Result, TimeRange};

/// Executed, not failed, outside maintenance, and with a latency.
const MEASURED: &str =
    "outcome IN ('ok', 'degraded') AND NOT in_maintenance AND total_us IS NOT NULL";

pub(super) async fn phases(
    connection: &Connection,
    query: &ChartQuery,
) -> Result<Vec<PhaseBucket>> {
    let (place, rows) = (place(query), COMPLETE_ROWS.as_str());
    let sql = format!(
        "SELECT {place} AS place, CAST(avg(dns_us) AS INTEGER), CAST(avg(connect_us) AS INTEGER),
    CAST(avg(tls_us) AS INTEGER), CAST(avg(send_us) AS INTEGER), CAST(avg(wait_us) AS INTEGER),
    CAST(avg(receive_us) AS INTEGER)
FROM {rows} WHERE {ROWS} AND {MEASURED} GROUP BY place ORDER BY place"
    );
    let mut buckets = buckets::each(connection, query, query.step, &sql, |start, row| {
        Ok(PhaseBucket {
            start: Timestamp::from_micros(start),
            region: region_of(row.get_str(0)?)?,
            mean_us: Phases {
                dns: row.get(1)?,
                connect: row.get(2)?,
                tls: row.get(3)?,
                send: row.get(4)?,
                wait: row.get(5)?,
                receive: row.get(6)?,
            },
        })
    })
    .await?;
    buckets.retain(|bucket| bucket.mean_us != Phases::default());
    Ok(buckets)
}

pub(super) async fn reasons(
    connection: &Connection,
    workspace: &WorkspaceId,
    monitor: &MonitorId,
    range: TimeRange,
    region: Option<&Region>,
) -> Result<Vec<ReasonCount>> {
    let rows = COMPLETE_ROWS.as_str();
    let sql = format!(
        "SELECT coalesce(reason, '') AS reason, outcome, region, count(*) AS count, max(slot) AS last
FROM {rows} WHERE {ROWS} AND outcome <> 'ok'
GROUP BY reason, outcome, region ORDER BY count DESC, last DESC, region, outcome, reason"
    );
    let params = params![
        workspace.as_str(),
        monitor.as_str(),
        range.from.as_micros(),
        range.to.as_micros(),
        region.map(text),
    ];
    let counts = collect(connection, &sql, params, |row| {
        let names = (row.get_str(0)?, row.get_str(1)?, row.get_str(2)?);
        Ok(ReasonCount::read(names, row.get(3)?, row.get(4)?))
    });
    Ok(counts.await?.into_iter().flatten().collect())
}
