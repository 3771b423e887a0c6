//! Users and credentials, each question one statement.

use sonde_core::{Timestamp, WorkspaceId};
use sonde_libsql::libsql::params::IntoParams;
use sonde_libsql::libsql::{Connection, Row};

use super::resources::refused;
use super::unavailable;
use crate::{Credential, Holder, NewCredential, Opens, Result, User};

const USER: &str = "SELECT users.id, email, name, password, created_us FROM users";

pub(super) async fn user(connection: &Connection, id: &str) -> Result<Option<User>> {
    find(connection, &format!("{USER} WHERE id = ?1"), [id]).await
}

pub(super) async fn user_by_email(connection: &Connection, email: &str) -> Result<Option<User>> {
    find(connection, &format!("{USER} WHERE email = ?1"), [email]).await
}

pub(super) async fn user_by_identity(
    connection: &Connection,
    issuer: &str,
    subject: &str,
) -> Result<Option<User>> {
    let sql = format!(
        "{USER} JOIN identities ON identities.user = users.id WHERE issuer = ?1 AND subject = ?2"
    );
    find(connection, &sql, [issuer, subject]).await
}

async fn find(
    connection: &Connection,
    sql: &str,
    parameters: impl IntoParams,
) -> Result<Option<User>> {
    let mut rows = connection.query(sql, parameters).await?;
    let Some(row) = rows.next().await? else {
        return Ok(None);
    };
    Ok(Some(User {
        id: row.get(0)?,
        email: row.get(1)?,
        name: row.get(2)?,
        password: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
    }))
}

pub(super) async fn has_users(connection: &Connection) -> Result<bool> {
    let mut rows = connection.query("SELECT 1 FROM users LIMIT 1", ()).await?;
    Ok(rows.next().await?.is_some())
}

pub(super) async fn put_user(connection: &Connection, user: &User) -> Result<()> {
    let sql =
        "INSERT INTO users (id, email, name, password, created_us) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET
            email = excluded.email, name = excluded.name, password = excluded.password";
    let User {
        id,
        email,
        name,
        password,
        created_at,
    } = user;
    let parameters = (
        id.as_str(),
        email.as_str(),
        name.as_str(),
        password.as_deref(),
        created_at.as_micros(),
    );
    connection.execute(sql, parameters).await.map_err(refused)?;
    Ok(())
}

pub(super) async fn put_identity(
    connection: &Connection,
    issuer: &str,
    subject: &str,
    user: &str,
) -> Result<()> {
    let sql = "INSERT INTO identities (issuer, subject, user) VALUES (?1, ?2, ?3)";
    let parameters = [issuer, subject, user];
    connection.execute(sql, parameters).await.map_err(refused)?;
    Ok(())
}

pub(super) async fn memberships(
    connection: &Connection,
    user: &str,
) -> Result<Vec<(WorkspaceId, String)>> {
    let sql = "SELECT workspace, body FROM resources WHERE kind = 'member' AND id = ?1 ORDER BY workspace";
    let mut rows = connection.query(sql, [user]).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await? {
        found.push((workspace(row.get_str(0)?)?, row.get(1)?));
    }
    Ok(found)
}

fn workspace(text: &str) -> Result<WorkspaceId> {
    WorkspaceId::new(text).map_err(unavailable)
}

pub(super) async fn credential(connection: &Connection, hash: &str) -> Result<Option<Credential>> {
    let sql = "SELECT credentials.kind, credentials.workspace, holder, resources.body,
            credentials.created_us, expires_us, last_used_us
        FROM credentials LEFT JOIN resources ON resources.workspace = credentials.workspace
            AND resources.kind = credentials.kind AND resources.id = holder
        WHERE hash = ?1";
    let mut rows = connection.query(sql, [hash]).await?;
    let Some(row) = rows.next().await? else {
        return Ok(None);
    };
    let Some(opens) = opens(&row)? else {
        return Ok(None);
    };
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(Some(Credential {
        opens,
        created_at: Timestamp::from_micros(row.get(4)?),
        expires_at: time(row.get(5)?),
        last_used_at: time(row.get(6)?),
    }))
}

/// None for a key, an invitation or an address that is no more.
fn opens(row: &Row) -> Result<Option<Opens>> {
    let kind: String = row.get(0)?;
    let holder: Option<String> = row.get(2)?;
    match (kind.as_str(), holder) {
        ("set_up", _) => return Ok(Some(Opens::SetUp)),
        ("session", Some(user)) => return Ok(Some(Opens::Session { user })),
        _ => {}
    }
    let (holder, body): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
    let of: Option<String> = row.get(1)?;
    let (Some(id), Some(body), Some(of)) = (holder, body, of) else {
        return Ok(None);
    };
    let workspace = workspace(&of)?;
    Ok(match kind.as_str() {
        "api_key" => Some(Opens::ApiKey {
            workspace,
            id,
            body,
        }),
        "invitation" => Some(Opens::Invitation {
            workspace,
            id,
            body,
        }),
        "heartbeat" => Some(Opens::Heartbeat {
            workspace,
            monitor: id.parse().map_err(unavailable)?,
        }),
        _ => None,
    })
}

pub(super) async fn put_credential(
    connection: &Connection,
    new: &NewCredential,
    holder: &Holder,
    at: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO credentials (hash, kind, holder, created_us, expires_us) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (kind, holder) = match holder {
        Holder::User(user) => ("session", Some(user.as_str())),
        Holder::SetUp => ("set_up", None),
    };
    let expires = new.expires_at.map(Timestamp::as_micros);
    let parameters = (new.hash.as_str(), kind, holder, at.as_micros(), expires);
    connection.execute(sql, parameters).await.map_err(refused)?;
    Ok(())
}

pub(super) async fn touch_credential(
    connection: &Connection,
    hash: &str,
    at: Timestamp,
) -> Result<()> {
    let sql =
        "UPDATE credentials SET last_used_us = max(coalesce(last_used_us, 0), ?2) WHERE hash = ?1";
    connection.execute(sql, (hash, at.as_micros())).await?;
    Ok(())
}

pub(super) async fn remove_credential(connection: &Connection, hash: &str) -> Result<bool> {
    let sql = "DELETE FROM credentials WHERE hash = ?1";
    Ok(connection.execute(sql, [hash]).await? > 0)
}

pub(super) async fn end_sessions(
    connection: &Connection,
    user: &str,
    but: Option<&str>,
) -> Result<()> {
    let sql = "DELETE FROM credentials WHERE kind = 'session' AND workspace IS NULL AND holder = ?1 AND hash IS NOT ?2";
    connection.execute(sql, (user, but)).await?;
    Ok(())
}

pub(super) async fn keys_used(
    connection: &Connection,
    workspace: &WorkspaceId,
) -> Result<Vec<(String, Timestamp)>> {
    let sql = "SELECT holder, last_used_us FROM credentials
        WHERE kind = 'api_key' AND workspace = ?1 AND last_used_us IS NOT NULL";
    let mut rows = connection.query(sql, [workspace.as_str()]).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await? {
        found.push((row.get(0)?, Timestamp::from_micros(row.get(1)?)));
    }
    Ok(found)
}
