//! Channels: where incidents are told.

use std::time::Duration;

use sonde_core::{IncidentCause, Scope, Timestamp};
use sonde_notify::{ChannelConfig, Notice, NoticeEvent};
use sonde_store::{AlertChange, Expected, NewNotice, Put, ResourceKind, Telling};
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::entries::{Body, Entry, Page, PageQuery, decode, encode, refuse_managed};
use crate::error::{noted, refuse_any, taken};
use crate::{FieldProblem, Result, ServiceError};

/// Everything that is told is told to each of them.
pub(crate) const MOST: u32 = 100;
const LONGEST_ID: usize = 100;
/// So that whoever is on call there sees it.
const TEST: Duration = Duration::from_mins(1);
/// Of the log of a channel.
const SHOWN: u32 = 100;

impl Body for ChannelConfig {
    const KIND: ResourceKind = ResourceKind::Channel;
    const WHAT: &'static str = "channel";
}

impl Access {
    /// Without secrets, here and below.
    pub async fn channels(&self, query: &PageQuery) -> Result<Page<Entry<ChannelConfig>>> {
        self.whole(Scope::AlertsRead)?.entries(query).await
    }

    pub async fn channel(&self, id: &str) -> Result<Entry<ChannelConfig>> {
        self.whole(Scope::AlertsRead)?.entry(id).await
    }

    /// Whether a channel would be taken, a new one or as a change of what is there. Nothing is written.
    pub async fn check_channel(&self, id: &str, config: ChannelConfig, is_new: bool) -> Result<()> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let stored = self.stored_channel(permit, id).await?;
        let mut problems = Vec::new();
        if is_new {
            noted(refuse_id(id), &mut problems)?;
            problems.extend(stored.as_ref().map(|_| taken("channel", id)));
        }
        let stored = stored.filter(|_| !is_new);
        noted(sound(config, stored.as_ref()), &mut problems)?;
        refuse_any(problems)
    }

    /// Makes it, or makes it so; masked secrets are those that are stored. True when it is new.
    pub async fn put_channel(
        &self,
        id: &str,
        config: ChannelConfig,
        expected: Expected,
    ) -> Result<(Entry<ChannelConfig>, bool)> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let stored = self.stored_channel(permit, id).await?;
        let is_new = stored.is_none();
        if !is_new {
            let there = permit.entry::<ChannelConfig>(id).await?;
            refuse_managed(id, &there.meta)?;
        }
        if is_new {
            refuse_id(id)?;
            let why = format!("a workspace has {MOST} channels at most");
            permit.refuse_more_than::<ChannelConfig>(MOST, &why).await?;
        }
        let config = sound(config, stored.as_ref())?;
        let mut change = permit.change();
        let mut put = Put::other(ResourceKind::Channel, id, encode(&config.masked()));
        put.secrets = Some(encode(&config));
        change.puts.push(put.expecting(expected));
        permit.commit(change).await?;
        Ok((permit.entry(id).await?, is_new))
    }

    /// With its secrets.
    async fn stored_channel(&self, permit: Permit<'_>, id: &str) -> Result<Option<ChannelConfig>> {
        let alerts = &self.service.parts.alerts;
        let stored = alerts.channel(permit.workspace(), id).await?;
        stored.map(|body| decode(id, &body)).transpose()
    }

    pub async fn remove_channel(&self, id: &str, expected: Expected) -> Result<()> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let there = permit.entry::<ChannelConfig>(id).await?;
        refuse_managed(id, &there.meta)?;
        permit.remove::<ChannelConfig>(id, expected).await
    }

    /// Tells a channel something, to see whether it comes; the log says what came of it. Where that stays open until its
    /// end is told, it ends by itself.
    pub async fn test_channel(&self, id: &str) -> Result<Uuid> {
        let permit = self.whole(Scope::AlertsWrite)?;
        let channel = permit.entry::<ChannelConfig>(id).await?.value;
        let now = self.service.now();
        let mut notice = Notice::sample(NoticeEvent::Test);
        notice.id = Uuid::new_v4();
        notice.workspace = permit.workspace().clone();
        notice.at = now;
        notice.link = None;
        notice.incident.id = Uuid::new_v4();
        notice.incident.cause = IncidentCause::Down;
        notice.incident.opened_at = now;
        let mut notices = vec![queued(&notice, id, now)];
        if channel.send.keeps_open() {
            let end = now + TEST;
            let mut ended = notice.clone();
            ended.id = Uuid::new_v4();
            ended.event = NoticeEvent::Resolved;
            ended.at = end;
            ended.incident.resolved_at = Some(end);
            notices.push(queued(&ended, id, end));
        }
        let change = AlertChange {
            notices,
            ..AlertChange::default()
        };
        self.service.parts.alerts.decide(change).await?;
        Ok(notice.id)
    }

    /// What it was told, the newest first.
    pub async fn channel_log(&self, id: &str) -> Result<Vec<Telling>> {
        let permit = self.whole(Scope::AlertsRead)?;
        permit.entry::<ChannelConfig>(id).await?;
        let alerts = &self.service.parts.alerts;
        Ok(alerts.tellings_to(permit.workspace(), id, SHOWN).await?)
    }
}

/// For the outbox.
pub(crate) fn queued(notice: &Notice, channel: &str, due: Timestamp) -> NewNotice {
    NewNotice {
        id: notice.id,
        workspace: notice.workspace.clone(),
        incident: notice.incident.id,
        channel: channel.to_owned(),
        body: serde_json::to_string(notice).expect("it has only string keys"),
        due,
        follows: false,
    }
}

pub(crate) fn refuse_id(id: &str) -> Result<()> {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(sound) {
        return Ok(());
    }
    let message = format!("must be 1 to {LONGEST_ID} of a-z, 0-9, `-` and `_`");
    Err(ServiceError::invalid("id", message))
}

/// With the secrets that are stored, where nothing is wrong with it.
fn sound(mut config: ChannelConfig, stored: Option<&ChannelConfig>) -> Result<ChannelConfig> {
    config
        .unmask(stored)
        .map_err(|error| ServiceError::invalid("send", error.to_string()))?;
    let problems = config.validate().into_iter();
    let problems = problems.map(|problem| FieldProblem::new(problem.path, problem.message));
    refuse_any(problems.collect())?;
    Ok(config)
}
