//! `/check`: all monitors now, answered with their outcomes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sonde_core::{CheckResult, Outcome};
use sonde_service::Service;

use crate::problem::ApiError;

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

pub(crate) async fn run_all(State(service): State<Service>) -> Result<Json<CheckBody>, ApiError> {
    let mut monitors = service.monitors().await?;
    monitors.retain(|monitor| !monitor.paused);
    let total = monitors.iter().map(|monitor| monitor.regions.len()).sum();
    let mut results = service.run_now(&monitors).await?;
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
