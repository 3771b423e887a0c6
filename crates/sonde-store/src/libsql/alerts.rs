//! [`AlertStore`] on a file and at the primary, each question one statement.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use sonde_core::{IncidentStatus, MonitorId, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{Connection, Row};
use uuid::Uuid;

use super::resources::refused;
use super::{LibsqlStore, resources, screenshots, unavailable};
use crate::{
    AlertChange, AlertStore, Annotation, DueNotice, Incident, IncidentEvent, IncidentQuery,
    KeptAlert, KeptReport, NewNotice, Resolution, Resource, ResourceKind, Result, Screenshot, Shot,
    StoreError, Telling, Told, WantedScreenshot,
};

const INCIDENT: &str = "SELECT id, monitor, status, cause, flapping, opened_us, acknowledged_by, resolved_us, caused_by, \
    detail FROM incidents";

const TELLING: &str =
    "SELECT id, incident, channel, state, attempts, due_us, settled_us, error FROM outbox";

const EVER: (Timestamp, Timestamp) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));

#[async_trait]
impl AlertStore for LibsqlStore {
    async fn channels(&self) -> Result<Vec<(WorkspaceId, Resource)>> {
        self.read(async |it| {
            let sql = "SELECT workspace, id, body FROM resources WHERE kind = 'channel' ORDER BY workspace, id";
            collect(it.query(sql, ()).await?, owned).await
        })
        .await
    }

    async fn channel(&self, workspace: &WorkspaceId, id: &str) -> Result<Option<String>> {
        let (workspace, id, keys) = (workspace.clone(), id.to_owned(), self.keys.clone());
        let kind = ResourceKind::Channel;
        self.read(async move |it| resources::with_secrets(it, &workspace, kind, &id, &keys).await)
            .await
    }

    async fn heartbeat(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
    ) -> Result<Option<String>> {
        let (workspace, id, keys) = (workspace.clone(), monitor.to_string(), self.keys.clone());
        let kind = ResourceKind::Heartbeat;
        self.read(async move |it| resources::with_secrets(it, &workspace, kind, &id, &keys).await)
            .await
    }

    async fn reports(&self) -> Result<Vec<KeptReport>> {
        self.read(async |it| {
            let sql = "SELECT workspace, id, body, updated_us FROM resources WHERE kind = 'report' ORDER BY workspace, id";
            collect(it.query(sql, ()).await?, report).await
        })
        .await
    }

    async fn alert_states(&self) -> Result<Vec<KeptAlert>> {
        self.read(async |it| {
            let sql = "SELECT workspace, monitor, version, body FROM alert_states";
            collect(it.query(sql, ()).await?, kept).await
        })
        .await
    }

    async fn take_over(&self) -> Result<u64> {
        self.write(async |it| {
            let sql = "UPDATE alert_term SET term = term + 1 RETURNING term";
            let terms = collect(it.query(sql, ()).await?, |row| Ok(row.get(0)?)).await?;
            terms.into_iter().next().ok_or(StoreError::Conflict)
        })
        .await
    }

    async fn decide(&self, change: AlertChange) -> Result<()> {
        let json = |value: serde_json::Result<String>| value.map_err(unavailable);
        let states = json(serde_json::to_string(&change.states))?;
        let incidents = json(serde_json::to_string(&change.incidents))?;
        let notices = json(serde_json::to_string(&change.notices))?;
        self.write(async move |it| {
            let sql = "INSERT INTO decisions (states, incidents, notices) VALUES (?1, ?2, ?3)";
            let done = it.execute(sql, [states, incidents, notices]).await;
            done.map(|_| ()).map_err(refused)
        })
        .await
    }

    async fn incidents(
        &self,
        workspace: &WorkspaceId,
        query: &IncidentQuery,
    ) -> Result<Vec<Incident>> {
        let (workspace, query) = (workspace.clone(), query.clone());
        self.read(async move |it| incidents(it, &workspace, &query).await)
            .await
    }

