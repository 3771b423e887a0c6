//! `/v1/reports`: how a period went, told to a channel every day, week or month.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sonde_core::{Report, ReportBody, Timestamp};
use sonde_service::Entry;
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
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReportList {
    reports: Vec<ReportState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReportState {
    id: String,
    #[schema(value_type = ReportRequest)]
    config: ReportBody,
    /// One more with every change; also the `ETag`, in quotes.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Where it is told how a period went, and when: uptime, incidents and the slowest p95, compared with the period before. It
/// is about whole days: the day, the seven days or the month that ended with the midnight before.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what ReportBody reads")]
pub(crate) struct ReportRequest {
    /// One that is not for alerts alone, as `pagerduty` and its like are.
    #[schema(max_length = 100, example = "ops")]
    channel: String,
    every: Every,
    /// Local time: `09:00` of every day, `mon 09:00` of every week, `1 09:00` of every month. A time that the clocks skip is an
    /// hour later on the clock, of one that comes twice the first is meant.
    #[schema(example = "mon 09:00")]
    at: String,
    /// An IANA name.
    #[schema(required = false, default = "UTC", example = "Europe/Berlin")]
    zone: String,
    /// Only these monitors.
    #[schema(required = false, max_items = 1000)]
    monitors: Vec<String>,
    /// Only monitors with any of these.
    #[schema(required = false, max_items = 100)]
    tags: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what ReportInterval reads")]
pub(crate) enum Every {
    Day,
    Week,
    Month,
}

/// The reports of the workspace, by id.
#[utoipa::path(get, path = "/v1/reports", tag = "reports", params(PageParameters),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = ReportList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<ReportList>, ApiError> {
    let page = access.reports(&page.query()?).await?;
    Ok(Json(ReportList {
        reports: page.items.into_iter().map(ReportState::from).collect(),
        next_cursor: page.next,
    }))
}

/// One report.
#[utoipa::path(get, path = "/v1/reports/{id}", tag = "reports", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = ReportState, headers(("ETag" = String)))))]
async fn show(Caller(access): Caller, Id(id): Id<String>) -> Result<Response, ApiError> {
    Ok(tagged(access.report(&id).await?).into_response())
}

/// Makes a report, or makes it as the body says. It is told from the next time on that it is due.
///
/// `If-Match` with the ETag refuses what somebody else changed meanwhile.
#[utoipa::path(put, path = "/v1/reports/{id}", tag = "reports", params(("id" = String, Path)),
    request_body = ReportRequest,
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses(
        (status = 200, body = ReportState, headers(("ETag" = String))),
        (status = 201, body = ReportState, headers(("ETag" = String), ("Location" = String))),
    ))]
async fn put(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
    Body(body): Body<ReportBody>,
) -> Result<Response, ApiError> {
    let (report, is_new) = access.put_report(&id, body, expected).await?;
    let location = [(header::LOCATION, format!("/v1/reports/{}", report.id))];
    if is_new {
        return Ok((StatusCode::CREATED, location, tagged(report)).into_response());
    }
    Ok(tagged(report).into_response())
}

/// Removes a report.
#[utoipa::path(delete, path = "/v1/reports/{id}", tag = "reports", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 204)))]
async fn remove(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
) -> Result<StatusCode, ApiError> {
    access.remove_report(&id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tagged(report: Entry<Report>) -> impl IntoResponse {
    let version = report.meta.version;
    (etag(version), Json(ReportState::from(report)))
}

impl From<Entry<Report>> for ReportState {
    fn from(report: Entry<Report>) -> Self {
        Self {
            id: report.id,
            config: report.value.into(),
            version: report.meta.version,
            created_at: report.meta.created_at,
            updated_at: report.meta.updated_at,
        }
    }
}
