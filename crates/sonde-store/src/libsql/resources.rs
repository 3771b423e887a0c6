//! Resources of any kind, their changes and their audit log. See `schema` for what the database does itself.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;
use sonde_core::{Monitor, Spec, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row, Value};
use sonde_seal::SealingKeys;

use super::unavailable;
use crate::{
    AuditEntry, AuditQuery, Change, Meta, Only, Put, PutValue, Resource, ResourceKind, Result,
    StoreError, Stored,
};

/// How much of what is put one row carries: a server takes 10 MB, and less than half of them is easy to hold.
const PART: usize = 4_000_000;

/// In this order, `meta` reads them from where they begin.
const META: &str = "version, managed_by, created_us, updated_us";

pub(super) async fn list(
    connection: &Connection,
    workspace: &WorkspaceId,
    kind: ResourceKind,
    after: &str,
    limit: u32,
) -> Result<Vec<Stored<Resource>>> {
    let sql = format!(
        "SELECT id, body, {META} FROM resources
            WHERE workspace = ?1 AND kind = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
    );
    let parameters = (workspace.as_str(), kind.as_str(), after, limit);
    let mut rows = connection.query(&sql, parameters).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await? {
        found.push(resource(&row)?);
    }
    Ok(found)
}

pub(super) async fn one(
    connection: &Connection,
    workspace: &WorkspaceId,
    kind: ResourceKind,
    id: &str,
) -> Result<Option<Stored<Resource>>> {
    let sql = format!(
        "SELECT id, body, {META} FROM resources WHERE workspace = ?1 AND kind = ?2 AND id = ?3"
    );
    let parameters = (workspace.as_str(), kind.as_str(), id);
    let mut rows = connection.query(&sql, parameters).await?;
    rows.next().await?.map(|row| resource(&row)).transpose()
}

fn resource(row: &Row) -> Result<Stored<Resource>> {
    let value = Resource {
        id: row.get(0)?,
        body: row.get(1)?,
    };
    let meta = meta(row, 2)?;
    Ok(Stored { value, meta })
}

/// From the columns of [`META`], which begin at `first`.
pub(super) fn meta(row: &Row, first: i32) -> Result<Meta> {
    Ok(Meta {
        version: row.get(first)?,
        managed_by: row.get(first + 1)?,
        created_at: Timestamp::from_micros(row.get(first + 2)?),
        updated_at: Timestamp::from_micros(row.get(first + 3)?),
    })
}

/// A monitor without its secrets, and these sealed. Where there is no key they stand beside it in the clear, so that they
/// are in no audit log all the same.
pub(super) fn seal(monitor: &Monitor, keys: &SealingKeys) -> Result<(String, Option<String>)> {
    let masked = monitor.spec.masked();
    if masked == monitor.spec {
        return Ok((serde_json::to_string(monitor).map_err(unavailable)?, None));
    }
    let spec = serde_json::to_string(&monitor.spec).map_err(unavailable)?;
    let context = context(monitor.workspace.as_str(), monitor.id.as_str());
    let sealed = keys.seal(spec.as_bytes(), &context).unwrap_or(spec);
    let masked = Monitor {
        spec: masked,
        ..monitor.clone()
    };
    let body = serde_json::to_string(&masked).map_err(unavailable)?;
    Ok((body, Some(sealed)))
}

/// What was sealed of a monitor's spec: all of it.
pub(super) fn open(
    workspace: &str,
    id: &str,
    sealed: &str,
    keys: &SealingKeys,
) -> Result<Spec, Box<dyn std::error::Error + Send + Sync>> {
    // What is sealed is no JSON.
    if sealed.starts_with('{') {
        return Ok(serde_json::from_str(sealed)?);
    }
    let opened = keys.open(sealed, &context(workspace, id));
    let opened = opened.ok_or("its secrets cannot be opened with this process's secret key")?;
    Ok(serde_json::from_slice(&opened)?)
}

