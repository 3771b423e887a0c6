//! What is behind a chart: phases, the distribution of latency, and reasons.

use sonde_core::{MonitorId, Phases, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, params};

use super::chart::{parameters, place, region_of};
use super::corrupt;
use super::fill::COMPLETE_ROWS;
use super::read::collect;
use crate::query::band_of;
use crate::{ChartQuery, HeatCell, PhaseBucket, ReasonCount, Result, TimeRange};

/// Executed, not failed, outside maintenance, and with a latency; with the parameters of a chart.
const MEASURED: &str = "workspace = ?2 AND monitor = ?3 AND slot >= ?4 AND slot < ?5 AND trigger = 'schedule'
AND (?6 IS NULL OR region = ?6) AND outcome IN ('ok', 'degraded') AND NOT in_maintenance AND total_us IS NOT NULL";

pub(super) async fn phases(
    connection: &Connection,
    query: &ChartQuery,
) -> Result<Vec<PhaseBucket>> {
    let region = if query.by_region { "region" } else { "''" };
    let rows = COMPLETE_ROWS.as_str();
    let sql = format!(
        "SELECT slot - slot % ?1 AS start, {region} AS place, CAST(avg(dns_us) AS INTEGER), CAST(avg(connect_us) AS INTEGER),
    CAST(avg(tls_us) AS INTEGER), CAST(avg(send_us) AS INTEGER), CAST(avg(wait_us) AS INTEGER),
    CAST(avg(receive_us) AS INTEGER)
FROM {rows} WHERE {MEASURED} GROUP BY start, place ORDER BY start, place"
    );
    let mut buckets = collect(connection, &sql, parameters(query), |row| {
        let (start, region) = place(row)?;
        Ok(PhaseBucket {
            start: Timestamp::from_micros(start),
            region: region_of(&region)?,
            mean_us: Phases {
                dns: row.get(2)?,
                connect: row.get(3)?,
                tls: row.get(4)?,
                send: row.get(5)?,
                wait: row.get(6)?,
                receive: row.get(7)?,
            },
        })
    })
    .await?;
    buckets.retain(|bucket| bucket.mean_us != Phases::default());
    Ok(buckets)
}

pub(super) async fn heat(connection: &Connection, query: &ChartQuery) -> Result<Vec<HeatCell>> {
    let band = band_of("total_us");
    let sql = format!(
        "SELECT slot - slot % ?1 AS start, {band} AS band, count(*)
FROM check_results WHERE {MEASURED} GROUP BY start, band ORDER BY start, band"
    );
    collect(connection, &sql, parameters(query), |row| {
        Ok(HeatCell {
            start: Timestamp::from_micros(row.get(0)?),
            band: u8::try_from(row.get::<u32>(1)?).map_err(corrupt)?,
            count: row.get(2)?,
        })
    })
    .await
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
FROM {rows} WHERE workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4 AND trigger = 'schedule'
AND (?5 IS NULL OR region = ?5) AND outcome <> 'ok'
GROUP BY reason, outcome, region ORDER BY count DESC, last DESC, region, outcome, reason"
    );
    let params = params![
        workspace.as_str(),
        monitor.as_str(),
        range.from.as_micros(),
        range.to.as_micros(),
        region.map(|region| region.as_str().to_owned()),
    ];
    let counts = collect(connection, &sql, params, |row| {
        let names = (row.get_str(0)?, row.get_str(1)?, row.get_str(2)?);
        Ok(ReasonCount::read(names, row.get(3)?, row.get(4)?))
    });
    Ok(counts.await?.into_iter().flatten().collect())
}
