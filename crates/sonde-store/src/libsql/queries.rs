//! What is asked of a connection, whether it leads to a file, a replica or the primary: each is one statement, so each
//! sees one state of the store.

use serde::Deserialize;
use sonde_core::{Monitor, MonitorId, PackedMonitor, Packer, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row, Rows};
use sonde_seal::SealingKeys;

use super::{resources, unavailable};
use crate::{Changes, MaintenanceChange, Meta, Monitors, Result, Revision, StoreError, Stored};

/// Over HTTP a row costs as much as some kilobytes: so many monitors come in one.
const IN_ONE_ROW: u32 = 200;

#[derive(Deserialize)]
struct Listed {
    place: u64,
    id: String,
    body: String,
    sealed: Option<String>,
    version: u64,
    managed_by: Option<String>,
    created_us: i64,
    updated_us: i64,
}

/// Those of workspace `?1` that `which` leaves, for [`gather`].
fn monitors_sql(which: &str, order: &str) -> String {
    let columns = [
        "place",
        "id",
        "body",
        "sealed",
        "version",
        "managed_by",
        "created_us",
        "updated_us",
    ];
    let fields = columns.map(|column| format!("'{column}', {column}"));
    format!(
        "SELECT json_group_array(json_object({})) FROM (
    SELECT *, row_number() OVER (ORDER BY {order}) AS place FROM (
        SELECT * FROM resources WHERE workspace = ?1 AND kind = 'monitor' {which}
    )
) GROUP BY place / {IN_ONE_ROW}",
        fields.join(", ")
    )
}

pub(super) async fn monitors(
    connection: &Connection,
    workspace: &WorkspaceId,
    keys: &SealingKeys,
) -> Result<Monitors> {
    let sql = monitors_sql("", "position");
    let rows = connection.query(&sql, [workspace.as_str()]).await?;
    let (found, _) = gather(rows, keys).await?;
    Ok(found)
}

/// One unreadable monitor takes a place of the page, and hides none of the others.
pub(super) async fn monitors_after(
    connection: &Connection,
    workspace: &WorkspaceId,
    after: &str,
    limit: u32,
    keys: &SealingKeys,
) -> Result<Monitors> {
    let sql = monitors_sql("AND id > ?2 ORDER BY id LIMIT ?3", "id");
    let parameters = (workspace.as_str(), after, limit);
    let rows = connection.query(&sql, parameters).await?;
    let (mut found, last) = gather(rows, keys).await?;
    let read = found.monitors.len() + found.unreadable.len();
    let full = read >= usize::try_from(limit).unwrap_or(usize::MAX);
    found.next = last.filter(|_| full);
    Ok(found)
}

pub(super) async fn monitors_named(
    connection: &Connection,
    workspace: &WorkspaceId,
    ids: &[MonitorId],
    keys: &SealingKeys,
) -> Result<Monitors> {
    let ids = serde_json::to_string(ids).map_err(unavailable)?;
    let sql = monitors_sql("AND id IN (SELECT value FROM json_each(?2))", "id");
    let rows = connection.query(&sql, (workspace.as_str(), ids)).await?;
    let (found, _) = gather(rows, keys).await?;
    Ok(found)
}

pub(super) async fn monitor(
    connection: &Connection,
    workspace: &WorkspaceId,
    id: &MonitorId,
    keys: &SealingKeys,
) -> Result<Option<Stored<Monitor>>> {
    let sql = monitors_sql("AND id = ?2", "id");
    let params = [workspace.as_str(), id.as_str()];
    let rows = connection.query(&sql, params).await?;
    let (mut found, _) = gather(rows, keys).await?;
    match found.unreadable.pop() {
        Some(error) => Err(error),
        None => Ok(found.monitors.pop()),
    }
}

/// What [`monitors_sql`] selects, and the id of the last one.
async fn gather(mut rows: Rows, keys: &SealingKeys) -> Result<(Monitors, Option<String>)> {
    let mut all = Vec::new();
    while let Some(row) = rows.next().await? {
        let listed: Vec<Listed> = serde_json::from_str(row.get_str(0)?).map_err(unavailable)?;
        all.extend(listed);
    }
    all.sort_by_key(|listed| listed.place);
    let mut found = Monitors::default();
    for listed in &all {
        match stored(listed, keys) {
            Ok(monitor) => found.monitors.push(monitor),
            Err(error) => found.unreadable.push(error),
        }
    }
    Ok((found, all.pop().map(|last| last.id)))
}

