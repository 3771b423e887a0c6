//! Incidents, and what people do to them.

use sonde_core::Scope;
use sonde_notify::{ChannelConfig, IncidentNotice, Notice, NoticeEvent};
use sonde_store::{Annotation, Incident, IncidentEvent, IncidentQuery, NewNotice, Telling};
use url::Url;
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::entries::{Page, PageQuery};
use crate::{Result, ServiceError, channels};

const LONGEST_COMMENT: usize = 10_000;

/// An incident with its timeline, and who was told of it.
#[derive(Debug, Clone)]
pub struct IncidentView {
    pub incident: Incident,
    pub events: Vec<IncidentEvent>,
    pub told: Vec<Telling>,
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

    /// Somebody looks after it: nobody is reminded or woken up any more, and who was told of it hears of that. `link` leads
    /// to the incident.
    pub async fn acknowledge_incident(&self, id: Uuid, link: Option<Url>) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let tell = self.acknowledgements(permit, id, link).await?;
        let done = self
            .annotate(permit, id, Annotation::Acknowledge(tell))
            .await?;
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
        })
    }

    /// For every channel that has a use for one; the store knows which of them were told of the incident.
    async fn acknowledgements(
        &self,
        permit: Permit<'_>,
        id: Uuid,
        link: Option<Url>,
    ) -> Result<Vec<NewNotice>> {
        let (workspace, now) = (permit.workspace(), self.service.now());
        let alerts = &self.service.parts.alerts;
        let Some(incident) = alerts.incident(workspace, id).await? else {
            return Ok(Vec::new());
        };
        let Ok(detail) = serde_json::from_str::<IncidentNotice>(&incident.detail) else {
            tracing::error!(incident.id = %id, "an incident is unreadable: nobody is told who looks after it");
            return Ok(Vec::new());
        };
        let notice = Notice {
            id,
            workspace: workspace.clone(),
            event: NoticeEvent::Acknowledged,
            at: now,
            incident: IncidentNotice {
                acknowledged_by: Some(self.actor().name),
                ..detail
            },
            link,
        };
        let all = PageQuery {
            after: None,
            limit: channels::MOST,
        };
        let channels = permit.entries::<ChannelConfig>(&all).await?.items;
        let channels = channels.into_iter();
        Ok(channels
            .filter(|channel| channel.value.send.hears_acknowledgements())
            .map(|channel| {
                let name = format!("{}/acknowledged", channel.id);
                let notice = Notice {
                    id: Uuid::new_v5(&id, name.as_bytes()),
                    ..notice.clone()
                };
                NewNotice {
                    follows: true,
                    ..channels::queued(&notice, &channel.id, now)
                }
            })
            .collect())
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
