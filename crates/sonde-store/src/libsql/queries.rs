//! What is asked of a connection, whether it leads to a file, a replica or the primary: each is one statement, so each
//! sees one state of the store.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sonde_core::{Monitor, MonitorId, Packer, Region, WorkspaceId};
use sonde_libsql::libsql::{Connection, Value};

use super::unavailable;
use crate::{Changes, Monitors, Result, Revision, StoreError};

pub(super) async fn monitors(connection: &Connection, workspace: &WorkspaceId) -> Result<Monitors> {
    let sql = "SELECT id, body FROM monitors WHERE workspace = ?1 ORDER BY position";
    let mut rows = connection.query(sql, [workspace.as_str()]).await?;
    let mut found = Monitors::default();
    while let Some(row) = rows.next().await? {
        match parse(row.get_str(0)?, row.get_str(1)?) {
            Ok(monitor) => found.monitors.push(monitor),
            Err(error) => found.unreadable.push(error),
        }
    }
    Ok(found)
}

pub(super) async fn monitor(
    connection: &Connection,
    workspace: &WorkspaceId,
    id: &MonitorId,
) -> Result<Option<Monitor>> {
    let sql = "SELECT body FROM monitors WHERE workspace = ?1 AND id = ?2";
    let params = [workspace.as_str(), id.as_str()];
    let mut rows = connection.query(sql, params).await?;
    match rows.next().await? {
        Some(row) => parse(id.as_str(), row.get_str(0)?).map(Some),
        None => Ok(None),
    }
}

pub(super) async fn regions(connection: &Connection) -> Result<Vec<Region>> {
    let sql = "SELECT DISTINCT region FROM regions ORDER BY region";
    let mut rows = connection.query(sql, ()).await?;
    let mut regions = Vec::new();
    while let Some(row) = rows.next().await? {
        let region = row.get_str(0)?;
        regions.push(Region::new(region).map_err(|source| StoreError::Corrupt {
            what: "region",
            id: region.to_owned(),
            source: source.into(),
        })?);
    }
    Ok(regions)
}

/// No row of kind `revision` comes when `?1` is not known, and then the others mean nothing.
const CHANGES_SINCE: &str = "
SELECT 'revision' AS kind, NULL, NULL, NULL, revision FROM revisions
    WHERE revision = (SELECT max(revision) FROM revisions)
        AND EXISTS (SELECT 1 FROM revisions WHERE revision = ?1)
UNION ALL SELECT 'changed', workspace, id, body, NULL FROM monitors WHERE revision > ?1
UNION ALL SELECT 'removed', workspace, id, NULL, NULL FROM removed_monitors WHERE revision > ?1
";

const EVERYTHING: &str = "
SELECT 'revision' AS kind, NULL, NULL, NULL, max(revision) FROM revisions
UNION ALL SELECT 'changed', workspace, id, body, NULL FROM monitors
";

pub(super) async fn changes(connection: &Connection, since: Option<Revision>) -> Result<Changes> {
    if let Some(Revision(since)) = since
        && let Some(changes) = collect(connection, CHANGES_SINCE, vec![since]).await?
    {
        return Ok(changes);
    }
    let everything = collect(connection, EVERYTHING, vec![]).await?;
    let changes = everything.ok_or_else(|| unavailable("the store has no revision"))?;
    Ok(Changes {
        complete: true,
        ..changes
    })
}

/// The newest revision.
pub(super) async fn revision(connection: &Connection) -> Result<Revision> {
    let sql = "SELECT max(revision) FROM revisions";
    let mut rows = connection.query(sql, ()).await?;
    let newest = rows.next().await?;
    let newest = newest.ok_or_else(|| unavailable("the store has no revision"))?;
    Ok(Revision(newest.get(0)?))
}

async fn collect(
    connection: &Connection,
    sql: &str,
    parameters: Vec<i64>,
) -> Result<Option<Changes>> {
    let mut rows = connection.query(sql, parameters).await?;
    let mut revision = None;
    let mut changes = Changes::default();
    let mut packer = Packer::default();
    while let Some(row) = rows.next().await? {
        match row.get_str(0)? {
            "revision" => revision = Some(Revision(row.get(4)?)),
            "changed" => match packer.pack(row.get_str(3)?, None) {
                Ok(monitor) => changes.changed.push(monitor),
                Err(error) => changes.unreadable.push(corrupt(row.get_str(2)?, error)),
            },
            _ => match name(row.get_str(1)?, row.get_str(2)?) {
                Ok(name) => changes.removed.push(name),
                Err(error) => changes.unreadable.push(error),
            },
        }
    }
    Ok(revision.map(|revision| Changes {
        revision,
        regions: packer.into_regions(),
        ..changes
    }))
}

/// How much of the monitors one row carries: a server takes 10 MB, and less than half of them is easy to hold.
const PART: usize = 4_000_000;

/// The database does the rest; see the trigger `replace_monitors`. However many rows it takes, it is one statement.
pub(super) async fn replace_monitors(
    connection: &Connection,
    workspace: &WorkspaceId,
    monitors: &[Monitor],
) -> Result<()> {
    let ids: Vec<&MonitorId> = monitors.iter().map(|monitor| &monitor.id).collect();
    let regions: BTreeSet<&Region> = monitors.iter().flat_map(|it| &it.regions).collect();
    let ids = serde_json::to_string(&ids).map_err(unavailable)?;
    let regions = serde_json::to_string(&regions).map_err(unavailable)?;
    let mut sql = "INSERT INTO monitor_replacements (workspace, ids, regions, position, monitors)
        VALUES (?1, ?2, ?3, 0, '[]')"
        .to_owned();
    let mut values: Vec<Value> = vec![workspace.as_str().into(), ids.into(), regions.into()];
    for (position, part) in parts(monitors)? {
        let number = values.len() + 1;
        write!(sql, ", (?1, NULL, NULL, {position}, ?{number})").map_err(unavailable)?;
        values.push(part.into());
    }
    connection.execute(&sql, values).await?;
    Ok(())
}

/// JSON arrays of a size that a server takes, and where in the whole each begins.
fn parts(monitors: &[Monitor]) -> Result<Vec<(usize, String)>> {
    let mut parts: Vec<(usize, String)> = Vec::new();
    for (position, monitor) in monitors.iter().enumerate() {
        let body = serde_json::to_string(monitor).map_err(unavailable)?;
        match parts.last_mut() {
            Some((_, part)) if part.len() + body.len() < PART => {
                part.push(',');
                part.push_str(&body);
            }
            _ => parts.push((position, format!("[{body}"))),
        }
    }
    for (_, part) in &mut parts {
        part.push(']');
    }
    Ok(parts)
}

fn parse(id: &str, body: &str) -> Result<Monitor> {
    serde_json::from_str(body).map_err(|source| corrupt(id, source))
}

fn name(workspace: &str, id: &str) -> Result<(WorkspaceId, MonitorId)> {
    let workspace = WorkspaceId::new(workspace).map_err(|source| corrupt(id, source))?;
    let id = MonitorId::new(id).map_err(|source| corrupt(id, source))?;
    Ok((workspace, id))
}

fn corrupt(id: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Corrupt {
        what: "monitor",
        id: id.to_owned(),
        source: source.into(),
    }
}