fn stored(listed: &Listed, keys: &SealingKeys) -> Result<Stored<Monitor>> {
    Ok(Stored {
        value: parse(&listed.id, &listed.body, listed.sealed.as_deref(), keys)?,
        meta: Meta {
            version: listed.version,
            managed_by: listed.managed_by.clone(),
            created_at: Timestamp::from_micros(listed.created_us),
            updated_at: Timestamp::from_micros(listed.updated_us),
        },
    })
}

pub(super) async fn regions(connection: &Connection) -> Result<Vec<Region>> {
    let sql = "SELECT DISTINCT region FROM regions WHERE region <> 'push' ORDER BY region";
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
SELECT 'revision' AS what, NULL, NULL, NULL, NULL, revision FROM revisions
    WHERE revision = (SELECT max(revision) FROM revisions)
        AND EXISTS (SELECT 1 FROM revisions WHERE revision = ?1)
UNION ALL SELECT iif(kind = 'monitor', 'changed', kind), workspace, id, body, sealed, NULL FROM resources
    WHERE revision > ?1 AND kind IN ('monitor', 'maintenance')
UNION ALL SELECT iif(kind = 'monitor', 'removed', kind), workspace, id, NULL, NULL, NULL FROM removed_resources
    WHERE revision > ?1 AND kind IN ('monitor', 'maintenance')
";

const EVERYTHING: &str = "
SELECT 'revision' AS what, NULL, NULL, NULL, NULL, max(revision) FROM revisions
UNION ALL SELECT iif(kind = 'monitor', 'changed', kind), workspace, id, body, sealed, NULL FROM resources
    WHERE kind IN ('monitor', 'maintenance')
";

pub(super) async fn changes(
    connection: &Connection,
    since: Option<Revision>,
    keys: &SealingKeys,
) -> Result<Changes> {
    if let Some(Revision(since)) = since
        && let Some(changes) = collect(connection, CHANGES_SINCE, vec![since], keys).await?
    {
        return Ok(changes);
    }
    let everything = collect(connection, EVERYTHING, vec![], keys).await?;
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
    keys: &SealingKeys,
) -> Result<Option<Changes>> {
    let mut rows = connection.query(sql, parameters).await?;
    let mut revision = None;
    let mut changes = Changes::default();
    let mut packer = Packer::default();
    while let Some(row) = rows.next().await? {
        match row.get_str(0)? {
            "revision" => revision = Some(Revision(row.get(5)?)),
            "changed" => match changed(&row, &mut packer, keys) {
                Ok(monitor) => changes.changed.push(monitor),
                Err(error) => changes.unreadable.push(error),
            },
            "maintenance" => match maintenance(&row) {
                Ok(change) => changes.maintenance.push(change),
                Err(error) => changes.unreadable.push(error),
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

fn changed(row: &Row, packer: &mut Packer, keys: &SealingKeys) -> Result<PackedMonitor> {
    let (workspace, id) = (row.get_str(1)?, row.get_str(2)?);
    let sealed: Option<String> = row.get(4)?;
    let spec = sealed.map(|sealed| resources::open(workspace, id, &sealed, keys));
    let spec = spec.transpose().map_err(|source| corrupt(id, source))?;
    packer
        .pack(row.get_str(3)?, spec)
        .map_err(|source| corrupt(id, source))
}

fn maintenance(row: &Row) -> Result<MaintenanceChange> {
    let (workspace, id) = (row.get_str(1)?, row.get_str(2)?);
    let workspace = WorkspaceId::new(workspace).map_err(|source| StoreError::Corrupt {
        what: "maintenance",
        id: id.to_owned(),
        source: source.into(),
    })?;
    Ok(MaintenanceChange {
        workspace,
        id: id.to_owned(),
        body: row.get(3)?,
    })
}

fn parse(id: &str, body: &str, sealed: Option<&str>, keys: &SealingKeys) -> Result<Monitor> {
    let mut monitor: Monitor = serde_json::from_str(body).map_err(|source| corrupt(id, source))?;
    if let Some(sealed) = sealed {
        let workspace = monitor.workspace.as_str();
        let opened = resources::open(workspace, id, sealed, keys);
        monitor.spec = opened.map_err(|source| corrupt(id, source))?;
    }
    Ok(monitor)
}

fn name(workspace: &str, id: &str) -> Result<(WorkspaceId, MonitorId)> {
    let workspace = WorkspaceId::new(workspace).map_err(|source| corrupt(id, source))?;
    let id = MonitorId::new(id).map_err(|source| corrupt(id, source))?;
    Ok((workspace, id))
}

fn corrupt(id: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Corrupt {
        what: "monitor",
        id: id.to_owned(),
        source: source.into(),
    }
}
