//! Tells what is to be told: each notice until its channel has it, and none because of another.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, Timestamp};
use sonde_notify::{ChannelConfig, Message, Notice, NoticeEvent, ReportNotice};
use sonde_store::{AlertStore, DueNotice, StoreError, Told};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::notices::reminder;
use crate::send::{SendError, Sender};

/// How often what became due is looked for, beside when somebody says that there is something.
const LOOK: Duration = Duration::from_secs(1);
/// Notices under way.
const MOST: usize = 64;
/// To one channel, so that one that hangs takes no others' place.
const MOST_OF_ONE: u32 = 4;
/// A notice that nobody takes is tried again after so long, each time twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// For about a day.
const MOST_ATTEMPTS: u32 = 150;
/// What was told is in the log of its channel for so long: nobody asks after a month why a message did not come.
const KEEP_NOTICES: Duration = Duration::from_hours(30 * 24);
/// The timeline of what is over, for those who look at a year; that there was an incident is kept for ever.
const KEEP_TIMELINES: Duration = Duration::from_hours(365 * 24);
/// Rows at once, a few milliseconds of the one writer.
const FORGET: u32 = 500;
const FORGET_MORE: Duration = Duration::from_mins(1);
const FORGET_AGAIN: Duration = Duration::from_hours(1);
/// Of one try.
const LONGEST_TRY: Duration = Duration::from_secs(20);

pub struct Courier {
    pub store: Arc<dyn AlertStore>,
    pub sender: Sender,
    pub clock: Arc<dyn Clock>,
    /// Rung when there is something to tell.
    pub told: Arc<Notify>,
}

impl Courier {
    /// Until `stop`; what is under way then may be told again.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = Arc::clone(&self).deliver(stop) => {}
            () = self.forget() => {}
        }
    }

    /// What was told long ago, little by little, for ever.
    async fn forget(&self) {
        loop {
            let now = self.clock.now();
            let (told, resolved) = (now - KEEP_NOTICES, now - KEEP_TIMELINES);
            let forgotten = self.store.forget(told, resolved, FORGET).await;
            let forgotten = forgotten.unwrap_or_else(|error| {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, "cannot forget what was told long ago");
                0
            });
            let wait = if forgotten > 0 {
                FORGET_MORE
            } else {
                FORGET_AGAIN
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        let mut tries = JoinSet::new();
        let mut under_way: HashSet<Uuid> = HashSet::new();
        loop {
            for notice in self.due().await {
                if under_way.len() < MOST && under_way.insert(notice.id) {
                    tries.spawn(Arc::clone(&self).try_one(notice));
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(done) = tries.join_next() => {
                    if let Ok(id) = done {
                        under_way.remove(&id);
                    }
                }
                () = self.told.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn due(&self) -> Vec<DueNotice> {
        let due = self.store.notices_due(self.clock.now(), MOST_OF_ONE).await;
        due.unwrap_or_else(|error| {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot read what is to be told");
            Vec::new()
        })
    }

    async fn try_one(self: Arc<Self>, due: DueNotice) -> Uuid {
        let id = due.id;
        if let Err(error) = self.tell(due).await {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, notice.id = %id, "cannot say what came of a notice: it may be told again");
        }
        id
    }

    async fn tell(&self, due: DueNotice) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut read = self.read(&due).await?;
        if let Ok((_, News::Incident(notice))) = &mut read {
            notice.incident.screenshot = self.screenshot(notice).await?;
        }
        let read = read.and_then(|(channel, news)| {
            let message = news.message(&channel, now);
            let message = message.ok_or("a channel of this kind takes no reports")?;
            Ok((channel, news, message))
        });
        let (channel, news, message) = match read {
            Ok(read) => read,
            Err(error) => return self.settle(&due, Told::Failed { error }, None).await,
        };
        let sent = timeout(LONGEST_TRY, self.sender.send(message)).await;
        let sent = sent.unwrap_or_else(|_| Err(SendError::again("no answer in time")));
        let told = match sent {
            Ok(()) => Told::Sent,
            Err(SendError {
                is_final, error, ..
            }) if is_final || due.attempts >= MOST_ATTEMPTS => Told::Failed { error },
            Err(SendError { wait, error, .. }) => {
                let wait = wait.unwrap_or_default().max(pause(due.attempts));
                Told::Again {
                    due: now + wait,
                    error,
                }
            }
        };
        if let Told::Failed { error } | Told::Again { error, .. } = &told {
            tracing::warn!(error, channel.id = due.channel, notice.id = %due.id, "cannot tell a notice");
        }
        let reminder = news.incident().and_then(|notice| {
            let at = reminds(&channel, notice, now).filter(|_| told == Told::Sent);
            Some(reminder(notice, &due.channel, at?))
        });
        self.settle(&due, told, reminder).await
    }

    /// There may be a picture by now.
    async fn screenshot(&self, notice: &Notice) -> Result<Option<Url>, StoreError> {
        let Some(place) = place_of_screenshot(notice) else {
            return Ok(None);
        };
        let incident = notice.incident.id;
        let screenshot = self.store.screenshot(&notice.workspace, incident).await?;
        let is_taken = screenshot.is_some_and(|it| it.taken.is_some());
        Ok(is_taken.then_some(place))
    }

    async fn settle(
        &self,
        due: &DueNotice,
        told: Told,
        reminder: Option<sonde_store::NewNotice>,
    ) -> Result<(), StoreError> {
        self.store
            .told(due.id, self.clock.now(), told, reminder)
            .await
    }

    /// The channel as it is now, and what it is to be told; or why that cannot be.
    async fn read(
        &self,
        due: &DueNotice,
    ) -> Result<Result<(ChannelConfig, News), String>, StoreError> {
        let Some(channel) = self.store.channel(&due.workspace, &due.channel).await? else {
            return Ok(Err("the channel was removed".to_owned()));
        };
        let read = || -> serde_json::Result<_> {
            Ok((
                serde_json::from_str(&channel)?,
                serde_json::from_str(&due.body)?,
            ))
        };
        Ok(read().map_err(|error| format!("it is unreadable: {error}")))
    }
}

/// The picture's place on the page of its incident, where who may not see the one sees neither.
fn place_of_screenshot(notice: &Notice) -> Option<Url> {
    let mut link = notice.link.clone()?;
    link.set_fragment(Some("screenshot"));
    Some(link)
}

/// What an outbox holds.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum News {
    Incident(Box<Notice>),
    Report(Box<ReportNotice>),
}

impl News {
    fn incident(&self) -> Option<&Notice> {
        match self {
            Self::Incident(notice) => Some(notice),
            Self::Report(_) => None,
        }
    }

    fn message(&self, channel: &ChannelConfig, at: Timestamp) -> Option<Message> {
        match self {
            Self::Incident(notice) => Some(channel.send.message(notice, at)),
            Self::Report(report) => channel.send.report(report, at),
        }
    }
}

/// When a channel is to be told again, if nobody does anything.
fn reminds(channel: &ChannelConfig, notice: &Notice, now: Timestamp) -> Option<Timestamp> {
    let first = matches!(notice.event, NoticeEvent::Opened | NoticeEvent::Reminded);
    // Of what takes weeks its thresholds remind.
    let is_slow = notice.incident.cause.is_expiry();
    let repeat = channel.repeat.filter(|_| first && !is_slow)?;
    channel.when(now + repeat)
}

fn pause(attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.min(16));
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_end() {
        let pauses = [0, 1, 2, 6, 7, 100].map(|attempts| pause(attempts).as_secs());
        assert_eq!(pauses, [5, 10, 20, 320, 600, 600]);
    }
}
