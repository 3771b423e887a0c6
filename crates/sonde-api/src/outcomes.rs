//! `/v1/outcomes`: results as they come in, for workflows that react to them.

use std::convert::Infallible;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use sonde_core::{MonitorId, Outcome};
use sonde_service::{EventId, Following};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::Query;
use crate::openapi::OutcomeName;
use crate::problem::ApiError;
use crate::runs::event;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(outcomes))
}

/// Which outcomes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// Of this monitor only.
    #[param(value_type = Option<String>)]
    monitor: Option<MonitorId>,
    /// Only `ok`, `degraded`, `failed` or `missed`.
    #[param(value_type = Option<OutcomeName>)]
    outcome: Option<Outcome>,
    /// As the header `Last-Event-ID`, for who cannot send one.
    after: Option<String>,
}

/// A stream of Server-Sent Events `outcome`, one per result, scheduled or on demand.
///
/// Whoever comes back with `Last-Event-ID` misses nothing; after a long time some may come again: `check_id` tells them apart.
#[utoipa::path(get, path = "/v1/outcomes", tag = "results", params(Parameters),
    extensions(("x-required-scope" = json!("results:read")), ("x-endless" = json!(true))),
    responses((status = 200, content((String = "text/event-stream")))))]
async fn outcomes(
    Caller(access): Caller,
    headers: HeaderMap,
    Query(parameters): Query<Parameters>,
) -> Result<Response, ApiError> {
    let last = headers.get("last-event-id");
    let last = last.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let after = last.or_else(|| parameters.after.clone());
    let after = after.map(|id| id.parse::<EventId>()).transpose();
    let after = after.map_err(|()| ApiError::Parameter {
        field: "Last-Event-ID".to_owned(),
        message: "is no id of an event of this stream".to_owned(),
    })?;
    let following = access.follow(after).await?;
    let events = stream::unfold((following, parameters), next);
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

async fn next(
    (mut following, which): (Following, Parameters),
) -> Option<(Result<Event, Infallible>, (Following, Parameters))> {
    loop {
        match following.next().await {
            Ok(Some(found)) => {
                let result = &found.result;
                let of_monitor = which
                    .monitor
                    .as_ref()
                    .is_none_or(|id| *id == result.monitor);
                let of_outcome = which.outcome.is_none_or(|it| it == result.outcome);
                if of_monitor && of_outcome {
                    let event = event("outcome", result).id(found.id.to_string());
                    return Some((Ok(event), (following, which)));
                }
            }
            Ok(None) => return None,
            Err(error) => {
                // The client comes back with the last id.
                tracing::error!(
                    error = sonde_core::chain(&error),
                    "outcomes cannot be followed"
                );
                return None;
            }
        }
    }
}
