//! Pictures of incidents in the schema's `screenshots`; a claim is one row, compared by the number of tries.

use sonde_core::{Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row};
use uuid::Uuid;

use super::alerts::{collect, parsed};
use crate::screenshots::MOST_SCREENSHOT_TRIES;
use crate::{Result, Screenshot, Shot, TakenScreenshot, WantedScreenshot};

pub(super) async fn wanted(
    connection: &Connection,
    since: Timestamp,
    at: Timestamp,
    limit: u32,
) -> Result<Vec<WantedScreenshot>> {
    let sql = "SELECT incidents.workspace, incidents.id, incidents.monitor, coalesce(screenshots.attempts, 0)
        FROM incidents LEFT JOIN screenshots ON screenshots.incident = incidents.id
        WHERE incidents.status <> 'resolved' AND incidents.opened_us >= ?1
            AND incidents.cause = 'down' AND incidents.caused_by IS NULL
            AND screenshots.taken_us IS NULL AND coalesce(screenshots.attempts, 0) < ?3
            AND coalesce(screenshots.claimed_until_us, 0) <= ?2
            AND EXISTS (
                SELECT 1 FROM resources WHERE resources.workspace = incidents.workspace AND resources.kind = 'monitor'
                    AND resources.id = incidents.monitor AND resources.body ->> '$.spec.http' IS NOT NULL
            )
        ORDER BY incidents.opened_us DESC, incidents.id DESC LIMIT ?4";
    let parameters = (
        since.as_micros(),
        at.as_micros(),
        MOST_SCREENSHOT_TRIES,
        limit,
    );
    collect(connection.query(sql, parameters).await?, wanted_one).await
}

/// Whoever counts up from what both saw has it.
pub(super) async fn claim(
    connection: &Connection,
    wanted: &WantedScreenshot,
    until: Timestamp,
) -> Result<bool> {
    let sql = "INSERT INTO screenshots (incident, workspace, attempts, claimed_until_us) VALUES (?1, ?2, ?3 + 1, ?4)
        ON CONFLICT (incident) DO UPDATE SET attempts = excluded.attempts, claimed_until_us = excluded.claimed_until_us
        WHERE attempts = ?3 AND taken_us IS NULL";
    let parameters = (
        wanted.incident.to_string(),
        wanted.workspace.to_string(),
        wanted.attempts,
        until.as_micros(),
    );
    Ok(connection.execute(sql, parameters).await? > 0)
}

pub(super) async fn settle(
    connection: &Connection,
    claimed: &WantedScreenshot,
    at: Timestamp,
    shot: &Shot,
) -> Result<bool> {
    let sql = "UPDATE screenshots SET claimed_until_us = ?3, taken_us = ?4, size = ?5, error = ?6
        WHERE incident = ?1 AND attempts = ?2 AND taken_us IS NULL";
    let (until, taken, size, error) = match shot {
        Shot::Taken { size } => (at, Some(at.as_micros()), Some(*size), None),
        Shot::Failed { error, again } => (*again, None, None, Some(error.clone())),
    };
    let size = size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    let parameters = (
        claimed.incident.to_string(),
        claimed.attempts + 1,
        until.as_micros(),
        taken,
        size,
        error,
    );
    Ok(connection.execute(sql, parameters).await? > 0)
}

pub(super) async fn one(
    connection: &Connection,
    workspace: &WorkspaceId,
    incident: Uuid,
) -> Result<Option<Screenshot>> {
    let sql = "SELECT attempts, taken_us, size, error FROM screenshots WHERE incident = ?1 AND workspace = ?2";
    let parameters = [incident.to_string(), workspace.to_string()];
    let found = collect(connection.query(sql, parameters).await?, screenshot).await?;
    Ok(found.into_iter().next())
}

/// Nobody can still be at one whose claim ran out before then.
pub(super) async fn old(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(WorkspaceId, Uuid)>> {
    let sql = "SELECT workspace, incident FROM screenshots
        WHERE claimed_until_us < ?1
            OR claimed_until_us < ?2 AND incident NOT IN (SELECT id FROM incidents)
        ORDER BY claimed_until_us LIMIT ?3";
    let parameters = (before.as_micros(), now.as_micros(), limit);
    let read = |row: &Row| Ok((parsed(row, 0)?, parsed(row, 1)?));
    collect(connection.query(sql, parameters).await?, read).await
}

pub(super) async fn forget(connection: &Connection, incident: Uuid) -> Result<()> {
    let sql = "DELETE FROM screenshots WHERE incident = ?1";
    connection.execute(sql, [incident.to_string()]).await?;
    Ok(())
}

fn wanted_one(row: &Row) -> Result<WantedScreenshot> {
    Ok(WantedScreenshot {
        workspace: parsed(row, 0)?,
        incident: parsed(row, 1)?,
        monitor: parsed(row, 2)?,
        attempts: row.get(3)?,
    })
}

fn screenshot(row: &Row) -> Result<Screenshot> {
    let (at, size): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
    let taken = at.map(|at| TakenScreenshot {
        at: Timestamp::from_micros(at),
        size: size.and_then(|size| size.try_into().ok()).unwrap_or(0),
    });
    Ok(Screenshot {
        attempts: row.get(0)?,
        taken,
        error: row.get(3)?,
    })
}
