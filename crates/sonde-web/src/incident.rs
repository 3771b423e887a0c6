//! The page of one incident, which notices link to: what failed, where and why, what happened since, who was told, and what
//! people can do. Its forms work without a script; who may not use them is not shown them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use chrono_tz::Tz;
use serde::Deserialize;
use sonde_core::{IncidentCause, IncidentStatus, Scope, Timestamp};
use sonde_notify::{IncidentNotice, Notice, NoticeEvent};
use sonde_service::{Access, IncidentView, MonitorView, ServiceError, State};
use sonde_store::{Incident, IncidentEvent, IncidentEventKind, Telling};
use uuid::Uuid;

use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

#[derive(Template)]
#[template(path = "incident.html")]
struct Page {
    shell: Shell,
    id: Uuid,
    /// That the headline is coloured by.
    state: &'static str,
    facts: Vec<(String, String)>,
    /// When, what, and what was said.
    events: Vec<(String, String, String)>,
    /// The channel, what came of it, and why not.
    told: Vec<(String, String, String)>,
    screenshot: Option<Shown>,
    can_acknowledge: bool,
    can_resolve: bool,
    can_comment: bool,
    /// A comment that was refused, and why.
    refused: Option<(String, String)>,
}

/// What a form adds to the timeline.
#[derive(Deserialize)]
struct Comment {
    text: String,
}

/// What the buttons of the page do.
pub(crate) fn forms() -> Router<Arc<Pages>> {
    Router::new()
        .route("/incidents/{id}/acknowledge", post(acknowledge))
        .route("/incidents/{id}/resolve", post(resolve))
        .route("/incidents/{id}/comments", post(comment))
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
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let view = viewer.access.incident(parsed(&id)?).await?;
    html(&shown(&pages, &viewer, view, None)?)
}

async fn acknowledge(
    Viewer { access, .. }: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    done(id, access.acknowledge_incident(id).await)
}

async fn resolve(
    Viewer { access, .. }: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    done(id, access.resolve_incident(id).await)
}

async fn comment(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    Form(Comment { text }): Form<Comment>,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    match viewer.access.comment_incident(id, text.clone()).await {
        Err(error @ ServiceError::Invalid(_)) => {
            let view = viewer.access.incident(id).await?;
            let refused = Some((text, error.to_string()));
            let page = html(&shown(&pages, &viewer, view, refused)?)?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        commented => done(id, commented),
    }
}

/// Back to the page, which says what it is now: also when somebody else was first.
fn done(id: Uuid, done: Result<IncidentView, ServiceError>) -> Result<Response, PageError> {
    match done {
        Ok(_) | Err(ServiceError::Refused(_)) => {
            Ok(Redirect::to(&format!("/incidents/{id}")).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

fn parsed(id: &str) -> Result<Uuid, PageError> {
    id.parse().map_err(|_| PageError::NotFound)
}

fn shown(
    pages: &Pages,
    viewer: &Viewer,
    view: IncidentView,
    refused: Option<(String, String)>,
) -> Result<Page, PageError> {
    let notice = notice(&viewer.access, &view.incident)?;
    let grant = viewer.access.grant();
    let zone = viewer.zone;
    let can_comment = grant.scopes.contains(&Scope::AlertsWrite) && grant.only.is_none();
    let status = view.incident.status;
    // A certificate is renewed, or not, and so is a domain.
    let ends_by_itself = view.incident.cause.is_expiry();
    Ok(Page {
        shell: Shell::new(
            viewer,
            Place::Incidents,
            notice.headline(),
            pages.service.now(),
        ),
        id: view.incident.id,
        state: state(&view.incident),
        facts: facts(&notice, zone),
        screenshot: picture(&view, &notice.incident.target, zone),
        events: view.events.into_iter().map(|it| event(it, zone)).collect(),
        told: view.told.into_iter().map(told).collect(),
        can_acknowledge: can_comment && status == IncidentStatus::Open,
        can_resolve: can_comment && status != IncidentStatus::Resolved && !ends_by_itself,
        can_comment,
        refused,
    })
}

/// With the viewer's times; those of a certificate's or a domain's end are in the words that people are told.
fn facts(notice: &Notice, zone: Tz) -> Vec<(String, String)> {
    let lines = notice.lines_by(&|at| format::moment(at, zone)).into_iter();
    let is_expiry = notice.incident.cause.is_expiry();
    let facts = lines.map(|line| {
        let text = if is_expiry {
            format::localized(&line.text, zone)
        } else {
            line.text
        };
        (line.label, text)
    });
    facts.collect()
}

/// As it would be told now.
pub(crate) fn notice(access: &Access, incident: &Incident) -> Result<Notice, PageError> {
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
            resolved_at: incident.resolved_at,
            ..detail
        },
        link: None,
    })
}

/// Whether it says something of where its monitor stands; what expires is in use still.
pub(crate) fn is_of_state(incident: &Incident) -> bool {
    !incident.cause.is_expiry()
}

/// Since when a monitor is what it is, as far as its newest incident tells.
pub(crate) fn since(view: &MonitorView, newest: Option<&Incident>) -> Option<Timestamp> {
    match (view.state, newest) {
        (State::Up, None) => Some(view.meta.created_at),
        (State::Up, Some(newest)) => newest.resolved_at,
        (State::Down | State::Degraded | State::Unknown, Some(newest)) => {
            newest.resolved_at.is_none().then_some(newest.opened_at)
        }
        _ => None,
    }
}

pub(crate) fn state(incident: &Incident) -> &'static str {
    match (incident.status, incident.cause) {
        (IncidentStatus::Resolved, _) => "up",
        (_, IncidentCause::Down) => "down",
        (
            _,
            IncidentCause::Degraded
            | IncidentCause::CertificateExpiring
            | IncidentCause::DomainExpiring,
        ) => "degraded",
        (_, IncidentCause::Unknown) => "unknown",
    }
}

fn picture(view: &IncidentView, target: &str, zone: Tz) -> Option<Shown> {
    let screenshot = view.screenshot.as_ref()?;
    match screenshot.taken {
        Some(taken) => Some(Shown::Picture {
            id: view.incident.id,
            target: target.to_owned(),
            at: format::moment(taken.at, zone),
        }),
        None => screenshot.error.clone().map(Shown::Nothing),
    }
}

fn event(event: IncidentEvent, zone: Tz) -> (String, String, String) {
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
    (
        format::moment(event.at, zone),
        what,
        event.text.unwrap_or_default(),
    )
}

fn told(told: Telling) -> (String, String, String) {
    let error = told.error.unwrap_or_default();
    let what = match told.attempts {
        0 | 1 => told.state,
        tries => format!("{} after {tries} tries", told.state),
    };
    (told.channel, what, error)
}
