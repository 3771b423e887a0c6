//! `/v1/monitors/{id}/results` and `/summary`: rows, and what they add up to.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, MonitorId, Outcome, Region, Timestamp};
use sonde_results::{Cursor, ResultQuery, Summary, TimeRange};
use sonde_service::Service;

use crate::problem::{ApiError, Path, Query};

/// What is listed when no range is given.
const DEFAULT_RANGE: Duration = Duration::from_hours(24);
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// All as text, so that what is wrong with one can be said by its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    from: Option<String>,
    to: Option<String>,
    region: Option<String>,
    outcome: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ResultList {
    results: Vec<CheckResult>,
    /// Pass it as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub(crate) async fn list(
    State(service): State<Service>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<ResultList>, ApiError> {
    let limit = parse("limit", parameters.limit.as_deref())?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let message = format!("must be 1 to {MAX_LIMIT}, got {limit}");
        return Err(ApiError::Invalid {
            field: "limit",
            message,
        });
    }
    let outcome = parameters.outcome.as_deref().map(outcome).transpose()?;
    let query = ResultQuery {
        workspace: service.workspace.clone(),
        monitor: monitor_id(&id)?,
        range: parameters.range(&service)?,
        region: parse::<Region>("region", parameters.region.as_deref())?,
        outcome,
        after: parse::<Cursor>("cursor", parameters.cursor.as_deref())?,
        limit,
    };
    let page = service.results(query).await?;
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    Ok(Json(ResultList {
        results: page.results,
        next_cursor,
    }))
}

#[derive(Serialize)]
pub(crate) struct SummaryBody {
    monitor: MonitorId,
    from: Timestamp,
    to: Timestamp,
    count: u64,
    #[serde(flatten)]
    summary: Summary,
}

pub(crate) async fn summary(
    State(service): State<Service>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<SummaryBody>, ApiError> {
    let monitor = monitor_id(&id)?;
    let TimeRange { from, to } = parameters.range(&service)?;
    let summary = service.summary(&monitor, TimeRange { from, to }).await?;
    let count = summary.ok + summary.degraded + summary.failed + summary.missed;
    Ok(Json(SummaryBody {
        monitor,
        from,
        to,
        count,
        summary,
    }))
}

impl Parameters {
    fn range(&self, service: &Service) -> Result<TimeRange, ApiError> {
        let recent = service.last(DEFAULT_RANGE);
        let to = parse("to", self.to.as_deref())?.unwrap_or(recent.to);
        let from = parse("from", self.from.as_deref())?.unwrap_or(to - DEFAULT_RANGE);
        if from >= to {
            let message = format!("must be before `to` ({to}), got {from}");
            return Err(ApiError::Invalid {
                field: "from",
                message,
            });
        }
        Ok(TimeRange { from, to })
    }
}

fn monitor_id(text: &str) -> Result<MonitorId, ApiError> {
    // What is no id names no monitor.
    text.parse()
        .map_err(|_| ApiError::NotFound(format!("monitor `{text}` not found")))
}

fn parse<T>(field: &'static str, text: Option<&str>) -> Result<Option<T>, ApiError>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| ApiError::Invalid {
        field,
        message: error.to_string(),
    })
}

fn outcome(text: &str) -> Result<Outcome, ApiError> {
    Outcome::from_name(text).ok_or_else(|| {
        let known = Outcome::ALL.map(Outcome::as_str).join(", ");
        ApiError::Invalid {
            field: "outcome",
            message: format!("must be one of {known}, got `{text}`"),
        }
    })
}
