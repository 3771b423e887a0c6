//! Incidents, and what people do to them.

use bytes::Bytes;
use sonde_core::Scope;
use sonde_store::{Annotation, Incident, IncidentEvent, IncidentQuery, Screenshot, Telling};
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::entries::Page;
use crate::{Result, ServiceError};

const LONGEST_COMMENT: usize = 10_000;

/// An incident with its timeline, and who was told of it.
#[derive(Debug, Clone)]
pub struct IncidentView {
    pub incident: Incident,
    pub events: Vec<IncidentEvent>,
    pub told: Vec<Telling>,
    /// Of an http monitor, once somebody tried.
    pub screenshot: Option<Screenshot>,
}

impl Access {
    /// The newest first; what follows is asked for with the last one.
    pub async fn incidents(&self, query: IncidentQuery) -> Result<Page<Incident>> {
        let permit = self.whole(Scope::AlertsRead)?;
        let limit = query.limit;
        let asked = IncidentQuery {
            limit: limit.saturating_add(1),
            ..query
        };
        let found = self
            .service
            .parts
            .alerts
            .incidents(permit.workspace(), &asked);
        Ok(Page::of(found.await?, limit, |incident| {
            format!("{}_{}", incident.opened_at.as_micros(), incident.id)
        }))
    }

    pub async fn incident(&self, id: Uuid) -> Result<IncidentView> {
        self.incident_view(self.whole(Scope::AlertsRead)?, id).await
    }

    /// How its page looked, as PNG.
    pub async fn screenshot(&self, id: Uuid) -> Result<Bytes> {
        let permit = self.whole(Scope::AlertsRead)?;
        let (parts, workspace) = (&self.service.parts, permit.workspace());
        let known = parts.alerts.screenshot(workspace, id).await?;
        let found = match known.and_then(|it| it.taken) {
            Some(_) => parts.pictures.get(workspace, id).await?,
            None => None,
        };
        found.ok_or_else(|| ServiceError::NotFound {
            what: "screenshot of incident",
            id: id.to_string(),
        })
    }

    /// Somebody looks after it: nobody is reminded or woken up any more.
    pub async fn acknowledge_incident(&self, id: Uuid) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let done = self.annotate(permit, id, Annotation::Acknowledge).await?;
        let view = self.incident_view(permit, id).await?;
        if done {
            return Ok(view);
        }
        let why = format!("the incident is {} already", view.incident.status.as_str());
        Err(ServiceError::Refused(why))
    }

    pub async fn comment_incident(&self, id: Uuid, text: String) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        if text.trim().is_empty() || text.chars().count() > LONGEST_COMMENT {
            let message = format!("must be 1 to {LONGEST_COMMENT} characters");
            return Err(ServiceError::invalid("text", message));
        }
        self.annotate(permit, id, Annotation::Comment(text)).await?;
        self.incident_view(permit, id).await
    }

    async fn incident_view(&self, permit: Permit<'_>, id: Uuid) -> Result<IncidentView> {
        let (alerts, workspace) = (&self.service.parts.alerts, permit.workspace());
        let incident = alerts.incident(workspace, id).await?;
        Ok(IncidentView {
            incident: incident.ok_or_else(|| not_found(id))?,
            events: alerts.incident_events(workspace, id).await?,
            told: alerts.tellings(workspace, id).await?,
            screenshot: alerts.screenshot(workspace, id).await?,
        })
    }

    async fn annotate(&self, permit: Permit<'_>, id: Uuid, what: Annotation) -> Result<bool> {
        let (by, now) = (self.actor().name, self.service.now());
        let alerts = &self.service.parts.alerts;
        let done = alerts.annotate(permit.workspace(), id, what, &by, now);
        Ok(done.await?)
    }
}

fn not_found(id: Uuid) -> ServiceError {
    ServiceError::NotFound {
        what: "incident",
        id: id.to_string(),
    }
}
