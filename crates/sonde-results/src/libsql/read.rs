//! Questions. A row that cannot be read is reported in the log and left out, so that it never hides the others.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{
    Balance, CheckResult, DispatchGap, MonitorId, Outcome, Region, RunId, Timestamp, WorkspaceId,
};
use sonde_libsql::libsql::params::IntoParams;
use sonde_libsql::libsql::{Connection, Row, Statement, Value, params};

use super::{corrupt, run_id_value, signed, text};
use crate::{Bucket, Cursor, Result, ResultPage, ResultQuery, TimeRange};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) async fn collect<T>(
    connection: &Connection,
    sql: &str,
    params: impl IntoParams,
    mut read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = connection.query(sql, params).await?;
    let mut values = Vec::new();
    while let Some(row) = rows.next().await? {
        values.push(read(&row)?);
    }
    Ok(values)
}

/// The same of a statement that is asked again and again.
pub(super) async fn ask<T>(
    statement: &Statement,
    params: impl IntoParams,
    mut read: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = statement.query(params).await?;
    let mut values = Vec::new();
    while let Some(row) = rows.next().await? {
        values.push(read(&row)?);
    }
    drop(rows);
    // Else it ignores the parameters that it is given next.
    statement.reset();
    Ok(values)
}

/// The primary key backwards, from the cursor or the range's end, so that nothing is sorted or skipped. Bodies are
/// looked at for the rows that are shown, and for those of an earlier release.
pub(super) async fn page(connection: &Connection, query: &ResultQuery) -> Result<ResultPage> {
    const PAGE: &str = "
SELECT b.body, r.slot, r.region, r.run_id
FROM check_results r CROSS JOIN result_bodies b ON b.id = r.body
WHERE r.workspace = ?1 AND r.monitor = ?2 AND r.slot >= ?3
AND (r.slot, r.region, r.run_id) < (?4, ?5, ?6)
AND (?7 IS NULL OR r.region = ?7) AND (?8 IS NULL OR r.outcome = ?8)
AND (?9 IS NULL OR r.trigger = ?9)
AND (?10 IS NULL OR r.http_status IS NULL OR r.reason = ?10)
AND (?10 IS NULL OR r.http_status IS NOT NULL OR b.body ->> '$.reason' = ?10)
AND (?11 IS NULL OR r.http_status IS NULL OR r.http_status = ?11)
AND (?11 IS NULL OR r.http_status IS NOT NULL OR b.body ->> '$.http.status' = ?11)
ORDER BY r.slot DESC, r.region DESC, r.run_id DESC LIMIT ?12";
    let end = (query.range.to, "", RunId::SCHEDULED);
    let cursor = query.after.as_ref();
    let before = cursor.map_or(end, |after| {
        end.min((after.slot, after.region.as_str(), after.run_id))
    });
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let params = params![
        query.workspace.as_str(),
        query.monitor.as_str(),
        query.range.from.as_micros(),
        before.0.as_micros(),
        before.1,
        run_id_value(before.2),
        query.region.as_ref().map(text),
        query.outcome.map(|outcome| outcome.as_str().to_owned()),
        query.trigger.map(|trigger| trigger.as_str().to_owned()),
        query.reason.map(|reason| reason.as_str().to_owned()),
        query.status.map(i64::from),
        i64::from(query.limit) + 1,
    ];
    let mut rows = collect(connection, PAGE, params, |row| {
        let place = Cursor {
            slot: Timestamp::from_micros(row.get(1)?),
            region: Region::new(row.get_str(2)?).map_err(corrupt)?,
            run_id: RunId::from_u64(row.get(3)?),
        };
        Ok((place, readable(row)?))
    })
    .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(|(place, _)| place.clone());
    Ok(ResultPage {
        results: rows.into_iter().filter_map(|(_, result)| result).collect(),
        next: last.filter(|_| more),
    })
}

