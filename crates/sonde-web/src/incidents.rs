//! The list of incidents: what is open first, each part with its newest first and a link to what is older.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State as Shared};
use axum::response::Response;
use serde::Deserialize;
use sonde_core::{IncidentStatus, MonitorId, Timestamp};
use sonde_service::incident_cursor;
use sonde_store::{Incident, IncidentQuery};
use uuid::Uuid;

use crate::incident::{notice, state};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

/// Of each part, on one page.
const SHOWN: u32 = 50;

/// By what people have to do.
const PARTS: [(IncidentStatus, &str); 3] = [
    (IncidentStatus::Open, "Open"),
    (IncidentStatus::Acknowledged, "Acknowledged"),
    (IncidentStatus::Resolved, "Resolved"),
];

/// One part from some place on; all of them from their beginning where none is named.
#[derive(Default, Deserialize)]
pub(crate) struct Asked {
    status: Option<IncidentStatus>,
    monitor: Option<MonitorId>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct Page {
    shell: Shell,
    sections: Vec<Section>,
}

struct Section {
    status: &'static str,
    title: &'static str,
    rows: Vec<Row>,
    /// What is older.
    more: Option<String>,
}

struct Row {
    id: Uuid,
    headline: String,
    state: &'static str,
    opened: String,
    opened_at: Timestamp,
    note: String,
}

pub(crate) async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let parts = PARTS.into_iter();
    let parts = parts.filter(|(status, _)| asked.status.is_none_or(|only| only == *status));
    let mut sections = Vec::new();
    for (status, title) in parts {
        sections.push(section(&viewer, &asked, status, title).await?);
    }
    let title = match &asked.monitor {
        Some(monitor) => format!("Incidents of {monitor}"),
        None => "Incidents".to_owned(),
    };
    html(&Page {
        shell: Shell::new(&viewer, Place::Incidents, title, pages.service.now()),
        sections,
    })
}

async fn section(
    viewer: &Viewer,
    asked: &Asked,
    status: IncidentStatus,
    title: &'static str,
) -> Result<Section, PageError> {
    let before = asked.cursor.as_deref().map(incident_cursor);
    let query = IncidentQuery {
        monitor: asked.monitor.clone(),
        status: Some(status),
        before: before
            .map(|before| before.ok_or(PageError::NotFound))
            .transpose()?,
        limit: SHOWN,
        ..IncidentQuery::default()
    };
    let page = viewer.access.incidents(query).await?;
    let monitor = asked.monitor.as_ref();
    let monitor = monitor.map_or_else(String::new, |id| format!("&monitor={id}"));
    let status = status.as_str();
    Ok(Section {
        status,
        title,
        rows: page
            .items
            .iter()
            .map(|it| row(viewer, it))
            .collect::<Result<_, _>>()?,
        more: page
            .next
            .map(|next| format!("/incidents?status={status}{monitor}&cursor={next}")),
    })
}

fn row(viewer: &Viewer, incident: &Incident) -> Result<Row, PageError> {
    let by = incident.acknowledged_by.as_ref();
    let notes = [
        by.map(|by| format!("{by} looks after it")),
        (incident.caused_by.as_ref()).map(|parent| format!("because of {parent}")),
        incident.flapping.then(|| "flapping".to_owned()),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    Ok(Row {
        id: incident.id,
        headline: notice(&viewer.access, incident)?.headline(),
        state: state(incident),
        opened: format::moment(incident.opened_at, viewer.zone),
        opened_at: incident.opened_at,
        note: notes.join(", "),
    })
}
