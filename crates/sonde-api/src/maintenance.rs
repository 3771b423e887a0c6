//! `/v1/maintenance`: windows of time in which outcomes neither alert nor count.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sonde_core::{MaintainedMonitors, MaintenanceBody, MaintenanceSchedule, Timestamp};
use sonde_service::MaintenanceView;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id, Precondition, Query, etag};
use crate::page::PageParameters;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MaintenanceList {
    maintenance: Vec<MaintenanceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Maintenance, and what it means from now on.
#[derive(Serialize, ToSchema)]
pub(crate) struct MaintenanceState {
    id: String,
    title: String,
    #[schema(value_type = WhichMonitors)]
    monitors: MaintainedMonitors,
    #[schema(value_type = When)]
    schedule: MaintenanceSchedule,
    /// A window is going on.
    active: bool,
    /// What is going on or comes within a year; ten windows at most.
    next: Vec<Window>,
    /// The file that it is kept in, where it is not to be changed here.
    managed_by: Option<String>,
    /// One more with every change; also the `ETag`, in quotes.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// From an instant to another, which is the first that is not in it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Window {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
}

/// When outcomes of which monitors are not to count.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what MaintenanceBody reads")]
pub(crate) struct MaintenanceRequest {
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    monitors: WhichMonitors,
    schedule: When,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what MaintainedMonitors reads")]
pub(crate) enum WhichMonitors {
    /// Every monitor of the workspace.
    All,
    /// These, 1 to 1000.
    Ids(Vec<String>),
    /// Those with any of these tags, 1 to 100.
    Tags(Vec<String>),
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what MaintenanceSchedule reads")]
pub(crate) enum When {
    Once(Window),
    Recurring(RecurringWindows),
}

/// Windows that come again in the local time of a zone. A time that the clocks skip is an hour later on the clock, of one
/// that comes twice the first is meant, and a duration is elapsed time.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Recurrence reads")]
pub(crate) struct RecurringWindows {
    /// As after `RRULE:` in RFC 5545, daily or more rarely; without `BYSECOND` and `BYWEEKNO`.
    #[schema(example = "FREQ=WEEKLY;BYDAY=SU", max_length = 500)]
    rrule: String,
    /// An IANA name.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// Local time of the first window.
    #[schema(example = "2026-11-20T02:30")]
    starts_at: String,
    /// From `1m` to `31d`.
    #[schema(example = "1h 30m")]
    duration: String,
}

/// The maintenance of the workspace, by id.
#[utoipa::path(get, path = "/v1/maintenance", tag = "maintenance", params(PageParameters),
    extensions(("x-required-scope" = json!("monitors:read"))),
    responses((status = 200, body = MaintenanceList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<MaintenanceList>, ApiError> {
    let page = access.maintenance_list(&page.query()?).await?;
    let maintenance = page.items.into_iter().map(MaintenanceState::from);
    Ok(Json(MaintenanceList {
        maintenance: maintenance.collect(),
        next_cursor: page.next,
    }))
}

/// Plans maintenance. Checks go on in its windows; their outcomes neither alert nor count against uptime.
#[utoipa::path(post, path = "/v1/maintenance", tag = "maintenance", request_body = MaintenanceRequest,
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 201, body = MaintenanceState, headers(("ETag" = String), ("Location" = String)))))]
async fn create(
    Caller(access): Caller,
    Body(body): Body<MaintenanceBody>,
) -> Result<Response, ApiError> {
    let made = access.create_maintenance(body).await?;
    let location = format!("/v1/maintenance/{}", made.maintenance.id);
    let location = [(header::LOCATION, location)];
    Ok((StatusCode::CREATED, location, tagged(made)).into_response())
}

/// One maintenance.
#[utoipa::path(get, path = "/v1/maintenance/{id}", tag = "maintenance", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:read"))),
    responses((status = 200, body = MaintenanceState, headers(("ETag" = String)))))]
async fn show(Caller(access): Caller, Id(id): Id<String>) -> Result<Response, ApiError> {
    Ok(tagged(access.maintenance(&id).await?).into_response())
}

/// Makes maintenance that is there as the body says. What was checked before stays as it was marked.
///
/// `If-Match` with the ETag refuses what somebody else changed meanwhile.
#[utoipa::path(put, path = "/v1/maintenance/{id}", tag = "maintenance", params(("id" = String, Path)),
    request_body = MaintenanceRequest,
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = MaintenanceState, headers(("ETag" = String)))))]
async fn change(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
    Body(body): Body<MaintenanceBody>,
) -> Result<Response, ApiError> {
    let changed = access.change_maintenance(&id, body, expected).await?;
    Ok(tagged(changed).into_response())
}

/// Removes maintenance. What was checked before stays as it was marked.
#[utoipa::path(delete, path = "/v1/maintenance/{id}", tag = "maintenance", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 204)))]
async fn remove(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
) -> Result<StatusCode, ApiError> {
    access.remove_maintenance(&id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tagged(view: MaintenanceView) -> impl IntoResponse {
    let version = view.maintenance.meta.version;
    (etag(version), Json(MaintenanceState::from(view)))
}

impl From<MaintenanceView> for MaintenanceState {
    fn from(view: MaintenanceView) -> Self {
        let (meta, body) = (view.maintenance.meta, view.maintenance.value.into());
        let MaintenanceBody {
            title,
            monitors,
            schedule,
        } = body;
        let next = view.next.into_iter().map(|window| Window {
            from: window.from,
            to: window.to,
        });
        Self {
            id: view.maintenance.id,
            title,
            monitors,
            schedule,
            active: view.is_active,
            next: next.collect(),
            managed_by: meta.managed_by,
            version: meta.version,
            created_at: meta.created_at,
            updated_at: meta.updated_at,
        }
    }
}