/// The result in the first column.
pub(super) fn readable(row: &Row) -> Result<Option<CheckResult>> {
    let parsed = serde_json::from_str(row.get_str(0)?);
    let log = |error| tracing::error!(%error, "a stored result is unreadable and left out");
    Ok(parsed.map_err(log).ok())
}

pub(super) async fn find(connection: &Connection, key: [Value; 5]) -> Result<Option<CheckResult>> {
    const FIND: &str = "
SELECT b.body FROM check_results r JOIN result_bodies b ON b.id = r.body
WHERE r.workspace = ?1 AND r.monitor = ?2 AND r.slot = ?3 AND r.region = ?4 AND r.run_id = ?5";
    let parse = |row: &Row| serde_json::from_str(row.get_str(0)?).map_err(corrupt);
    Ok(collect(connection, FIND, key, parse).await?.pop())
}

pub(super) async fn latest(
    connection: &Connection,
    workspace: &WorkspaceId,
) -> Result<Vec<CheckResult>> {
    let sql = format!("{LATEST} ORDER BY l.monitor, l.region");
    let rows = collect(connection, &sql, [workspace.as_str()], readable).await?;
    Ok(rows.into_iter().flatten().collect())
}

const LATEST: &str = "
SELECT b.body FROM latest_results l CROSS JOIN result_bodies b ON b.id = l.body
WHERE l.workspace = ?1 AND (l.scheduled = 1 OR NOT EXISTS (
    SELECT 1 FROM latest_results s WHERE s.workspace = l.workspace
    AND s.monitor = l.monitor AND s.region = l.region AND s.scheduled = 1))";

pub(super) async fn latest_of(
    connection: &Connection,
    workspace: &WorkspaceId,
    monitors: &[MonitorId],
) -> Result<Vec<CheckResult>> {
    let sql = format!(
        "{LATEST} AND l.monitor IN (SELECT value FROM json_each(?2)) ORDER BY l.monitor, l.region"
    );
    let monitors = serde_json::to_string(monitors).map_err(corrupt)?;
    let params = (workspace.as_str(), monitors);
    let rows = collect(connection, &sql, params, readable).await?;
    Ok(rows.into_iter().flatten().collect())
}

/// Monitor by monitor, so that other times of other monitors are never read.
pub(super) async fn recent(
    connection: &Connection,
    workspace: &WorkspaceId,
    from: Timestamp,
    limit: u32,
) -> Result<Vec<CheckResult>> {
    const RECENT: &str = "
WITH monitors AS (SELECT DISTINCT monitor FROM latest_results WHERE workspace = ?1),
    found AS (
        SELECT r.body, r.slot FROM monitors m CROSS JOIN check_results r
            ON r.workspace = ?1 AND r.monitor = m.monitor
        WHERE r.slot >= ?2 ORDER BY r.slot LIMIT ?3
    )
SELECT b.body FROM found CROSS JOIN result_bodies b ON b.id = found.body ORDER BY found.slot";
    let params = (workspace.as_str(), from.as_micros(), limit);
    let rows = collect(connection, RECENT, params, readable).await?;
    Ok(rows.into_iter().flatten().collect())
}

/// Monitor by monitor, so that other times of other monitors are never read.
pub(super) async fn series(
    connection: &Connection,
    workspace: &WorkspaceId,
    monitor: Option<&MonitorId>,
    range: TimeRange,
    step: Duration,
) -> Result<Vec<Bucket>> {
    const SERIES: &str = "
WITH monitors AS (SELECT DISTINCT monitor FROM latest_results
    WHERE workspace = ?1 AND (?2 IS NULL OR monitor = ?2))
SELECT r.monitor, r.slot - r.slot % ?5 AS start,
    count(*) FILTER (WHERE outcome = 'ok'), count(*) FILTER (WHERE outcome = 'degraded'),
    count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'missed'),
    CAST(avg(total_us) FILTER (WHERE outcome IN ('ok', 'degraded') AND NOT in_maintenance) AS INTEGER)