    async fn incident(&self, workspace: &WorkspaceId, id: Uuid) -> Result<Option<Incident>> {
        let (workspace, id) = (workspace.to_string(), id.to_string());
        self.read(async move |it| {
            let sql = format!("{INCIDENT} WHERE workspace = ?1 AND id = ?2");
            let found = collect(it.query(&sql, [workspace, id]).await?, incident).await?;
            Ok(found.into_iter().next())
        })
        .await
    }

    async fn incident_events(
        &self,
        workspace: &WorkspaceId,
        id: Uuid,
    ) -> Result<Vec<IncidentEvent>> {
        let (workspace, id) = (workspace.to_string(), id.to_string());
        self.read(async move |it| {
            let sql = "SELECT at_us, kind, actor, text FROM incident_events
                WHERE incident = ?2 AND incident IN (SELECT id FROM incidents WHERE workspace = ?1)
                ORDER BY at_us, number";
            collect(it.query(sql, [workspace, id]).await?, event).await
        })
        .await
    }

    async fn annotate(
        &self,
        workspace: &WorkspaceId,
        id: Uuid,
        annotation: Annotation,
        by: &str,
        at: Timestamp,
    ) -> Result<bool> {
        let (kind, text, notices) = match annotation {
            Annotation::Acknowledge(notices) => ("acknowledged", None, notices),
            Annotation::Comment(text) => ("commented", Some(text), Vec::new()),
        };
        let notices = serde_json::to_string(&notices).map_err(unavailable)?;
        let (workspace, id, by) = (workspace.to_string(), id.to_string(), by.to_owned());
        self.write(async move |it| {
            let sql =
                "INSERT INTO annotations (workspace, incident, at_us, kind, actor, text, notices)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let parameters = (workspace, id, at.as_micros(), kind, by, text, notices);
            match it.execute(sql, parameters).await {
                Ok(_) => Ok(true),
                Err(error) if error.to_string().contains("nothing to annotate") => Ok(false),
                Err(error) => Err(refused(error)),
            }
        })
        .await
    }

    async fn resolve(&self, workspace: &WorkspaceId, resolution: Resolution) -> Result<bool> {
        let notices = serde_json::to_string(&resolution.notices).map_err(unavailable)?;
        let Resolution { id, by, at, .. } = resolution;
        let parameters = (
            workspace.to_string(),
            id.to_string(),
            by,
            at.as_micros(),
            at.to_string(),
            notices,
        );
        let resolved = self.write(async move |it| {
            let sql = "INSERT INTO resolutions (workspace, incident, actor, at_us, at, notices)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            it.execute(sql, parameters).await.map_err(refused)?;
            Ok(())
        });
        match resolved.await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn notices_due(&self, at: Timestamp, most_of_one: u32) -> Result<Vec<DueNotice>> {
        self.read(async move |it| {
            let sql = "SELECT id, workspace, incident, channel, body, attempts FROM (
                    SELECT *, row_number() OVER (PARTITION BY workspace, channel ORDER BY due_us, number) AS place
                    FROM outbox WHERE state = 'waiting' AND due_us <= ?1 AND NOT EXISTS (
                        SELECT 1 FROM outbox AS earlier
                        WHERE earlier.incident = outbox.incident AND earlier.channel = outbox.channel
                            AND earlier.state = 'waiting' AND earlier.number < outbox.number
                    )
                ) WHERE place <= ?2 ORDER BY due_us, number";
            collect(it.query(sql, (at.as_micros(), most_of_one)).await?, due).await
        })
        .await
    }

