//! What people are told of an incident.

use std::time::Duration;

use sonde_core::{
    CheckResult, FailedAssertion, IncidentCause, Kind, Monitor, MonitorId, Outcome, Reason,
    Timestamp, WorkspaceId,
};
use sonde_notify::{IncidentNotice, Notice, NoticeEvent, RegionNotice};
use sonde_store::{IncidentEventKind, NewNotice};
use uuid::Uuid;

use crate::decide::{Expiring, OpenIncident, Quiet, RegionView, Shown};
use crate::engine::Watched;
use crate::routes::{Route, Routes};

/// The names of notices, so that what is decided again tells nobody twice.
const NAMESPACE: Uuid = Uuid::from_u128(0x3b0a_9c1e_52d7_4c88_b1f4_7a4e_90d2_6c15);

/// What is wrong in a region.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    outcome: Outcome,
    reason: Option<Reason>,
    message: Option<String>,
    failed: Vec<FailedAssertion>,
    pub(crate) since: Timestamp,
}

impl Fault {
    pub(crate) fn of(result: &CheckResult, since: Timestamp) -> Self {
        Self {
            outcome: result.outcome,
            reason: result.reason,
            message: result.message.clone(),
            failed: result.failed.clone(),
            since,
        }
    }
}

/// An incident of a monitor that is watched.
pub(crate) fn describe(
    watched: &Watched,
    incident: &OpenIncident,
    now: Timestamp,
) -> IncidentNotice {
    let monitor = &watched.monitor;
    let regions = watched.state.regions(monitor, now).into_iter();
    let assertions = watched.faults.values().flat_map(|fault| &fault.failed);
    let mut failed: Vec<FailedAssertion> = Vec::new();
    for assertion in assertions {
        if !failed.contains(assertion) {
            failed.push(assertion.clone());
        }
    }
    IncidentNotice {
        name: monitor.name.clone(),
        target: monitor.target(),
        regions: regions.map(|region| seen_from(watched, region)).collect(),
        failed,
        tags: monitor.tags.clone(),
        ..outline(&monitor.id, incident)
    }
}

/// What is known of an incident alone.
pub(crate) fn outline(monitor: &MonitorId, incident: &OpenIncident) -> IncidentNotice {
    let caused_by = match &incident.quiet {
        Some(Quiet::CausedBy(parent)) => Some(parent.clone()),
        Some(Quiet::Until(_) | Quiet::Recovering(_)) | None => None,
    };
    IncidentNotice {
        id: incident.id,
        monitor: monitor.clone(),
        name: monitor.to_string(),
        target: String::new(),
        cause: incident.cause,
        opened_at: incident.opened_at,
        resolved_at: None,
        acknowledged_by: None,
        flapping: incident.flapping,
        regions: Vec::new(),
        failed: Vec::new(),
        tags: Vec::new(),
        caused_by,
        screenshot: None,
    }
}

/// A certificate or a domain of a monitor that is watched.
pub(crate) fn describe_expiring(
    watched: &Watched,
    expiring: &Expiring,
    now: Timestamp,
) -> IncidentNotice {
    let monitor = &watched.monitor;
    let (reason, assertion) = match expiring.cause {
        IncidentCause::DomainExpiring => (Reason::AssertionDomain, "domain.days_left"),
        _ => (Reason::AssertionTls, "tls.days_left"),
    };
    let regions = monitor.regions.iter().map(|region| {
        let shown = watched.state.shown_end(region);
        let ends = shown.and_then(|shown| shown.ends);
        let is_near = ends.is_some_and(|ends| ends <= expiring.ends);
        RegionNotice {
            region: region.clone(),
            outcome: if is_near {
                Outcome::Degraded
            } else {
                Outcome::Ok
            },
            reason: is_near.then_some(reason),
            message: shown.and_then(|shown| end_in_words(monitor, shown)),
            since: expiring.opened_at,
        }
    });
    let left = expiring.ends.since(now).as_secs() / (24 * 60 * 60);
    IncidentNotice {
        name: monitor.name.clone(),
        target: monitor.target(),
        regions: regions.collect(),
        failed: vec![FailedAssertion {
            assertion: assertion.to_owned(),
            expected: format!("> {}", expiring.days),
            seen: left.to_string(),
        }],
        tags: monitor.tags.clone(),
        ..outline_of_expiring(&monitor.id, expiring)
    }
}