/// Sealed secrets open in no other monitor.
fn context(workspace: &str, id: &str) -> Vec<u8> {
    format!("{workspace}/{id}").into_bytes()
}

/// The same of resources of other kinds.
fn context_of(workspace: &WorkspaceId, kind: ResourceKind, id: &str) -> Vec<u8> {
    format!("{workspace}/{kind}/{id}").into_bytes()
}

/// The body of a resource with its secrets, where it has some.
pub(super) async fn with_secrets(
    connection: &Connection,
    workspace: &WorkspaceId,
    kind: ResourceKind,
    id: &str,
    keys: &SealingKeys,
) -> Result<Option<String>> {
    let sql = "SELECT body, sealed FROM resources WHERE workspace = ?1 AND kind = ?2 AND id = ?3";
    let parameters = (workspace.as_str(), kind.as_str(), id);
    let mut rows = connection.query(sql, parameters).await?;
    let Some(row) = rows.next().await? else {
        return Ok(None);
    };
    let sealed: Option<String> = row.get(1)?;
    match sealed {
        None => Ok(Some(row.get(0)?)),
        // What is sealed is no JSON.
        Some(open) if open.starts_with('{') => Ok(Some(open)),
        Some(sealed) => {
            let opened = keys.open(&sealed, &context_of(workspace, kind, id));
            let opened = opened.and_then(|opened| String::from_utf8(opened).ok());
            let source = "its secrets cannot be opened with this process's secret key";
            let corrupt = || StoreError::Corrupt {
                what: "resource",
                id: id.to_owned(),
                source: source.into(),
            };
            opened.ok_or_else(corrupt).map(Some)
        }
    }
}

/// As the trigger `change` reads it.
#[derive(Serialize)]
struct PutRow<'a> {
    kind: ResourceKind,
    id: &'a str,
    position: Option<usize>,
    body: Box<RawValue>,
    sealed: Option<String>,
    managed_by: Option<&'a str>,
    expected: Option<u64>,
    credential: Option<CredentialRow<'a>>,
}

#[derive(Serialize)]
struct CredentialRow<'a> {
    hash: &'a str,
    expires_us: Option<i64>,
}

#[derive(Serialize)]
struct RemoveRow<'a> {
    kind: ResourceKind,
    id: &'a str,
    expected: Option<u64>,
}

/// However many rows it takes, it is one statement.
pub(super) async fn change(
    connection: &Connection,
    change: &Change,
    keys: &SealingKeys,
) -> Result<()> {
    let actor = change.actor.as_ref().map(serde_json::to_string);
    let actor = actor.transpose().map_err(unavailable)?;
    let (only_ids, only_managed_by) = only(change)?;
    let removes: Vec<_> = change
        .removes
        .iter()
        .map(|remove| RemoveRow {
            kind: remove.kind,
            id: &remove.id,
            expected: remove.expected.as_number(),
        })
        .collect();
    let removes = serde_json::to_string(&removes).map_err(unavailable)?;
    let mut sql =
        "INSERT INTO changes (workspace, actor, only_ids, only_managed_by, removes, puts, is_last)
        VALUES (?1, ?2, ?3, ?4, ?5, '[]', 0)"
            .to_owned();
    let mut values: Vec<Value> = vec![
        change.workspace.as_str().into(),
        actor.into(),
        only_ids.into(),
        only_managed_by.into(),
        removes.into(),
    ];
    for part in parts(change, keys)? {
        let number = values.len() + 1;
        write!(sql, ", (?1, ?2, NULL, NULL, '[]', ?{number}, 0)").map_err(unavailable)?;
        values.push(part.into());
    }
    sql.push_str(", (?1, ?2, NULL, NULL, '[]', '[]', 1)");
    connection.execute(&sql, values).await.map_err(refused)?;
    Ok(())
}

