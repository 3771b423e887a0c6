//! Incidents, and what people do to them.

use bytes::Bytes;
use sonde_core::{Scope, Timestamp};
use sonde_notify::{Channel, ChannelConfig, IncidentNotice, Notice, NoticeEvent};
use sonde_store::{
    Annotation, Incident, IncidentEvent, IncidentQuery, NewNotice, Resolution, Screenshot,
    StoreError, Telling,
};
use url::Url;
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::entries::{Page, PageQuery};
use crate::{Result, ServiceError, channels};

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

    /// Somebody looks after it: nobody is reminded or woken up any more, and who was told of it hears of that.
    pub async fn acknowledge_incident(&self, id: Uuid) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let incident = self.incident_view(permit, id).await?.incident;
        let tell = self
            .follow_ups(permit, &incident, NoticeEvent::Acknowledged)
            .await?;
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

    /// It is over, whatever its target does: who was told of it hears that. If the target goes on failing, as often as it takes
    /// to open an incident, that is another one.
    pub async fn resolve_incident(&self, id: Uuid) -> Result<IncidentView> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let incident = self.incident_view(permit, id).await?.incident;
        if incident.cause.is_expiry() {
            let why = "it ends with the renewal: acknowledge it to be reminded no more";
            return Err(ServiceError::Refused(why.to_owned()));
        }
        let notices = self
            .follow_ups(permit, &incident, NoticeEvent::Resolved)
            .await?;
        let resolution = Resolution {
            id,
            by: self.actor().name,
            at: self.service.now(),
            notices,
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
            screenshot: alerts.screenshot(workspace, id).await?,
        })
    }

    /// What a person did, for every channel that has a use for it; the store knows which of them were told of the incident.
    async fn follow_ups(
        &self,
        permit: Permit<'_>,
        incident: &Incident,
        event: NoticeEvent,
    ) -> Result<Vec<NewNotice>> {
        let (id, now) = (incident.id, self.service.now());
        let mut notice = Notice {
            id,
            workspace: permit.workspace().clone(),
            event,
            at: now,
            incident: detail(incident)?,
            link: self.link(id),
        };
        let mut hears: fn(&Channel) -> bool = |_| true;
        let mut name = "resolved";
        if event == NoticeEvent::Acknowledged {
            notice.incident.acknowledged_by = Some(self.actor().name);
            (hears, name) = (Channel::hears_acknowledgements, "acknowledged");
        } else {
            notice.incident.resolved_at = Some(now);
        }
        let all = PageQuery {
            after: None,
            limit: channels::MOST,
        };
        let channels = permit.entries::<ChannelConfig>(&all).await?.items;
        let channels = channels.into_iter().filter(|it| hears(&it.value.send));
        let notices = channels.map(|channel| {
            // Each happens once.
            let name = format!("{}/{name}", channel.id);
            notice.id = Uuid::new_v5(&id, name.as_bytes());
            NewNotice {
                follows: true,
                ..channels::queued(&notice, &channel.id, now)
            }
        });
        Ok(notices.collect())
    }

    async fn annotate(&self, permit: Permit<'_>, id: Uuid, what: Annotation) -> Result<bool> {
        let (by, now) = (self.actor().name, self.service.now());
        let alerts = &self.service.parts.alerts;
        let done = alerts.annotate(permit.workspace(), id, what, &by, now);
        Ok(done.await?)
    }
}

fn detail(incident: &Incident) -> Result<IncidentNotice> {
    let detail = serde_json::from_str(&incident.detail).map_err(|source| {
        ServiceError::Store(StoreError::Corrupt {
            what: "incident",
            id: incident.id.to_string(),
            source: source.into(),
        })
    });
    Ok(IncidentNotice {
        acknowledged_by: incident.acknowledged_by.clone(),
        ..detail?
    })
}

fn not_found(id: Uuid) -> ServiceError {
    ServiceError::NotFound {
        what: "incident",
        id: id.to_string(),
    }
}
