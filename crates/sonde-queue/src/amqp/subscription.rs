//! A stream of deliveries that outlives channels and connections. Tasks, results and announcements come through it.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::link::{Backoff, Link, within};
use crate::{QueueError, Result};

/// For one exchange of words with the broker.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Quorum queues hand out no more at a time to one consumer.
const MOST_PREFETCH: u16 = 2000;

/// How to subscribe on a fresh channel.
pub(super) trait Source: Send + Sync + 'static {
    /// For messages to people.
    fn name(&self) -> String;

    /// What has to exist first; returns the queue's name.
    fn prepare<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, lapin::Result<String>>;

    fn prefetch(&self) -> u16;

    /// What the first attempt gives up on. Later ones wait for it to pass.
    fn refusal(&self, error: &lapin::Error) -> Option<QueueError>;
}

pub(super) struct Subscription {
    link: Link,
    source: Arc<dyn Source>,
    state: State,
}

enum State {
    Receiving(Receiving),
    /// Kept between calls, so that a caller who cancels often does not begin anew each time.
    Subscribing(BoxFuture<'static, Result<Receiving>>),
    Ended,
}

struct Receiving {
    held: Arc<Held>,
    deliveries: lapin::Consumer,
    lost: BoxFuture<'static, ()>,
}

/// The channel that deliveries are settled on: open for as long as one of them is not.
pub(super) struct Held {
    channel: Channel,
    link: Link,
}

impl Subscription {
    /// Returns when subscribed, however long that takes, or at once when the source refuses.
    pub(super) async fn start(link: Link, source: Arc<dyn Source>) -> Result<Self> {
        let receiving = persist(&link, &*source, Persistence::UnlessRefused).await?;
        Ok(Self {
            link,
            source,
            state: State::Receiving(receiving),
        })
    }

    /// The next delivery, with the channel to settle it on. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<(Delivery, Arc<Held>)> {
        loop {
            match &mut self.state {
                State::Receiving(receiving) => match receiving.next().await {
                    Ok(delivery) => return Ok((delivery, Arc::clone(&receiving.held))),
                    Err(error) => self.lose(error),
                },
                State::Subscribing(subscribing) => {
                    let subscribed = subscribing.await;
                    self.state = State::Ended;
                    self.state = State::Receiving(subscribed?);
                }
                State::Ended => return Err(QueueError::Closed),
            }
        }
    }

    fn lose(&mut self, error: String) {
        let subscribing = resubscribe(self.link.clone(), Arc::clone(&self.source), error);
        self.state = State::Subscribing(subscribing.boxed());
    }
}

/// What it had not handed out yet goes back to the queue, and what it had stays valid.
impl Drop for Subscription {
    fn drop(&mut self) {
        let State::Receiving(receiving) = mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            let giving_back = timeout(PATIENCE, receiving.give_back());
            self.link.background.spawn_on(giving_back, &runtime);
        }
    }
}

impl Receiving {
    /// Or why there will be none. Cancel safe.
    async fn next(&mut self) -> Result<Delivery, String> {
        tokio::select! {
            biased;
            delivery = self.deliveries.next() => match delivery {
                Some(Ok(delivery)) => Ok(delivery),
                Some(Err(error)) => Err(error.to_string()),
                // The queue was deleted, or lost its leader.
                None => Err("cancelled by the broker".to_owned()),
            },
            // Lapin says so too, but nothing else would end this wait if it ever did not.
            () = &mut self.lost => Err("the connection is lost".to_owned()),
        }
    }

    async fn give_back(mut self) {
        let channel = &self.held.channel;
        if Arc::strong_count(&self.held) == 1 {
            // Without a cancellation before it: a successor must not get what comes later first.
            let ok = lapin::protocol::constants::REPLY_SUCCESS;
            let _ = channel.close(ok, "OK".into()).await;
            return;
        }
        let tag = self.deliveries.tag();
        let cancelled = channel.basic_cancel(tag, BasicCancelOptions::default());
        if cancelled.await.is_err() {
            return; // the channel is gone, and so everything is back in the queue
        }
        while let Some(Ok(delivery)) = self.deliveries.next().await {
            let options = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            let _ = on_its_way(channel.basic_nack(delivery.delivery_tag, options));
        }
    }
}