    async fn told(
        &self,
        id: Uuid,
        at: Timestamp,
        told: Told,
        reminder: Option<NewNotice>,
    ) -> Result<()> {
        let reminder = reminder.as_ref().map(serde_json::to_string).transpose();
        let reminder = reminder.map_err(unavailable)?;
        let (state, due, error) = match told {
            Told::Sent => ("sent", None, None),
            Told::Again { due, error } => ("waiting", Some(due.as_micros()), Some(error)),
            Told::Failed { error } => ("failed", None, Some(error)),
        };
        self.write(async move |it| {
            let sql = "INSERT INTO tellings (id, at_us, state, due_us, error, reminder)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let parameters = (id.to_string(), at.as_micros(), state, due, error, reminder);
            it.execute(sql, parameters).await?;
            Ok(())
        })
        .await
    }

    async fn forget(&self, told: Timestamp, resolved: Timestamp, most: u32) -> Result<u64> {
        self.write(async move |it| {
            let sql = "DELETE FROM outbox WHERE number IN (
                    SELECT number FROM outbox WHERE settled_us < ?1 AND NOT EXISTS (
                        SELECT 1 FROM incidents WHERE id = outbox.incident AND status <> 'resolved'
                    ) LIMIT ?2
                )";
            let notices = it.execute(sql, (told.as_micros(), most)).await?;
            let sql = "DELETE FROM incident_events WHERE number IN (
                    SELECT number FROM incidents JOIN incident_events ON incident_events.incident = incidents.id
                    WHERE incidents.resolved_us < ?1 LIMIT ?2
                )";
            let events = it.execute(sql, (resolved.as_micros(), most)).await?;
            Ok(notices + events)
        })
        .await
    }

    async fn tellings_to(
        &self,
        workspace: &WorkspaceId,
        channel: &str,
        limit: u32,
    ) -> Result<Vec<Telling>> {
        let (workspace, channel) = (workspace.to_string(), channel.to_owned());
        self.read(async move |it| {
            let sql = format!(
                "{TELLING} WHERE workspace = ?1 AND channel = ?2 ORDER BY number DESC LIMIT ?3"
            );
            collect(it.query(&sql, (workspace, channel, limit)).await?, telling).await
        })
        .await
    }

    async fn tellings(&self, workspace: &WorkspaceId, incident: Uuid) -> Result<Vec<Telling>> {
        let (workspace, incident) = (workspace.to_string(), incident.to_string());
        self.read(async move |it| {
            let sql = format!("{TELLING} WHERE workspace = ?1 AND incident = ?2 ORDER BY number");
            collect(it.query(&sql, [workspace, incident]).await?, telling).await
        })
        .await
    }

    async fn screenshots_wanted(
        &self,
        since: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<WantedScreenshot>> {
        self.read(async move |it| screenshots::wanted(it, since, at, limit).await)
            .await
    }

    async fn claim_screenshot(&self, wanted: &WantedScreenshot, until: Timestamp) -> Result<bool> {
        let wanted = wanted.clone();
        self.write(async move |it| screenshots::claim(it, &wanted, until).await)
            .await
    }

    async fn settle_screenshot(
        &self,
        claimed: &WantedScreenshot,
        at: Timestamp,
        shot: Shot,
    ) -> Result<bool> {
        let claimed = claimed.clone();
        self.write(async move |it| screenshots::settle(it, &claimed, at, &shot).await)
            .await
    }

    async fn screenshot(
        &self,
        workspace: &WorkspaceId,
        incident: Uuid,
    ) -> Result<Option<Screenshot>> {
        let workspace = workspace.clone();
        self.read(async move |it| screenshots::one(it, &workspace, incident).await)
            .await
    }

    async fn screenshots_to_forget(
        &self,
        before: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, Uuid)>> {
        self.read(async move |it| screenshots::old(it, before, at, limit).await)
            .await
    }

    async fn forget_screenshot(&self, incident: Uuid) -> Result<()> {
        self.write(async move |it| screenshots::forget(it, incident).await)
            .await
    }
}

