//! A range piece by piece: grouping all of its rows at once would sort them all, which takes several times as long.

use std::time::Duration;

use sonde_libsql::libsql::{Connection, Row, Value};

use super::read::ask;
use super::{signed, text};
use crate::{ChartQuery, Result};

/// The first row that is not before `?3`.
const NEXT: &str = "SELECT slot FROM check_results
WHERE workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4 ORDER BY slot LIMIT 1";

/// The scheduled rows of a piece.
pub(super) const ROWS: &str =
    "workspace = ?1 AND monitor = ?2 AND slot >= ?3 AND slot < ?4 AND trigger = 'schedule'
AND (?5 IS NULL OR region = ?5)";

/// Asks `sql`, which selects from [`ROWS`], of each bucket that has rows, in pieces that are at most as long as `longest`; to
/// `read`, each answer comes with its bucket's start.
pub(super) async fn each<T>(
    connection: &Connection,
    query: &ChartQuery,
    longest: Duration,
    sql: &str,
    mut read: impl FnMut(i64, &Row) -> Result<T>,
) -> Result<Vec<T>> {
    let (next, question) = (
        connection.prepare(NEXT).await?,
        connection.prepare(sql).await?,
    );
    let length = |of: Duration| signed(u64::try_from(of.as_micros()).unwrap_or(u64::MAX)).max(1);
    let (step, longest) = (length(query.step), length(longest));
    let (workspace, monitor) = (query.workspace.as_str(), query.monitor.as_str());
    let region: Value = query.region.as_ref().map(text).into();
    let (mut from, to) = (query.range.from.as_micros(), query.range.to.as_micros());
    let mut values = Vec::new();
    while let Some(first) = ask(&next, (workspace, monitor, from, to), slot)
        .await?
        .pop()
    {
        let start = first - first.rem_euclid(step);
        let end = start
            .saturating_add(step)
            .min(first.saturating_add(longest));
        let end = end.min(to);
        let params = (workspace, monitor, first, end, region.clone());
        let read = |row: &Row| read(start, row);
        values.extend(ask(&question, params, read).await?);
        from = end;
    }
    Ok(values)
}

fn slot(row: &Row) -> Result<i64> {
    Ok(row.get(0)?)
}
