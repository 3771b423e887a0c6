//! How much was checked, of all monitors together.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{MonitorId, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row, Statement};

use super::read::collect;
use super::{corrupt, signed};
use crate::{Result, TimeRange, Usage, UsageBucket};

/// The first that is not before `?3`.
const NEXT: &str = "
SELECT slot FROM check_results WHERE workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4
AND trigger = 'schedule' ORDER BY slot LIMIT 1";
const COUNTS: &str = "
SELECT region, count(*) FILTER (WHERE outcome <> 'missed'), count(*) FILTER (WHERE outcome = 'missed')
FROM check_results WHERE workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4
AND trigger = 'schedule' GROUP BY region";

/// Monitor by monitor and bucket by bucket: grouping all rows at once would sort them all, which takes four times as long.
pub(super) async fn usage(
    connection: &Connection,
    workspace: &WorkspaceId,
    range: TimeRange,
    step: Duration,
) -> Result<Usage> {
    const MONITORS: &str = "SELECT DISTINCT monitor FROM latest_results WHERE workspace = ?1";
    let monitors = collect(connection, MONITORS, [workspace.as_str()], |row| {
        MonitorId::new(row.get_str(0)?).map_err(corrupt)
    });
    let step = signed(u64::try_from(step.as_micros()).unwrap_or(u64::MAX)).max(1);
    let (next, counts) = (
        connection.prepare(NEXT).await?,
        connection.prepare(COUNTS).await?,
    );
    let mut usage = Usage::default();
    let mut regions: BTreeMap<(Timestamp, Region), (u64, u64)> = BTreeMap::new();
    for monitor in monitors.await? {
        let (mut from, to) = (range.from.as_micros(), range.to.as_micros());
        let names = (workspace.as_str(), monitor.as_str());
        while let Some(slot) = ask(&next, names, (from, to), |row| Ok(row.get(0)?))
            .await?
            .pop()
        {
            let slot: i64 = slot;
            let begins = slot - slot.rem_euclid(step);
            let ends = begins.saturating_add(step).min(to);
            let start = Timestamp::from_micros(begins);
            let mut all = (0, 0);
            for (region, executed, missed) in ask(&counts, names, (slot, ends), count).await? {
                let of_region = regions.entry((start, region)).or_default();
                *of_region = (of_region.0 + executed, of_region.1 + missed);
                all = (all.0 + executed, all.1 + missed);
            }
            usage.by_monitor.push(bucket(start, monitor.clone(), all));
            from = ends;
        }
    }
    usage
        .by_monitor
        .sort_by(|a, b| (a.start, &a.of).cmp(&(b.start, &b.of)));
    let regions = regions.into_iter();
    usage.by_region = regions
        .map(|((start, region), counts)| bucket(start, region, counts))
        .collect();
    Ok(usage)
}

fn count(row: &Row) -> Result<(Region, u64, u64)> {
    let region = Region::new(row.get_str(0)?).map_err(corrupt)?;
    Ok((region, row.get(1)?, row.get(2)?))
}

fn bucket<T>(start: Timestamp, of: T, (executed, missed): (u64, u64)) -> UsageBucket<T> {
    UsageBucket {
        start,
        of,
        executed,
        missed,
    }
}

/// Unless it is reset after use, a statement ignores the parameters that it is given next.
async fn ask<T>(
    statement: &Statement,
    (workspace, monitor): (&str, &str),
    (from, to): (i64, i64),
    read: impl Fn(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut rows = statement.query((workspace, monitor, from, to)).await?;
    let mut values = Vec::new();
    while let Some(row) = rows.next().await? {
        values.push(read(&row)?);
    }
    drop(rows);
    statement.reset();
    Ok(values)
}