fn only(change: &Change) -> Result<(Option<String>, Option<String>)> {
    let Some(only) = &change.only else {
        return Ok((None, None));
    };
    let monitors = change.puts.iter();
    let ids: Vec<&str> = monitors
        .filter(|put| put.kind() == ResourceKind::Monitor)
        .map(Put::id)
        .collect();
    let ids = serde_json::to_string(&ids).map_err(unavailable)?;
    let managed_by = match only {
        Only::These => None,
        Only::TheseOf(file) => Some(file.clone()),
    };
    Ok((Some(ids), managed_by))
}

/// JSON arrays of a size that a server takes.
fn parts(change: &Change, keys: &SealingKeys) -> Result<Vec<String>> {
    let mut parts: Vec<String> = Vec::new();
    for (position, put) in change.puts.iter().enumerate() {
        let position = change.only.is_some().then_some(position);
        let row = serde_json::to_string(&put_row(put, &change.workspace, position, keys)?)
            .map_err(unavailable)?;
        match parts.last_mut() {
            Some(part) if part.len() + row.len() < PART => {
                part.push(',');
                part.push_str(&row);
            }
            _ => parts.push(format!("[{row}")),
        }
    }
    for part in &mut parts {
        part.push(']');
    }
    Ok(parts)
}

fn put_row<'a>(
    put: &'a Put,
    workspace: &WorkspaceId,
    position: Option<usize>,
    keys: &SealingKeys,
) -> Result<PutRow<'a>> {
    let (body, sealed) = match &put.value {
        PutValue::Monitor(monitor) => seal(monitor, keys)?,
        PutValue::Other(kind, resource) => {
            let sealed = put.secrets.as_ref().map(|secrets| {
                let context = context_of(workspace, *kind, &resource.id);
                let sealed = keys.seal(secrets.as_bytes(), &context);
                sealed.unwrap_or_else(|| secrets.clone())
            });
            (resource.body.clone(), sealed)
        }
    };
    Ok(PutRow {
        kind: put.kind(),
        id: put.id(),
        position,
        body: RawValue::from_string(body).map_err(unavailable)?,
        sealed,
        managed_by: put.managed_by.as_deref(),
        expected: put.expected.as_number(),
        credential: put.credential.as_ref().map(|credential| CredentialRow {
            hash: &credential.hash,
            expires_us: credential.expires_at.map(Timestamp::as_micros),
        }),
    })
}

/// What the database says is all there is to go by.
pub(super) fn refused(error: sonde_libsql::libsql::Error) -> StoreError {
    let text = error.to_string();
    if text.contains("version conflict") || text.contains("UNIQUE constraint failed") {
        return StoreError::Conflict;
    }
    unavailable(error)
}

pub(super) async fn audit(
    connection: &Connection,
    workspace: &WorkspaceId,
    query: &AuditQuery,
) -> Result<Vec<AuditEntry>> {
    let sql = "SELECT number, at_us, actor, action, kind, id, before, after FROM audit
        WHERE workspace = ?1 AND number < ?2 AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR id = ?4)
        ORDER BY number DESC LIMIT ?5";
    let parameters = (
        workspace.as_str(),
        query.before.unwrap_or(i64::MAX),
        query.kind.map(ResourceKind::as_str),
        query.id.as_deref(),
        query.limit,
    );
    let mut rows = connection.query(sql, parameters).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await? {
        found.push(entry(&row)?);
    }
    Ok(found)
}

fn entry(row: &Row) -> Result<AuditEntry> {
    let number: i64 = row.get(0)?;
    let corrupt = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Corrupt {
        what: "audit entry",
        id: number.to_string(),
        source,
    };
    let kind = row.get_str(4)?;
    let action = serde_json::Value::from(row.get_str(3)?);
    Ok(AuditEntry {
        number,
        at: Timestamp::from_micros(row.get(1)?),
        actor: serde_json::from_str(row.get_str(2)?).map_err(|error| corrupt(error.into()))?,
        action: serde_json::from_value(action).map_err(|error| corrupt(error.into()))?,
        kind: ResourceKind::from_name(kind).ok_or_else(|| corrupt(kind.into()))?,
        id: row.get(5)?,
        before: row.get(6)?,
        after: row.get(7)?,
    })
}