FROM monitors m CROSS JOIN check_results r ON r.workspace = ?1 AND r.monitor = m.monitor
WHERE r.slot >= ?3 AND r.slot < ?4 AND r.trigger = 'schedule'
GROUP BY r.monitor, start ORDER BY r.monitor, start";
    let step = u64::try_from(step.as_micros()).unwrap_or(u64::MAX).max(1);
    let params = params![
        workspace.as_str(),
        monitor.map(|monitor| monitor.as_str().to_owned()),
        range.from.as_micros(),
        range.to.as_micros(),
        signed(step),
    ];
    collect(connection, SERIES, params, |row| {
        Ok(Bucket {
            monitor: MonitorId::new(row.get_str(0)?).map_err(corrupt)?,
            start: Timestamp::from_micros(row.get(1)?),
            ok: row.get(2)?,
            degraded: row.get(3)?,
            failed: row.get(4)?,
            missed: row.get(5)?,
            mean_us: row.get(6)?,
        })
    })
    .await
}

/// Whole minutes, so that a range that ends within one does not look unbalanced. Heartbeats are scheduled by who sends them.
pub(super) async fn balances(connection: &Connection, range: TimeRange) -> Result<Vec<Balance>> {
    const SCHEDULED: &str = "
SELECT minute, region, scheduled, deadline FROM ledger WHERE minute >= ?1 AND minute < ?2";
    const SETTLED: &str = "
SELECT slot - slot % 60000000 AS minute, region, outcome, count(*) FROM check_results
WHERE slot >= ?1 AND slot < ?2 AND trigger = 'schedule' AND region <> 'push' GROUP BY minute, region, outcome";
    let from = range.from.floor(MINUTE);
    let mut to = range.to.floor(MINUTE);
    if to < range.to {
        to = to + MINUTE;
    }
    let minutes = || (from.as_micros(), to.as_micros());
    let mut balances = BTreeMap::new();
    let scheduled = collect(connection, SCHEDULED, minutes(), |row| {
        Ok((place(row)?, row.get::<u64>(2)?, row.get::<Option<i64>>(3)?))
    });
    for (place, scheduled, deadline) in scheduled.await? {
        let deadline = deadline.map(Timestamp::from_micros);
        balance_of(&mut balances, place).schedule(scheduled, deadline);
    }
    let settled = collect(connection, SETTLED, minutes(), |row| {
        Ok((place(row)?, outcome(row.get_str(2)?)?, row.get(3)?))
    });
    for (place, outcome, count) in settled.await? {
        balance_of(&mut balances, place).count(outcome, count);
    }
    Ok(balances.into_values().collect())
}

/// The minute and region in the first columns.
fn place(row: &Row) -> Result<(Timestamp, Region)> {
    let region = Region::new(row.get_str(1)?).map_err(corrupt)?;
    Ok((Timestamp::from_micros(row.get(0)?), region))
}

fn balance_of(
    balances: &mut BTreeMap<(Timestamp, Region), Balance>,
    place: (Timestamp, Region),
) -> &mut Balance {
    let empty = Balance::empty(place.0, place.1.clone());
    balances.entry(place).or_insert(empty)
}

pub(super) fn outcome(name: &str) -> Result<Outcome> {
    Outcome::from_name(name).ok_or_else(|| corrupt(format!("`{name}` is not an outcome")))
}

pub(super) async fn gaps(connection: &Connection, range: TimeRange) -> Result<Vec<DispatchGap>> {
    const GAPS: &str = "
SELECT begins, ends FROM dispatch_gaps WHERE begins < ?2 AND ends > ?1 ORDER BY begins, ends";
    let params = (range.from.as_micros(), range.to.as_micros());
    collect(connection, GAPS, params, |row| {
        Ok(DispatchGap {
            from: Timestamp::from_micros(row.get(0)?),
            to: Timestamp::from_micros(row.get(1)?),
        })
    })
    .await
}
