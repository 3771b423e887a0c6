//! Checks now: of a monitor, or of a target that is none, in chosen regions; all at once, or streamed as regions finish.

use std::convert::Infallible;

use axum::Json;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sonde_core::{CheckResult, MonitorId, Region, RunId};
use sonde_service::Run;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id};
use crate::openapi::{MonitorConfig, ResultBody};
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(run))
        .routes(routes!(check))
}

/// Where a monitor is to run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// The monitor's own when absent.
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    regions: Option<Vec<Region>>,
}

/// A target as a monitor in `sonde.yaml` has it; nothing but its kind is needed.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CheckRequest {
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    regions: Option<Vec<Region>>,
    #[serde(flatten)]
    #[schema(value_type = MonitorConfig)]
    config: Map<String, Value>,
}

/// What came of a run.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunBody {
    #[schema(value_type = u64)]
    run_id: RunId,
    #[schema(value_type = Vec<ResultBody>)]
    results: Vec<CheckResult>,
    /// Regions that did not answer in time.
    #[schema(value_type = Vec<String>)]
    unanswered: Vec<Region>,
}

/// Runs a monitor now.
///
/// With `Accept: text/event-stream`, each result comes as an event `result` as its region finishes, then one `done`.
#[utoipa::path(post, path = "/v1/monitors/{id}/run", tag = "checks", params(("id" = String, Path)),
    request_body = RunRequest,
    extensions(("x-required-scope" = json!("checks:run"))),
    responses((status = 200, content((RunBody = "application/json"), (String = "text/event-stream")))))]
async fn run(
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
    headers: HeaderMap,
    Body(wanted): Body<RunRequest>,
) -> Result<Response, ApiError> {
    let run = access.run_monitor(&id, wanted.regions.as_deref()).await?;
    answer(run, &headers).await
}

/// Checks a target that is no monitor. Its rows stand under the monitor `ad-hoc`.
#[utoipa::path(post, path = "/v1/checks", tag = "checks", request_body = CheckRequest,
    extensions(("x-required-scope" = json!("checks:run"))),
    responses((status = 200, content((RunBody = "application/json"), (String = "text/event-stream")))))]
async fn check(
    Caller(access): Caller,
    headers: HeaderMap,
    Body(wanted): Body<CheckRequest>,
) -> Result<Response, ApiError> {
    let id = MonitorId::new("ad-hoc").expect("it is a slug");
    let run = access
        .check_now(&id, wanted.config, wanted.regions.as_deref())
        .await?;
    answer(run, &headers).await
}

async fn answer(mut run: Run, headers: &HeaderMap) -> Result<Response, ApiError> {
    if wants_events(headers) {
        let events = Sse::new(events(run)).keep_alive(KeepAlive::default());
        return Ok(events.into_response());
    }
    let mut results = Vec::new();
    while let Some(result) = run.next().await? {
        results.push(result);
    }
    results.sort_by(|a, b| a.region.cmp(&b.region));
    Ok(Json(RunBody {
        run_id: run.id,
        results,
        unanswered: run.unanswered().into_iter().collect(),
    })
    .into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// Each result, and then the end.
fn events(run: Run) -> impl Stream<Item = Result<Event, Infallible>> {
    #[derive(Serialize)]
    struct Done {
        run_id: RunId,
        unanswered: Vec<Region>,
    }
    stream::unfold(Some(run), async |run| {
        let mut run = run?;
        match run.next().await {
            Ok(Some(result)) => Some((Ok(event("result", &result)), Some(run))),
            Ok(None) => {
                let done = Done {
                    run_id: run.id,
                    unanswered: run.unanswered().into_iter().collect(),
                };
                Some((Ok(event("done", &done)), None))
            }
            Err(error) => {
                tracing::error!(
                    error = sonde_core::chain(&error),
                    "a run cannot be followed"
                );
                let text = "the run cannot be followed any more: see the monitor's results";
                Some((Ok(Event::default().event("error").data(text)), None))
            }
        }
    })
}

pub(crate) fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("results have only string keys");
    Event::default().event(name).data(data)
}
