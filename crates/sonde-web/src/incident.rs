//! The page of one incident, which notices link to: what failed, where and why, what happened since, and who was told.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use sonde_core::{IncidentCause, IncidentStatus, Timestamp};
use sonde_notify::{IncidentNotice, Notice, NoticeEvent};
use sonde_service::{Access, IncidentView};
use sonde_store::{IncidentEvent, IncidentEventKind, Telling};
use uuid::Uuid;

use crate::{PageError, Pages, html};

#[derive(Template)]
#[template(path = "incident.html")]
struct Page {
    headline: String,
    /// That the headline is coloured by.
    state: &'static str,
    facts: Vec<(String, String)>,
    /// When, what, and what was said.
    events: Vec<(String, String, String)>,
    /// The channel, what came of it, and why not.
    told: Vec<(String, String, String)>,
    screenshot: Option<Shown>,
    rendered_at: String,
}

/// A picture, or why there is none.
enum Shown {
    Picture {
        id: Uuid,
        target: String,
        at: String,
    },
    Nothing(String),
}

pub(crate) async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    Extension(access): Extension<Access>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id: Uuid = id.parse().map_err(|_| PageError::NotFound)?;
    let view = access.incident(id).await?;
    let notice = notice(&access, &view)?;
    let lines = notice.lines().into_iter();
    html(&Page {
        headline: notice.headline(),
        state: state(&view),
        facts: lines.map(|line| (line.label, line.text)).collect(),
        screenshot: shown(&view, &notice.incident.target),
        events: view.events.into_iter().map(event).collect(),
        told: view.told.into_iter().map(told).collect(),
        rendered_at: moment(pages.service.now()),
    })
}

/// As it would be told now.
fn notice(access: &Access, view: &IncidentView) -> Result<Notice, PageError> {
    let incident = &view.incident;
    let detail: IncidentNotice = serde_json::from_str(&incident.detail)?;
    let event = match incident.status {
        IncidentStatus::Resolved => NoticeEvent::Resolved,
        IncidentStatus::Open | IncidentStatus::Acknowledged => NoticeEvent::Opened,
    };
    Ok(Notice {
        id: incident.id,
        workspace: access.workspace().clone(),
        event,
        at: incident.resolved_at.unwrap_or(incident.opened_at),
        incident: IncidentNotice {
            acknowledged_by: incident.acknowledged_by.clone(),
            ..detail
        },
        link: None,
    })
}

fn state(view: &IncidentView) -> &'static str {
    match (view.incident.status, view.incident.cause) {
        (IncidentStatus::Resolved, _) => "up",
        (_, IncidentCause::Down) => "down",
        (_, IncidentCause::Degraded) => "degraded",
        (_, IncidentCause::Unknown) => "unknown",
    }
}

fn shown(view: &IncidentView, target: &str) -> Option<Shown> {
    let screenshot = view.screenshot.as_ref()?;
    match screenshot.taken {
        Some(taken) => Some(Shown::Picture {
            id: view.incident.id,
            target: target.to_owned(),
            at: moment(taken.at),
        }),
        None => screenshot.error.clone().map(Shown::Nothing),
    }
}

fn event(event: IncidentEvent) -> (String, String, String) {
    let what = match event.kind {
        IncidentEventKind::Opened => "opened",
        IncidentEventKind::Changed => "changed",
        IncidentEventKind::Acknowledged => "acknowledged",
        IncidentEventKind::Commented => "comment",
        IncidentEventKind::Resolved => "resolved",
    };
    let what = match event.by {
        Some(by) => format!("{what} by {by}"),
        None => what.to_owned(),
    };
    (moment(event.at), what, event.text.unwrap_or_default())
}

fn told(told: Telling) -> (String, String, String) {
    let error = told.error.unwrap_or_default();
    let what = match told.attempts {
        0 | 1 => told.state,
        tries => format!("{} after {tries} tries", told.state),
    };
    (told.channel, what, error)
}

/// To the second.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    format!(
        "{} UTC",
        text.get(..19).unwrap_or_default().replace('T', " ")
    )
}
