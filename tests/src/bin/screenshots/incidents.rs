//! An outage that is over, as the store keeps it.

use std::time::Duration;

use serde_json::json;
use sonde_core::{IncidentCause, Monitor, Timestamp};
use sonde_store::{AlertChange, AlertStore, IncidentChange, IncidentEventKind};
use uuid::Uuid;

use crate::history::Past;

/// The monitor's outage of the day, where that is over. `caused_by` is the monitor that it depends on.
pub(crate) async fn remember(
    store: &impl AlertStore,
    monitor: &Monitor,
    past: Past,
    now: Timestamp,
) -> sonde_store::Result<()> {
    let Some((from, to)) = past.outage() else {
        return Ok(());
    };
    let opened_at = now - Duration::from_mins(from);
    let resolved_at = now - Duration::from_mins(to);
    let id = Uuid::new_v4();
    let caused_by = monitor.depends_on.first();
    let detail = json!({
        "id": id,
        "monitor": monitor.id,
        "name": monitor.name,
        "target": monitor.target(),
        "cause": IncidentCause::Down,
        "opened_at": opened_at,
        "resolved_at": null,
        "acknowledged_by": null,
        "flapping": false,
        "regions": monitor.regions.iter().map(|region| json!({
            "region": region,
            "outcome": "failed",
            "reason": "http_status",
            "message": "got 502, expected 2xx",
            "since": opened_at,
        })).collect::<Vec<_>>(),
        "failed": [],
        "tags": monitor.tags,
        "caused_by": caused_by,
    });
    for (event, at) in [
        (IncidentEventKind::Opened, opened_at),
        (IncidentEventKind::Resolved, resolved_at),
    ] {
        let change = IncidentChange {
            id,
            workspace: monitor.workspace.clone(),
            monitor: monitor.id.clone(),
            event,
            at,
            cause: IncidentCause::Down,
            flapping: false,
            caused_by: caused_by.cloned(),
            detail: detail.to_string(),
        };
        let change = AlertChange {
            incidents: vec![change],
            ..AlertChange::default()
        };
        store.decide(change).await?;
    }
    Ok(())
}
