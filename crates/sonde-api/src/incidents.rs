//! `/v1/incidents`: what was wrong, when, and who was told of it.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_core::{IncidentCause, IncidentStatus, MonitorId, Timestamp};
use sonde_service::{IncidentView, incident_cursor};
use sonde_store::{Incident, IncidentEvent, IncidentEventKind, IncidentQuery};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::caller::Caller;
use crate::channels::TellingBody;
use crate::extract::{Body, Id, Query};
use crate::openapi::{CauseName, IncidentEventName, IncidentStatusName};
use crate::page;
use crate::problem::ApiError;

/// A picture of somebody else's page does nothing.
const PICTURE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(screenshot))
        .routes(routes!(acknowledge))
        .routes(routes!(resolve))
        .routes(routes!(comment))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    #[param(value_type = Option<String>)]
    monitor: Option<MonitorId>,
    /// `open`, `acknowledged`, `resolved`.
    #[param(value_type = Option<IncidentStatusName>)]
    status: Option<IncidentStatus>,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IncidentList {
    incidents: Vec<IncidentBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IncidentBody {
    #[schema(format = "uuid")]
    id: String,
    #[schema(value_type = String)]
    monitor: MonitorId,
    /// `open`, `acknowledged`, `resolved`.
    #[schema(value_type = IncidentStatusName)]
    status: IncidentStatus,
    /// `down`, `degraded`, `unknown`, `certificate_expiring`, `domain_expiring`.
    #[schema(value_type = CauseName)]
    cause: IncidentCause,
    /// It fails and recovers again and again: it ends when it is calm for a while.
    flapping: bool,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    acknowledged_by: Option<String>,
    #[schema(value_type = String, format = DateTime, nullable)]
    resolved_at: Option<Timestamp>,
    /// The monitor that this one depends on and that is down too: people are told of that one.
    #[schema(value_type = Option<String>)]
    caused_by: Option<MonitorId>,
    /// As it stood when it last changed: name, target, regions with their reasons, failed assertions.
    #[schema(value_type = Object)]
    detail: Value,
}

/// An incident with its timeline, and who was told of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct IncidentDetail {
    #[serde(flatten)]
    incident: IncidentBody,
    events: Vec<EventBody>,
    notices: Vec<TellingBody>,
    /// How the page looked when it opened: there is none of what is not http, or not yet, or none could be taken.
    screenshot: Option<ScreenshotBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ScreenshotBody {
    /// A PNG, for who may read this.
    url: String,
    #[schema(value_type = String, format = DateTime)]
    taken_at: Timestamp,
    /// In bytes.
    size: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EventBody {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `opened`, `changed`, `acknowledged`, `commented`, `resolved`.
    #[schema(value_type = IncidentEventName)]
    kind: IncidentEventKind,
    /// Who did it, where that was a person.
    by: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comment {
    #[schema(min_length = 1, max_length = 10000)]
    text: String,
}

/// Incidents, the newest first.
#[utoipa::path(get, path = "/v1/incidents", tag = "incidents", params(Parameters),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = IncidentList)))]
async fn list(
    Caller(access): Caller,
    Query(asked): Query<Parameters>,
) -> Result<Json<IncidentList>, ApiError> {
    let query = IncidentQuery {
        monitor: asked.monitor,
        status: asked.status,
        during: None,
        before: asked.cursor.map(|cursor| place(&cursor)).transpose()?,
        limit: page::limit(asked.limit)?,
    };
    let page = access.incidents(query).await?;
    Ok(Json(IncidentList {
        incidents: page.items.into_iter().map(IncidentBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// One incident with its timeline, and who was told of it.
#[utoipa::path(get, path = "/v1/incidents/{id}", tag = "incidents", params(("id" = String, Path, format = "uuid")),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = IncidentDetail)))]
async fn show(Caller(access): Caller, Id(id): Id<Uuid>) -> Result<Json<IncidentDetail>, ApiError> {
    Ok(Json(access.incident(id).await?.into()))
}

/// How the page of an http monitor looked when the incident opened, as a visitor sees it.
#[utoipa::path(get, path = "/v1/incidents/{id}/screenshot", tag = "incidents", params(("id" = String, Path, format = "uuid")),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, description = "The picture", content_type = "image/png", body = Vec<u8>)))]
async fn screenshot(Caller(access): Caller, Id(id): Id<Uuid>) -> Result<Response, ApiError> {
    let png = access.screenshot(id).await?;
    let headers = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CONTENT_SECURITY_POLICY, PICTURE_POLICY),
        // The same for as long as there is one, and for nobody else.
        (header::CACHE_CONTROL, "private, max-age=3600"),
    ];
    Ok((headers, png).into_response())
}

/// Says that somebody looks after it: nobody is reminded or told later any more, and who was told of it hears of that.
#[utoipa::path(post, path = "/v1/incidents/{id}/acknowledge", tag = "incidents", params(("id" = String, Path, format = "uuid")),
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 200, body = IncidentDetail)))]
async fn acknowledge(
    Caller(access): Caller,
    Id(id): Id<Uuid>,
) -> Result<Json<IncidentDetail>, ApiError> {
    Ok(Json(access.acknowledge_incident(id).await?.into()))
}

/// Ends it whatever its target does: who was told of it hears that. When the target goes on failing, `fail_after` times
/// from now, another incident is opened.
#[utoipa::path(post, path = "/v1/incidents/{id}/resolve", tag = "incidents", params(("id" = String, Path, format = "uuid")),
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 200, body = IncidentDetail)))]
async fn resolve(
    Caller(access): Caller,
    Id(id): Id<Uuid>,
) -> Result<Json<IncidentDetail>, ApiError> {
    Ok(Json(access.resolve_incident(id).await?.into()))
}