async fn incidents(
    connection: &Connection,
    workspace: &WorkspaceId,
    query: &IncidentQuery,
) -> Result<Vec<Incident>> {
    let sql = format!(
        "{INCIDENT} WHERE workspace = ?1 AND (?2 IS NULL OR monitor = ?2) AND (?3 IS NULL OR status = ?3)
            AND (opened_us, id) < (?4, ?5) AND opened_us < ?7 AND coalesce(resolved_us, ?8 + 1) > ?8 ORDER BY opened_us DESC, id DESC LIMIT ?6"
    );
    let (before, id) = query
        .before
        .map_or((i64::MAX, Uuid::max()), |(at, id)| (at.as_micros(), id));
    let (begin, end) = query.during.unwrap_or(EVER);
    let parameters = (
        workspace.as_str(),
        query.monitor.as_ref().map(MonitorId::as_str),
        query.status.map(IncidentStatus::as_str),
        before,
        id.to_string(),
        query.limit,
        end.as_micros(),
        begin.as_micros(),
    );
    collect(connection.query(&sql, parameters).await?, incident).await
}

pub(super) async fn collect<T>(
    mut rows: sonde_libsql::libsql::Rows,
    read: fn(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next().await? {
        found.push(read(&row)?);
    }
    Ok(found)
}

fn owned(row: &Row) -> Result<(WorkspaceId, Resource)> {
    let (id, body) = (row.get(1)?, row.get(2)?);
    Ok((parsed(row, 0)?, Resource { id, body }))
}

fn report(row: &Row) -> Result<KeptReport> {
    Ok(KeptReport {
        workspace: parsed(row, 0)?,
        id: row.get(1)?,
        body: row.get(2)?,
        updated_at: Timestamp::from_micros(row.get(3)?),
    })
}

fn kept(row: &Row) -> Result<KeptAlert> {
    Ok(KeptAlert {
        workspace: parsed(row, 0)?,
        monitor: parsed(row, 1)?,
        version: row.get(2)?,
        body: row.get(3)?,
    })
}

fn incident(row: &Row) -> Result<Incident> {
    let caused_by: Option<String> = row.get(8)?;
    let resolved: Option<i64> = row.get(7)?;
    Ok(Incident {
        id: parsed(row, 0)?,
        monitor: parsed(row, 1)?,
        status: parsed(row, 2)?,
        cause: parsed(row, 3)?,
        flapping: row.get(4)?,
        opened_at: Timestamp::from_micros(row.get(5)?),
        acknowledged_by: row.get(6)?,
        resolved_at: resolved.map(Timestamp::from_micros),
        caused_by: caused_by.and_then(|id| id.parse().ok()),
        detail: row.get(9)?,
    })
}

fn event(row: &Row) -> Result<IncidentEvent> {
    Ok(IncidentEvent {
        at: Timestamp::from_micros(row.get(0)?),
        kind: parsed(row, 1)?,
        by: row.get(2)?,
        text: row.get(3)?,
    })
}

fn due(row: &Row) -> Result<DueNotice> {
    Ok(DueNotice {
        id: parsed(row, 0)?,
        workspace: parsed(row, 1)?,
        incident: parsed(row, 2)?,
        channel: row.get(3)?,
        body: row.get(4)?,
        attempts: row.get(5)?,
    })
}

fn telling(row: &Row) -> Result<Telling> {
    let settled: Option<i64> = row.get(6)?;
    Ok(Telling {
        id: parsed(row, 0)?,
        incident: parsed(row, 1)?,
        channel: row.get(2)?,
        state: row.get(3)?,
        attempts: row.get(4)?,
        due: Timestamp::from_micros(row.get(5)?),
        settled_at: settled.map(Timestamp::from_micros),
        error: row.get(7)?,
    })
}

/// A column of text that stands for something.
pub(super) fn parsed<T: DeserializeOwned>(row: &Row, column: i32) -> Result<T> {
    let text = row.get_str(column)?;
    serde_json::from_value(text.into()).map_err(|source| StoreError::Corrupt {
        what: "alert",
        id: text.to_owned(),
        source: source.into(),
    })
}
