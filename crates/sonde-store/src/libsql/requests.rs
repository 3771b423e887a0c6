//! Requests that may come again, and what was answered to them.

use sonde_core::{Timestamp, WorkspaceId};
use sonde_libsql::libsql::Connection;
use sonde_seal::SealingKeys;

use super::unavailable;
use crate::{Claim, RequestKey, Result};

/// Owned, so that it can be sent where the connection is.
#[derive(Debug, Clone)]
pub(super) struct Request {
    workspace: String,
    actor: String,
    key: String,
}

impl Request {
    pub(super) fn new(workspace: &WorkspaceId, request: RequestKey<'_>) -> Self {
        Self {
            workspace: workspace.to_string(),
            actor: request.actor.to_owned(),
            key: request.key.to_owned(),
        }
    }

    fn place(&self) -> [&str; 3] {
        [&self.workspace, &self.actor, &self.key]
    }

    /// A sealed answer opens for no other request.
    fn context(&self) -> Vec<u8> {
        self.place().join("\n").into_bytes()
    }
}

pub(super) async fn claim(
    connection: &Connection,
    request: &Request,
    fingerprint: &str,
    at: Timestamp,
    abandoned_before: Timestamp,
    keys: &SealingKeys,
) -> Result<Claim> {
    let sql = "INSERT INTO requests (workspace, actor, key, fingerprint, claimed_us)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (workspace, actor, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, claimed_us = excluded.claimed_us
        WHERE status IS NULL AND claimed_us < ?6";
    let [workspace, actor, key] = request.place();
    let at = at.as_micros();
    let before = abandoned_before.as_micros();
    let parameters = (workspace, actor, key, fingerprint, at, before);
    if connection.execute(sql, parameters).await? > 0 {
        return Ok(Claim::Ours);
    }
    let sql = "SELECT fingerprint, status, body FROM requests
        WHERE workspace = ?1 AND actor = ?2 AND key = ?3";
    let mut rows = connection.query(sql, request.place()).await?;
    let Some(row) = rows.next().await? else {
        // Taken back this moment.
        return Ok(Claim::InProgress);
    };
    if row.get_str(0)? != fingerprint {
        return Ok(Claim::Other);
    }
    let status: Option<u32> = row.get(1)?;
    let Some(status) = status else {
        return Ok(Claim::InProgress);
    };
    let body: Option<String> = row.get(2)?;
    let body = open(request, body.unwrap_or_default(), keys)?;
    let status = u16::try_from(status).map_err(unavailable)?;
    Ok(Claim::Done { status, body })
}

/// An answer is JSON, or nothing; what is sealed is neither.
fn open(request: &Request, body: String, keys: &SealingKeys) -> Result<String> {
    if body.is_empty() || body.starts_with('{') {
        return Ok(body);
    }
    let opened = keys.open(&body, &request.context());
    let opened = opened
        .ok_or_else(|| unavailable("an answer cannot be opened with this process's secret key"))?;
    String::from_utf8(opened).map_err(unavailable)
}

pub(super) async fn finish(
    connection: &Connection,
    request: &Request,
    status: u16,
    body: &str,
    keys: &SealingKeys,
) -> Result<()> {
    let sealed = keys.seal(body.as_bytes(), &request.context());
    let body = sealed.as_deref().unwrap_or(body);
    let sql = "UPDATE requests SET status = ?4, body = ?5
        WHERE workspace = ?1 AND actor = ?2 AND key = ?3 AND status IS NULL";
    let [workspace, actor, key] = request.place();
    let parameters = (workspace, actor, key, u32::from(status), body);
    connection.execute(sql, parameters).await?;
    Ok(())
}

pub(super) async fn release(connection: &Connection, request: &Request) -> Result<()> {
    let sql = "DELETE FROM requests
        WHERE workspace = ?1 AND actor = ?2 AND key = ?3 AND status IS NULL";
    connection.execute(sql, request.place()).await?;
    Ok(())
}
