//! Announcements: transient messages, and for each listener a queue of its own that vanishes with it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::options::{BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel};
use sonde_core::RunId;
use tokio::sync::Mutex;

use super::link::{Link, unavailable, within};
use super::names::{Address, CONFIG, FLEET, RESULTS};
use super::publish::PATIENCE;
use super::subscription::{Source, Subscription};
use crate::{Announcement, Listener, QueueError, Result, Route, Topic};

/// What a slow listener can be behind; beyond it the oldest is dropped.
const BACKLOG: i64 = 1000;
const PREFETCH: u16 = 100;

impl Address {
    fn of_topic(topic: &Topic) -> Self {
        match topic {
            Topic::Config => Self::new(CONFIG, ""),
            Topic::Heartbeat => Self::new(FLEET, "heartbeat"),
            Topic::RollCall => Self::new(FLEET, "roll-call"),
            Topic::ClockQuestion => Self::new(FLEET, "clock.ask"),
            Topic::ClockAnswer { checker } => Self::new(FLEET, format!("clock.answer.{checker}")),
            Topic::Run { run_id } => Self::new(FLEET, format!("run.{run_id}")),
            Topic::Results { partition } => Self::of(&Route::Results {
                partition: *partition,
            }),
        }
    }
}

fn topic(exchange: &str, key: &str) -> Option<Topic> {
    match (exchange, key) {
        (CONFIG, _) => Some(Topic::Config),
        (RESULTS, key) => {
            let partition = key.parse().ok()?;
            Some(Topic::Results { partition })
        }
        (FLEET, "heartbeat") => Some(Topic::Heartbeat),
        (FLEET, "roll-call") => Some(Topic::RollCall),
        (FLEET, "clock.ask") => Some(Topic::ClockQuestion),
        (FLEET, key) => {
            if let Some(checker) = key.strip_prefix("clock.answer.") {
                let checker = checker.to_owned();
                return Some(Topic::ClockAnswer { checker });
            }
            let run_id = RunId::from_u64(key.strip_prefix("run.")?.parse().ok()?);
            Some(Topic::Run { run_id })
        }
        _ => None,
    }
}

pub(super) struct Announcer {
    link: Link,
    channel: Mutex<Option<Channel>>,
}

impl Announcer {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            channel: Mutex::default(),
        }
    }

    pub(super) async fn announce(&self, announcement: Announcement) -> Result<()> {
        let Address { exchange, key } = Address::of_topic(&announcement.topic);
        let key = ShortString::try_new(key).map_err(unavailable)?;
        within(PATIENCE, async {
            self.link.unblocked().await;
            let channel = self.channel().await?;
            let publishing = channel.basic_publish(
                exchange.into(),
                key,
                BasicPublishOptions::default(),
                &announcement.payload,
                BasicProperties::default(),
            );
            let published = publishing.await;
            published.map_err(|error| self.link.error(&error))?;
            Ok(())
        })
        .await
    }

    async fn channel(&self) -> Result<Channel> {
        let mut channel = self.channel.lock().await;
        if let Some(open) = channel.as_ref().filter(|it| it.status().connected()) {
            return Ok(open.clone());
        }
        let open = self.link.channel().await?;
        Ok(channel.insert(open).clone())
    }
}

pub(super) async fn listen(link: &Link, topics: &[Topic]) -> Result<Box<dyn Listener>> {
    let addresses = topics.iter().map(Address::of_topic).collect();
    let source = Arc::new(TopicSource { addresses });
    let subscription = Subscription::start(link.clone(), source).await?;
    Ok(Box::new(AmqpListener { subscription }))
}

struct TopicSource {
    addresses: Vec<Address>,
}

impl Source for TopicSource {
    fn name(&self) -> String {
        "announcements".to_owned()
    }

    fn prepare<'a>(&'a self, channel: &'a Channel) -> BoxFuture<'a, lapin::Result<String>> {
        async {
            let queue = declare_own(channel, "", true).await?;
            for Address { exchange, key } in &self.addresses {
                let (name, exchange) = (queue.as_str().into(), (*exchange).into());
                let (key, options) = (key.as_str().into(), QueueBindOptions::default());
                let binding =
                    channel.queue_bind(name, exchange, key, options, FieldTable::default());
                binding.await?;
            }
            Ok(queue)
        }
        .boxed()
    }

    fn prefetch(&self) -> u16 {
        PREFETCH
    }

    fn refusal(&self, _: &lapin::Error) -> Option<QueueError> {
        None
    }
}

/// A queue that nobody else sees and that ends with the connection, or already with its consumer. Without a name the
/// broker gives it one.
pub(super) async fn declare_own(
    channel: &Channel,
    name: &str,
    auto_delete: bool,
) -> lapin::Result<String> {
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(BACKLOG));
    // Where an operator made quorum queues the default: those cannot be exclusive.
    let classic = AMQPValue::LongString("classic".into());
    arguments.insert("x-queue-type".into(), classic);
    let queue = channel
        .queue_declare(name.into(), options, arguments)
        .await?;
    Ok(queue.name().to_string())
}

struct AmqpListener {
    subscription: Subscription,
}

#[async_trait]
impl Listener for AmqpListener {
    async fn next(&mut self) -> Result<Announcement> {
        loop {
            let (delivery, held) = self.subscription.next().await?;
            // A failure means that the channel is gone, and with it the queue.
            let _ = held.ack(delivery.delivery_tag);
            let topic = topic(delivery.exchange.as_str(), delivery.routing_key.as_str());
            if let Some(topic) = topic {
                let payload = delivery.data;
                return Ok(Announcement { topic, payload });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_reads_back_from_its_address() {
        let checker = "fra.1".to_owned();
        let run_id = RunId::from_u64(7);
        for expected in [
            Topic::Config,
            Topic::Heartbeat,
            Topic::RollCall,
            Topic::ClockQuestion,
            Topic::ClockAnswer { checker },
            Topic::Run { run_id },
            Topic::Results { partition: 3 },
        ] {
            let Address { exchange, key } = Address::of_topic(&expected);
            assert_eq!(topic(exchange, &key), Some(expected));
        }
    }
}