fn end_in_words(monitor: &Monitor, shown: &Shown) -> Option<String> {
    let ends = shown.ends?;
    if monitor.spec.kind() != Kind::Domain {
        return Some(format!("the certificate ends {ends}"));
    }
    let by = shown.registrar.as_ref();
    let by = by.map_or_else(String::new, |by| format!(", registered with {by}"));
    Some(format!(
        "the registration of {} ends {ends}{by}",
        monitor.target()
    ))
}

/// What is known of it alone.
pub(crate) fn outline_of_expiring(monitor: &MonitorId, expiring: &Expiring) -> IncidentNotice {
    IncidentNotice {
        id: expiring.id,
        monitor: monitor.clone(),
        name: monitor.to_string(),
        target: String::new(),
        cause: expiring.cause,
        opened_at: expiring.opened_at,
        resolved_at: None,
        acknowledged_by: None,
        flapping: false,
        regions: Vec::new(),
        failed: Vec::new(),
        tags: Vec::new(),
        caused_by: None,
        screenshot: None,
    }
}

fn seen_from(watched: &Watched, view: RegionView) -> RegionNotice {
    let fault = watched.faults.get(&view.region);
    let outcome = fault.map_or(Outcome::Ok, |fault| fault.outcome);
    RegionNotice {
        region: view.region,
        outcome: if view.is_fresh {
            outcome
        } else {
            Outcome::Missed
        },
        reason: fault.and_then(|fault| fault.reason),
        message: fault.and_then(|fault| fault.message.clone()),
        since: fault.map_or(view.heard, |fault| fault.since),
    }
}

/// One for each channel that takes it.
pub(crate) fn of<'a>(
    workspace: &'a WorkspaceId,
    event: IncidentEventKind,
    incident: &'a IncidentNotice,
    routes: &'a Routes,
    now: Timestamp,
) -> impl Iterator<Item = NewNotice> + use<'a> {
    // It was opened for one cause, and may end as another: who was told of it is known to the store.
    let taken_by: Vec<&Route> = match event {
        IncidentEventKind::Opened => routes.of(workspace, incident).collect(),
        _ => routes.all_of(workspace).collect(),
    };
    taken_by.into_iter().filter_map(move |route| {
        let name = format!("{}/{}/{event:?}/{}", incident.id, route.id, now.as_micros());
        let is_first = event == IncidentEventKind::Opened;
        let after = if is_first {
            route.config.after
        } else {
            Duration::ZERO
        };
        // Who was told hears how it went on, also when others are on call by then.
        let due = match route.config.when(now + after) {
            None if is_first => return None,
            due => due.unwrap_or(now),
        };
        let notice = Notice {
            id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
            workspace: workspace.clone(),
            event: told_as(event),
            at: now,
            incident: incident.clone(),
            link: routes.link(incident),
        };
        Some(queued(&notice, &route.id, due, !is_first))
    })
}

/// The next reminder of what was told.
pub(crate) fn reminder(notice: &Notice, channel: &str, due: Timestamp) -> NewNotice {
    let again = Notice {
        id: Uuid::new_v5(&NAMESPACE, format!("{}/again", notice.id).as_bytes()),
        event: NoticeEvent::Reminded,
        at: due,
        ..notice.clone()
    };
    queued(&again, channel, due, false)
}

fn queued(notice: &Notice, channel: &str, due: Timestamp, follows: bool) -> NewNotice {
    NewNotice {
        id: notice.id,
        workspace: notice.workspace.clone(),
        incident: notice.incident.id,
        channel: channel.to_owned(),
        body: serde_json::to_string(notice).expect("it has only string keys"),
        due,
        follows,
    }
}

fn told_as(event: IncidentEventKind) -> NoticeEvent {
    match event {
        IncidentEventKind::Opened => NoticeEvent::Opened,
        IncidentEventKind::Changed | IncidentEventKind::Commented => NoticeEvent::Changed,
        IncidentEventKind::Acknowledged => NoticeEvent::Acknowledged,
        IncidentEventKind::Resolved => NoticeEvent::Resolved,
    }
}
