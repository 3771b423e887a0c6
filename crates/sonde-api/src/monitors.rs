//! `/v1/monitors`: what is watched, and where it stands.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sonde_core::{CheckResult, MonitorId, Outcome, Reason, Region, Timestamp};
use sonde_service::{MonitorView, masked_config};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id, Precondition, Query, etag};
use crate::openapi::{KindName, MonitorConfig, OutcomeName, StateName};
use crate::page::PageParameters;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, put, patch, remove))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MonitorList {
    monitors: Vec<MonitorBody>,
    /// Pass it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// A monitor, and where it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct MonitorBody {
    #[schema(value_type = String)]
    id: MonitorId,
    name: String,
    /// `http`, `tcp`, `dns`, `icmp`, `tls`, `domain`, `exec`, `heartbeat`.
    #[schema(value_type = KindName)]
    kind: sonde_core::Kind,
    /// What is checked, without credentials.
    target: String,
    paused: bool,
    interval_us: u64,
    #[schema(value_type = Vec<String>)]
    regions: Vec<Region>,
    tags: Vec<String>,
    /// `paused`, `pending`, `up`, `degraded`, `down`, `unknown`.
    #[schema(value_type = StateName)]
    state: sonde_service::State,
    /// The newest result of each region.
    last: Vec<LastResult>,
    /// All settings, as in `sonde.yaml` below the id. Secrets read `REDACTED`; sent back so, they stay as they are.
    #[schema(value_type = MonitorConfig)]
    config: Map<String, Value>,
    /// One more with every change; also the `ETag`, in quotes.
    version: u64,
    /// The file that it is kept in, when it is not to be changed here.
    managed_by: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The newest result of one region.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastResult {
    #[schema(value_type = String)]
    region: Region,
    #[schema(value_type = String, format = DateTime)]
    slot: Timestamp,
    /// `ok`, `degraded`, `failed`, `missed`.
    #[schema(value_type = OutcomeName)]
    outcome: Outcome,
    /// Why it is not ok.
    #[schema(value_type = Option<String>)]
    reason: Option<Reason>,
    message: Option<String>,
    total_us: Option<u64>,
}

/// A monitor as in `sonde.yaml`, with its id.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewMonitor {
    /// 1 to 63 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit.
    #[schema(value_type = String, max_length = 63, pattern = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$")]
    id: MonitorId,
    #[serde(flatten)]
    #[schema(value_type = MonitorConfig)]
    config: Map<String, Value>,
}

/// The monitors of the workspace, by id.
#[utoipa::path(get, path = "/v1/monitors", tag = "monitors", params(PageParameters),
    extensions(("x-required-scope" = json!("monitors:read"))),
    responses((status = 200, body = MonitorList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<MonitorList>, ApiError> {
    let page = access.monitor_views(&page.query()?).await?;
    Ok(Json(MonitorList {
        monitors: page.items.into_iter().map(MonitorBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// Makes a monitor that is not there yet. It is checked from its next slot on.
#[utoipa::path(post, path = "/v1/monitors", tag = "monitors", request_body = NewMonitor,
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 201, body = MonitorBody, headers(("ETag" = String), ("Location" = String)))))]
async fn create(Caller(access): Caller, Body(new): Body<NewMonitor>) -> Result<Response, ApiError> {
    let made = access.create_monitor(&new.id, new.config).await?;
    let view = access.view(made).await?;
    let location = [(header::LOCATION, format!("/v1/monitors/{}", new.id))];
    Ok((StatusCode::CREATED, location, tagged(view)).into_response())
}

/// One monitor.
#[utoipa::path(get, path = "/v1/monitors/{id}", tag = "monitors", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:read"))),
    responses((status = 200, body = MonitorBody, headers(("ETag" = String)))))]
async fn show(Caller(access): Caller, Id(id): Id<MonitorId>) -> Result<Response, ApiError> {
    Ok(tagged(access.monitor_view(&id).await?).into_response())
}

/// Makes a monitor as the body says, be it there or not. What the body leaves out is at its default.
///
/// `If-Match` with the ETag refuses what somebody else changed meanwhile, `If-None-Match: *` what is there already.
#[utoipa::path(put, path = "/v1/monitors/{id}", tag = "monitors", params(("id" = String, Path)),
    request_body = MonitorConfig,
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = MonitorBody, headers(("ETag" = String))),
        (status = 201, body = MonitorBody, headers(("ETag" = String)))))]
async fn put(
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
    Precondition(expected): Precondition,
    Body(config): Body<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let (stored, is_new) = access.put_monitor_config(&id, config, expected).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, tagged(access.view(stored).await?)).into_response())
}

/// Changes what the body names, and nothing else (RFC 7396): `null` takes a setting back to its default, a list is replaced.
#[utoipa::path(patch, path = "/v1/monitors/{id}", tag = "monitors", params(("id" = String, Path)),
    request_body(content = Object, description = "Some of a monitor's settings"),
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = MonitorBody, headers(("ETag" = String)))))]
async fn patch(
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
    Precondition(expected): Precondition,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let stored = access.patch_monitor(&id, patch, expected).await?;
    Ok(tagged(access.view(stored).await?).into_response())
}

/// Removes a monitor. Its results stay until their retention is over.
#[utoipa::path(delete, path = "/v1/monitors/{id}", tag = "monitors", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 204)))]
async fn remove(
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
    Precondition(expected): Precondition,
) -> Result<StatusCode, ApiError> {
    access.remove_monitor(&id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tagged(view: MonitorView) -> impl IntoResponse {
    (etag(view.meta.version), Json(MonitorBody::from(view)))
}

impl From<MonitorView> for MonitorBody {
    fn from(view: MonitorView) -> Self {
        let MonitorView {
            monitor,
            meta,
            state,
            latest,
        } = view;
        let interval = monitor.interval.as_micros();
        Self {
            kind: monitor.spec.kind(),
            target: monitor.target(),
            config: masked_config(&monitor),
            interval_us: u64::try_from(interval).unwrap_or(u64::MAX),
            paused: monitor.paused,
            id: monitor.id,
            name: monitor.name,
            regions: monitor.regions,
            tags: monitor.tags,
            state,
            last: latest.into_iter().map(LastResult::from).collect(),
            version: meta.version,
            managed_by: meta.managed_by,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        }
    }
}

impl From<CheckResult> for LastResult {
    fn from(result: CheckResult) -> Self {
        Self {
            region: result.region,
            slot: result.slot,
            outcome: result.outcome,
            reason: result.reason,
            message: result.message,
            total_us: result.total_us,
        }
    }
}
