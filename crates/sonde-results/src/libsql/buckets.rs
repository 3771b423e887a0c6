//! A range piece by piece: grouping all of its rows at once would sort them all, which takes several times as long.

use std::time::Duration;

use sonde_libsql::libsql::{Connection, Row, Value};

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
    loop {
        // Unless it is reset after use, a statement ignores the parameters that it is given next.
        let mut rows = next.query((workspace, monitor, from, to)).await?;
        let first = rows
            .next()
            .await?
            .map(|row| row.get::<i64>(0))
            .transpose()?;
        drop(rows);
        next.reset();
        let Some(first) = first else {
            return Ok(values);
        };
        let start = first - first.rem_euclid(step);
        let end = start
            .saturating_add(step)
            .min(first.saturating_add(longest));
        let end = end.min(to);
        let params = (workspace, monitor, first, end, region.clone());
        let mut rows = question.query(params).await?;
        while let Some(row) = rows.next().await? {
            values.push(read(start, &row)?);
        }
        drop(rows);
        question.reset();
        from = end;
    }
}
