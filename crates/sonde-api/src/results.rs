//! `/v1/monitors/{id}/results`, `/summary`, `/v1/summaries`: rows, and what they add up to.

use std::time::Duration;

use axum::Json;
use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, MonitorId, Outcome, Reason, Region, Timestamp, Trigger};
use sonde_results::{ResultQuery, Summary, TimeRange};
use sonde_service::Access;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Id, Query};
use crate::openapi::{OutcomeName, ResultBody, TriggerName};
use crate::page;
use crate::problem::ApiError;

/// What is looked at when no range is given.
const DEFAULT_RANGE: Duration = Duration::from_hours(24);
const STATUSES: std::ops::RangeInclusive<u16> = 100..=999;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(summary))
        .routes(routes!(summaries))
}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RowParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
    /// `ok`, `degraded`, `failed`, `missed`.
    #[param(value_type = Option<OutcomeName>)]
    outcome: Option<Outcome>,
    #[param(value_type = Option<String>)]
    reason: Option<Reason>,
    /// `schedule` or `on_demand`.
    #[param(value_type = Option<TriggerName>)]
    trigger: Option<Trigger>,
    /// HTTP status of the last answer.
    #[param(minimum = 100, maximum = 999)]
    status: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Which time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RangeParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Which time, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlaceParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    /// All regions when absent.
    #[param(value_type = Option<String>)]
    pub(crate) region: Option<Region>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ResultList {
    #[schema(value_type = Vec<ResultBody>)]
    results: Vec<CheckResult>,
    /// Pass it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Counts by outcome, and latency in microseconds. Failed and missed checks stay out of the latency.
#[derive(Serialize, ToSchema)]
pub(crate) struct Numbers {
    count: u64,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    /// (ok + degraded) / (ok + degraded + failed), outside maintenance.
    uptime: Option<f64>,
    p50_us: Option<u64>,
    p75_us: Option<u64>,
    p90_us: Option<u64>,
    p95_us: Option<u64>,
    p99_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SummaryBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    #[serde(flatten)]
    numbers: Numbers,
    /// The same of the period of the same length before.
    previous: Numbers,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SummaryList {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// By monitor; those without checks are left out.
    summaries: Vec<MonitorNumbers>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MonitorNumbers {
    #[schema(value_type = String)]
    monitor: MonitorId,
    #[serde(flatten)]
    numbers: Numbers,
}

/// Results of a monitor, newest first.
#[utoipa::path(get, path = "/v1/monitors/{id}/results", tag = "results",
    params(("id" = String, Path), RowParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = ResultList)))]
async fn list(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<RowParameters>,
) -> Result<Json<ResultList>, ApiError> {
    if let Some(status) = asked.status.filter(|status| !STATUSES.contains(status)) {
        return Err(ApiError::Parameter {
            field: "status".to_owned(),
            message: format!("must be 100 to 999, got {status}"),
        });
    }
    let after = asked.cursor.map(|cursor| cursor.parse()).transpose();
    let query = ResultQuery {
        workspace: access.workspace().clone(),
        monitor,
        range: range(&access, asked.from, asked.to)?,
        region: asked.region,
        outcome: asked.outcome,
        reason: asked.reason,
        trigger: asked.trigger,
        status: asked.status,
        after: after.map_err(|error: sonde_results::ResultsError| ApiError::Parameter {
            field: "cursor".to_owned(),
            message: error.to_string(),
        })?,
        limit: page::limit(asked.limit)?,
    };
    let page = access.results(query).await?;
    Ok(Json(ResultList {
        results: page.results,
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// What the results of a range add up to, and those of the range before it.
#[utoipa::path(get, path = "/v1/monitors/{id}/summary", tag = "results",
    params(("id" = String, Path), PlaceParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = SummaryBody)))]
async fn summary(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<PlaceParameters>,
) -> Result<Json<SummaryBody>, ApiError> {
    let range = range(&access, asked.from, asked.to)?;
    let found = access
        .summary(&monitor, asked.region.as_ref(), range)
        .await?;
    Ok(Json(SummaryBody {
        monitor,
        from: range.from,
        to: range.to,
        numbers: Numbers::from(&found.summary),
        previous: Numbers::from(&found.previous),
    }))
}

/// What the results of a range add up to, for every monitor.
#[utoipa::path(get, path = "/v1/summaries", tag = "results", params(RangeParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = SummaryList)))]
async fn summaries(
    Caller(access): Caller,
    Query(asked): Query<RangeParameters>,
) -> Result<Json<SummaryList>, ApiError> {
    let range = range(&access, asked.from, asked.to)?;
    let found = access.summaries(range).await?.into_iter();
    let summaries = found.map(|(monitor, summary)| MonitorNumbers {
        monitor,
        numbers: Numbers::from(&summary),
    });
    let mut summaries: Vec<_> = summaries.collect();
    summaries.sort_unstable_by(|a, b| a.monitor.cmp(&b.monitor));
    Ok(Json(SummaryList {
        from: range.from,
        to: range.to,
        summaries,
    }))
}

pub(crate) fn range(
    access: &Access,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<TimeRange, ApiError> {
    let to = to.unwrap_or_else(|| access.last(DEFAULT_RANGE).to);
    let from = from.unwrap_or(to - DEFAULT_RANGE);
    if from < to {
        return Ok(TimeRange { from, to });
    }
    Err(ApiError::Parameter {
        field: "from".to_owned(),
        message: format!("must be before `to` ({to}), got {from}"),
    })
}

impl From<&Summary> for Numbers {
    fn from(summary: &Summary) -> Self {
        let Summary {
            ok,
            degraded,
            failed,
            missed,
            uptime,
            p50_us,
            p75_us,
            p90_us,
            p95_us,
            p99_us,
        } = *summary;
        Self {
            count: ok + degraded + failed + missed,
            ok,
            degraded,
            failed,
            missed,
            uptime,
            p50_us,
            p75_us,
            p90_us,
            p95_us,
            p99_us,
        }
    }
}