/// Adds to the timeline.
#[utoipa::path(post, path = "/v1/incidents/{id}/comments", tag = "incidents", params(("id" = String, Path, format = "uuid")),
    request_body = Comment,
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 200, body = IncidentDetail)))]
async fn comment(
    Caller(access): Caller,
    Id(id): Id<Uuid>,
    Body(comment): Body<Comment>,
) -> Result<Json<IncidentDetail>, ApiError> {
    Ok(Json(
        access.comment_incident(id, comment.text).await?.into(),
    ))
}

/// Of the last incident on the page before.
fn place(cursor: &str) -> Result<(Timestamp, Uuid), ApiError> {
    incident_cursor(cursor).ok_or_else(|| ApiError::Parameter {
        field: "cursor".to_owned(),
        message: "must be `next_cursor` of the page before".to_owned(),
    })
}

impl From<Incident> for IncidentBody {
    fn from(incident: Incident) -> Self {
        Self {
            id: incident.id.to_string(),
            monitor: incident.monitor,
            status: incident.status,
            cause: incident.cause,
            flapping: incident.flapping,
            opened_at: incident.opened_at,
            acknowledged_by: incident.acknowledged_by,
            resolved_at: incident.resolved_at,
            caused_by: incident.caused_by,
            detail: serde_json::from_str(&incident.detail).unwrap_or_default(),
        }
    }
}

impl From<IncidentEvent> for EventBody {
    fn from(event: IncidentEvent) -> Self {
        Self {
            at: event.at,
            kind: event.kind,
            by: event.by,
            text: event.text,
        }
    }
}

impl From<IncidentView> for IncidentDetail {
    fn from(view: IncidentView) -> Self {
        let id = view.incident.id;
        let taken = view.screenshot.and_then(|it| it.taken);
        Self {
            incident: view.incident.into(),
            events: view.events.into_iter().map(EventBody::from).collect(),
            notices: view.told.into_iter().map(TellingBody::from).collect(),
            screenshot: taken.map(|taken| ScreenshotBody {
                url: format!("/v1/incidents/{id}/screenshot"),
                taken_at: taken.at,
                size: taken.size,
            }),
        }
    }
}
