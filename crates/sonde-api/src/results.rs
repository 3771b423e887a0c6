//! `/v1/monitors/{id}/results`, `/summary`, `/series`, `/uptime`: rows, and what they add up to.

use std::time::Duration;

use axum::Json;
use serde::{Deserialize, Serialize};
use sonde_core::{
    CheckResult, MonitorId, Outcome, Reason, Region, Timestamp, Trigger, parse_duration,
};
use sonde_results::{ChartBucket, ChartQuery, ResultQuery, Summary, TimeRange};
use sonde_service::{Access, usual_step};
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
const DAY: Duration = Duration::from_hours(24);
const DEFAULT_DAYS: u32 = 90;
const MAX_DAYS: u32 = 400;
const SHORTEST_STEP: Duration = Duration::from_secs(1);
/// Of a series: what a chart can show.
const MOST_BUCKETS: u64 = 5_000;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(summary))
        .routes(routes!(series))
        .routes(routes!(uptime))
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
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Which time, and where.
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
    /// All together when absent.
    #[param(value_type = Option<String>)]
    region: Option<Region>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeriesParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
    /// A bucket's length, as in `5m`; a hundredth of the range, rounded up to what people use, when absent.
    #[param(example = "15m")]
    step: Option<String>,
    /// One series per region.
    by_region: Option<bool>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UptimeParameters {
    /// How many days, with today.
    #[param(minimum = 1, maximum = 400, default = 90)]
    days: Option<u32>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
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
pub(crate) struct SeriesBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    step_us: u64,
    /// Oldest first, without empty ones.
    buckets: Vec<BucketBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BucketBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Of a series by region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    region: Option<Region>,
    #[serde(flatten)]
    numbers: Numbers,
    mean_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UptimeBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    /// Days in UTC, oldest first; those without checks are left out.
    days: Vec<DayBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DayBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    /// Absent where nothing was executed outside maintenance.
    uptime: Option<f64>,
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
    let after = asked.cursor.map(|cursor| cursor.parse()).transpose();
    let query = ResultQuery {
        workspace: access.workspace().clone(),
        monitor,
        range: range(&access, asked.from, asked.to)?,
        region: asked.region,
        outcome: asked.outcome,
        reason: asked.reason,
        trigger: asked.trigger,
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
    params(("id" = String, Path), RangeParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = SummaryBody)))]
async fn summary(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<RangeParameters>,
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

/// The same in buckets, for charts.
#[utoipa::path(get, path = "/v1/monitors/{id}/series", tag = "results",
    params(("id" = String, Path), SeriesParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = SeriesBody)))]
async fn series(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<SeriesParameters>,
) -> Result<Json<SeriesBody>, ApiError> {
    let range = range(&access, asked.from, asked.to)?;
    let step = step(asked.step.as_deref(), range)?;
    let by_region = asked.by_region.unwrap_or(false);
    let query = ChartQuery {
        workspace: access.workspace().clone(),
        monitor: monitor.clone(),
        region: asked.region,
        by_region,
        range,
        step,
    };
    let buckets = access.chart(query).await?;
    Ok(Json(SeriesBody {
        monitor,
        step_us: u64::try_from(step.as_micros()).unwrap_or(u64::MAX),
        buckets: buckets.into_iter().map(BucketBody::from).collect(),
    }))
}

/// Uptime by day.
#[utoipa::path(get, path = "/v1/monitors/{id}/uptime", tag = "results",
    params(("id" = String, Path), UptimeParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = UptimeBody)))]
async fn uptime(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<UptimeParameters>,
) -> Result<Json<UptimeBody>, ApiError> {
    let days = asked.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ApiError::Parameter {
            field: "days".to_owned(),
            message: format!("must be 1 to {MAX_DAYS}, got {days}"),
        });
    }
    let now = access.last(DAY);
    let range = TimeRange {
        from: now.to.floor(DAY) - DAY * (days - 1),
        to: now.to,
    };
    let query = ChartQuery {
        workspace: access.workspace().clone(),
        monitor: monitor.clone(),
        region: asked.region,
        by_region: false,
        range,
        step: DAY,
    };
    let days = access.chart(query).await?.into_iter();
    let days = days.map(|ChartBucket { start, summary, .. }| DayBody {
        start,
        ok: summary.ok,
        degraded: summary.degraded,
        failed: summary.failed,
        missed: summary.missed,
        uptime: summary.uptime,
    });
    Ok(Json(UptimeBody {
        monitor,
        days: days.collect(),
    }))
}

fn range(
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

fn step(text: Option<&str>, range: TimeRange) -> Result<Duration, ApiError> {
    let length = range.to.since(range.from);
    let wrong = |message: String| ApiError::Parameter {
        field: "step".to_owned(),
        message,
    };
    let Some(text) = text else {
        return Ok(usual_step(range));
    };
    let step = parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    if step < SHORTEST_STEP {
        return Err(wrong("must be 1s or more".to_owned()));
    }
    let count = length.as_micros() / step.as_micros();
    if count > u128::from(MOST_BUCKETS) {
        let message = format!("would make {count} buckets, of {MOST_BUCKETS} at most");
        return Err(wrong(message));
    }
    Ok(step)
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

impl From<ChartBucket> for BucketBody {
    fn from(bucket: ChartBucket) -> Self {
        Self {
            start: bucket.start,
            region: bucket.region,
            numbers: Numbers::from(&bucket.summary),
            mean_us: bucket.mean_us,
        }
    }
}