impl Held {
    pub(super) fn ack(&self, tag: u64) -> Result<()> {
        self.settled(on_its_way(
            self.channel.basic_ack(tag, BasicAckOptions::default()),
        ))
    }

    /// Not nack, which does not count towards the delivery limit from 4.3 on.
    pub(super) fn requeue(&self, tag: u64) -> Result<()> {
        let options = BasicRejectOptions { requeue: true };
        self.settled(on_its_way(self.channel.basic_reject(tag, options)))
    }

    pub(super) fn reject(&self, tag: u64) -> Result<()> {
        let options = BasicRejectOptions { requeue: false };
        self.settled(on_its_way(self.channel.basic_reject(tag, options)))
    }

    fn settled(&self, sent: lapin::Result<()>) -> Result<()> {
        sent.map_err(|error| self.link.error(&error))
    }
}

/// Hands a frame to lapin without waiting for the socket to take it: the broker does not confirm these, so that nothing
/// is known any better afterwards, and what is lost on the way comes again.
fn on_its_way(sending: impl Future<Output = lapin::Result<()>>) -> lapin::Result<()> {
    sending.now_or_never().unwrap_or(Ok(()))
}

enum Failure {
    Refused(QueueError),
    Passing(QueueError),
}

async fn subscribe(link: &Link, source: &dyn Source) -> Result<Receiving, Failure> {
    link.connection().await.map_err(Failure::Passing)?;
    let opening = within(PATIENCE, async {
        let (connection, channel) = link.open().await?;
        let consuming = consume(&channel, source).await;
        Ok(consuming.map(|deliveries| (connection, channel, deliveries)))
    });
    match opening.await.map_err(Failure::Passing)? {
        Ok((connection, channel, deliveries)) => Ok(Receiving {
            lost: link.lost(&connection).boxed(),
            held: Arc::new(Held {
                channel,
                link: link.clone(),
            }),
            deliveries,
        }),
        Err(error) => Err(match source.refusal(&error) {
            Some(refusal) => Failure::Refused(refusal),
            None => Failure::Passing(link.error(&error)),
        }),
    }
}

async fn consume(channel: &Channel, source: &dyn Source) -> lapin::Result<lapin::Consumer> {
    let queue = source.prepare(channel).await?;
    let prefetch = source.prefetch().clamp(1, MOST_PREFETCH);
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    consuming.await
}

async fn resubscribe(link: Link, source: Arc<dyn Source>, error: String) -> Result<Receiving> {
    tracing::warn!(queue.name = source.name(), error, "lost a subscription");
    let receiving = persist(&link, &*source, Persistence::Always).await?;
    tracing::info!(queue.name = source.name(), "subscribed again");
    Ok(receiving)
}

#[derive(PartialEq, Eq)]
enum Persistence {
    UnlessRefused,
    Always,
}

/// As long as it takes.
async fn persist(link: &Link, source: &dyn Source, persistence: Persistence) -> Result<Receiving> {
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let error = match subscribe(link, source).await {
            Ok(receiving) => return Ok(receiving),
            Err(Failure::Passing(QueueError::Closed)) => return Err(QueueError::Closed),
            Err(Failure::Refused(error)) if persistence == Persistence::UnlessRefused => {
                return Err(error);
            }
            Err(Failure::Passing(error) | Failure::Refused(error)) => error,
        };
        if !told {
            told = true;
            tracing::warn!(
                queue.name = source.name(),
                error = sonde_core::chain(&error),
                "cannot subscribe, trying on"
            );
        }
        backoff.wait().await;
    }
}
