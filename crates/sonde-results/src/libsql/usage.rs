//! How much was checked, of all monitors together.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{MonitorId, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::Connection;

use super::buckets::{self, ROWS};
use super::corrupt;
use super::read::collect;
use crate::{ChartQuery, Result, TimeRange, Usage, UsageBucket};

/// Monitor by monitor, so that other times of other monitors are never read.
pub(super) async fn usage(
    connection: &Connection,
    workspace: &WorkspaceId,
    range: TimeRange,
    step: Duration,
) -> Result<Usage> {
    const MONITORS: &str = "SELECT DISTINCT monitor FROM latest_results WHERE workspace = ?1";
    let counts = format!(
        "SELECT region, count(*) FILTER (WHERE outcome <> 'missed'), count(*) FILTER (WHERE outcome = 'missed')
FROM check_results WHERE {ROWS} GROUP BY region"
    );
    let monitors = collect(connection, MONITORS, [workspace.as_str()], |row| {
        MonitorId::new(row.get_str(0)?).map_err(corrupt)
    });
    let mut monitor_counts: BTreeMap<(Timestamp, MonitorId), Counts> = BTreeMap::new();
    let mut region_counts: BTreeMap<(Timestamp, Region), Counts> = BTreeMap::new();
    for monitor in monitors.await? {
        let query = ChartQuery {
            workspace: workspace.clone(),
            monitor: monitor.clone(),
            region: None,
            by_region: true,
            range,
            step,
        };
        buckets::each(connection, &query, step, &counts, |start, row| {
            let start = Timestamp::from_micros(start);
            let region = Region::new(row.get_str(0)?).map_err(corrupt)?;
            let counts = (row.get(1)?, row.get(2)?);
            add(&mut monitor_counts, (start, monitor.clone()), counts);
            add(&mut region_counts, (start, region), counts);
            Ok(())
        })
        .await?;
    }
    Ok(Usage {
        by_monitor: monitor_counts.into_iter().map(bucket).collect(),
        by_region: region_counts.into_iter().map(bucket).collect(),
    })
}

/// Executed and missed.
type Counts = (u64, u64);

fn add<K: Ord>(all: &mut BTreeMap<K, Counts>, of: K, counts: Counts) {
    let sum = all.entry(of).or_default();
    *sum = (sum.0 + counts.0, sum.1 + counts.1);
}

fn bucket<T>(((start, of), (executed, missed)): ((Timestamp, T), Counts)) -> UsageBucket<T> {
    UsageBucket {
        start,
        of,
        executed,
        missed,
    }
}
