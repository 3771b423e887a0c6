//! Incidents, and what people do to them.

use sonde_core::{Scope, Timestamp};
use sonde_notify::{IncidentNotice, Notice, NoticeEvent};
use sonde_store::{
    Annotation, Incident, IncidentEvent, IncidentQuery, NewNotice, Resolution, ResourceKind,
    StoreError, Telling,
};
use url::Url;
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::channels::MOST as MOST_CHANNELS;
use crate::entries::Page;
use crate::{Result, ServiceError};

/// Where a page of incidents begins: its `next` of the page before, read.
pub fn incident_cursor(text: &str) -> Option<(Timestamp, Uuid)> {
    let (micros, id) = text.split_once('_')?;
    Some((
        Timestamp::from_micros(micros.parse().ok()?),
        id.parse().ok()?,
    ))
}

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

    /// It is over, whatever its target does: who was told of it hears that. If the target goes on failing, as often as it takes
    /// to open an incident, that is another one.
    pub async fn resolve_incident(&self, id: Uuid) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let view = self.incident_view(permit, id).await?;
        let now = self.service.now();
        let resolution = Resolution {
            id,
            by: self.actor().name,
            at: now,
            notices: recovery(permit, &view.incident, self.link(id), now).await?,
        };
        let alerts = &self.service.parts.alerts;
        if !alerts.resolve(permit.workspace(), resolution).await? {
            return Err(ServiceError::Refused(
                "the incident is resolved already".to_owned(),
            ));
        }
        // So that the alerter begins anew at once.
        self.service.tell_of_change().await;
        self.incident_view(permit, id).await
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

    /// To its page.
    fn link(&self, id: Uuid) -> Option<Url> {
        let public_url = self.service.parts.public_url.as_ref()?;
        public_url.join(&format!("incidents/{id}")).ok()
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

    async fn annotate(&self, permit: Permit<'_>, id: Uuid, what: Annotation) -> Result<bool> {
        let (by, now) = (self.actor().name, self.service.now());
        let alerts = &self.service.parts.alerts;
        let done = alerts.annotate(permit.workspace(), id, what, &by, now);
        Ok(done.await?)
    }
}

/// For every channel: the store knows which of them were told of the incident.
async fn recovery(
    permit: Permit<'_>,
    incident: &Incident,
    link: Option<Url>,
    now: Timestamp,
) -> Result<Vec<NewNotice>> {
    let detail: IncidentNotice = serde_json::from_str(&incident.detail).map_err(|source| {
        ServiceError::Store(StoreError::Corrupt {
            what: "incident",
            id: incident.id.to_string(),
            source: source.into(),
        })
    })?;
    let detail = IncidentNotice {
        resolved_at: Some(now),
        acknowledged_by: incident.acknowledged_by.clone(),
        ..detail
    };
    let kind = ResourceKind::Channel;
    let store = permit.store();
    let channels = store.resources(permit.workspace(), kind, "", MOST_CHANNELS);
    let channels = channels.await?.into_iter().map(|channel| channel.value.id);
    let notices = channels.map(|channel| {
        let notice = Notice {
            // An incident ends once.
            id: Uuid::new_v5(&incident.id, format!("{channel}/resolved").as_bytes()),
            workspace: permit.workspace().clone(),
            event: NoticeEvent::Resolved,
            at: now,
            incident: detail.clone(),
            link: link.clone(),
        };
        NewNotice {
            id: notice.id,
            workspace: notice.workspace.clone(),
            incident: incident.id,
            body: serde_json::to_string(&notice).expect("it has only string keys"),
            channel,
            due: now,
            follows: true,
        }
    });
    Ok(notices.collect())
}

fn not_found(id: Uuid) -> ServiceError {
    ServiceError::NotFound {
        what: "incident",
        id: id.to_string(),
    }
}
