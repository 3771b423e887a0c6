//! `/v1/monitors`: what is watched, and where it stands.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sonde_core::{CheckResult, Kind, MonitorId, Outcome, Reason, Region, Timestamp};
use sonde_service::{MonitorView, Service};

use crate::problem::{ApiError, Path};

#[derive(Serialize)]
pub(crate) struct MonitorList {
    monitors: Vec<MonitorItem>,
}

/// A monitor without its secrets.
#[derive(Serialize)]
pub(crate) struct MonitorItem {
    id: MonitorId,
    name: String,
    kind: Kind,
    target: String,
    interval_us: u64,
    timeout_us: u64,
    regions: Vec<Region>,
    tags: Vec<String>,
    expect: Vec<String>,
    degraded: Vec<String>,
    state: sonde_service::State,
    last: Vec<LastResult>,
}

/// The newest result of one region.
#[derive(Serialize)]
struct LastResult {
    region: Region,
    slot: Timestamp,
    outcome: Outcome,
    reason: Option<Reason>,
    message: Option<String>,
    total_us: Option<u64>,
}

pub(crate) async fn list(State(service): State<Service>) -> Result<Json<MonitorList>, ApiError> {
    let monitors = service
        .overview()
        .await?
        .into_iter()
        .map(MonitorItem::from)
        .collect();
    Ok(Json(MonitorList { monitors }))
}

pub(crate) async fn show(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Json<MonitorItem>, ApiError> {
    let views = service.overview().await?;
    let found = views
        .into_iter()
        .find(|view| view.monitor.id.as_str() == id);
    let found = found.ok_or_else(|| ApiError::NotFound(format!("monitor `{id}` not found")))?;
    Ok(Json(found.into()))
}

impl From<MonitorView> for MonitorItem {
    fn from(view: MonitorView) -> Self {
        let monitor = view.monitor;
        let micros =
            |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            kind: monitor.spec.kind(),
            target: monitor.target(),
            interval_us: micros(monitor.interval),
            timeout_us: micros(monitor.timeout),
            expect: monitor.expect.iter().map(ToString::to_string).collect(),
            degraded: monitor.degraded.iter().map(ToString::to_string).collect(),
            id: monitor.id,
            name: monitor.name,
            regions: monitor.regions,
            tags: monitor.tags,
            state: view.state,
            last: view.latest.into_iter().map(LastResult::from).collect(),
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
