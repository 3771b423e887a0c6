//! Publishing with confirms: fast because a batch is on its way before the first confirmation is waited for.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::maybe_done;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Semaphore;

use super::link::{Link, unavailable, within};
use super::names::Address;
use crate::{Outgoing, QueueError, Result};

/// Until everything is confirmed, and also for a connection to come back. A quorum queue elects a new leader in less.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// At the same time, each on a channel of its own. The broker allows 2047 per connection by default.
const MOST_CHANNELS: usize = 64;

const PERSISTENT: u8 = 2;

/// Publishes each batch on a channel of its own, because lapin hands a returned message to whichever confirmation of
/// the channel comes next.
pub(super) struct Publisher {
    link: Link,
    idle: Mutex<Vec<Channel>>,
    turns: Semaphore,
}

#[derive(Debug, thiserror::Error)]
#[error("the broker refused a message")]
struct Refused;

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            idle: Mutex::default(),
            turns: Semaphore::new(MOST_CHANNELS),
        }
    }

    pub(super) async fn publish(&self, messages: &[Outgoing]) -> Result<()> {
        let addressed: Vec<_> = messages
            .iter()
            .map(|message| (Address::of(&message.route), &*message.payload))
            .collect();
        let unroutable = self.publish_to(&addressed).await?;
        match unroutable.first() {
            None => Ok(()),
            Some(&first) => Err(QueueError::Unroutable {
                route: messages[first].route.clone(),
                indexes: unroutable,
            }),
        }
    }

    /// Returns the places of those that no queue takes, ascending.
    pub(super) async fn publish_to(&self, messages: &[(Address, &[u8])]) -> Result<Vec<usize>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        within(PATIENCE, async {
            let _turn = self.turns.acquire().await.map_err(unavailable)?;
            self.link.unblocked().await;
            let channel = self.channel().await?;
            // Unless it comes to its end, nobody else may use the channel: confirmations are still to come.
            let sent = send(&channel, messages).await;
            let sent = sent.map_err(|error| self.link.error(&error))?;
            self.idle().push(channel);
            if sent.refused {
                return Err(unavailable(Refused));
            }
            Ok(sent.unroutable)
        })
        .await
    }

    async fn channel(&self) -> Result<Channel> {
        let idle = std::iter::from_fn(|| self.idle().pop());
        if let Some(channel) = idle.into_iter().find(|it| it.status().connected()) {
            return Ok(channel);
        }
        let channel = self.link.channel().await?;
        let confirming = channel
            .confirm_select(ConfirmSelectOptions::default())
            .await;
        confirming.map_err(|error| self.link.error(&error))?;
        Ok(channel)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Sent {
    unroutable: Vec<usize>,
    refused: bool,
}

async fn send(channel: &Channel, messages: &[(Address, &[u8])]) -> lapin::Result<Sent> {
    let mut confirmations: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| Box::pin(maybe_done(confirm(channel, index, message))))
        .collect();
    // Polled once, a message is in lapin's hands. After that they are awaited in order: others that are confirmed
    // meanwhile cost no wake-up of their own.
    poll_fn(|context| {
        for confirmation in &mut confirmations {
            let _ = confirmation.as_mut().poll(context);
        }
        std::task::Poll::Ready(())
    })
    .await;
    let mut sent = Sent::default();
    for mut confirmation in confirmations {
        confirmation.as_mut().await;
        let Some(outcome) = confirmation.as_mut().take_output() else {
            continue; // an awaited one has its output
        };
        let (confirmed, returned) = match outcome? {
            Confirmation::Ack(returned) => (true, returned),
            Confirmation::Nack(returned) => (false, returned),
            Confirmation::NotRequested => (false, None),
        };
        sent.refused |= !confirmed;
        if let Some(message) = returned {
            let id = message.properties.message_id().as_ref();
            match id.and_then(|id| id.as_str().parse().ok()) {
                Some(index) => sent.unroutable.push(index),
                None => sent.refused = true,
            }
        }
    }
    sent.unroutable.sort_unstable();
    Ok(sent)
}

async fn confirm(
    channel: &Channel,
    index: usize,
    (address, payload): &(Address, &[u8]),
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(index.to_string().into());
    let (exchange, key) = (address.exchange.into(), address.key.as_str().into());
    let publishing = channel.basic_publish(exchange, key, options, payload, properties);
    publishing.await?.await
}
