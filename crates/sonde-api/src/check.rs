//! `/check`: all monitors now, answered with their outcomes.

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sonde_core::{CheckResult, Outcome};

use crate::Api;
use crate::caller::{Caller, authenticate};
use crate::problem::{ApiError, method_not_allowed};

#[derive(Serialize)]
pub(crate) struct CheckBody {
    summary: Counts,
    results: Vec<CheckResult>,
}

#[derive(Default, Serialize)]
struct Counts {
    /// Asked for; what has not answered in time is not among the results.
    total: usize,
    ok: usize,
    degraded: usize,
    failed: usize,
    missed: usize,
}

pub(crate) async fn run_all(Caller(access): Caller) -> Result<Json<CheckBody>, ApiError> {
    let views = access.overview().await?.into_iter();
    let mut monitors: Vec<_> = views.map(|view| view.monitor).collect();
    monitors.retain(|monitor| !monitor.paused && monitor.spec.heartbeat().is_none());
    let total = monitors.iter().map(|monitor| monitor.regions.len()).sum();
    let mut results = access.run_all(&monitors).await?;
    results.sort_by(|a, b| (&a.monitor, &a.region).cmp(&(&b.monitor, &b.region)));
    let count = |outcome| {
        results
            .iter()
            .filter(|result| result.outcome == outcome)
            .count()
    };
    let summary = Counts {
        total,
        ok: count(Outcome::Ok),
        degraded: count(Outcome::Degraded),
        failed: count(Outcome::Failed),
        missed: count(Outcome::Missed),
    };
    Ok(Json(CheckBody { summary, results }))
}

/// `/check`: every monitor now.
pub fn check_router(api: &Api) -> Router {
    Router::new()
        .route(
            "/check",
            get(run_all).post(run_all).head(method_not_allowed),
        )
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(api.clone(), authenticate))
}
