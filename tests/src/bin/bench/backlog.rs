//! What waits in the broker's queues, asked of the queues themselves: the management API counts only every few seconds.

use anyhow::Context as _;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use sonde_tests::services::Amqp;

/// Messages that nobody holds, by where in the flow they wait.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    pub(crate) tasks: u64,
    /// In messages, each of many results.
    pub(crate) results: u64,
    pub(crate) dead: u64,
}

impl Waiting {
    pub(crate) fn total(self) -> u64 {
        self.tasks + self.results + self.dead
    }

    /// The most of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.max(other.tasks),
            results: self.results.max(other.results),
            dead: self.dead.max(other.dead),
        }
    }
}

pub(crate) struct Backlog {
    _connection: Connection,
    channel: Channel,
    queues: Vec<String>,
}

pub(crate) async fn connect(url: &str) -> anyhow::Result<Connection> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await;
    connection.context("cannot connect to the broker")
}

impl Backlog {
    /// Of the queues that exist now, but those of alerters.
    pub(crate) async fn of(amqp: &Amqp) -> anyhow::Result<Self> {
        Self::matching(amqp, |name| {
            let flow = name.starts_with("checks.") || name.starts_with("results.");
            flow && !name.starts_with("results.alert.")
        })
        .await
    }

    /// Of the queues of alerters.
    pub(crate) async fn of_alerts(amqp: &Amqp) -> anyhow::Result<Self> {
        Self::matching(amqp, |name| name.starts_with("results.alert.")).await
    }

    async fn matching(amqp: &Amqp, is_meant: fn(&str) -> bool) -> anyhow::Result<Self> {
        let connection = connect(&amqp.url).await?;
        let channel = connection.create_channel().await?;
        let mut queues: Vec<String> = amqp.queues().await.into_iter().map(|it| it.0).collect();
        queues.retain(|name| is_meant(name));
        anyhow::ensure!(!queues.is_empty(), "the broker has no queues");
        Ok(Self {
            _connection: connection,
            channel,
            queues,
        })
    }

    pub(crate) async fn now(&self) -> anyhow::Result<Waiting> {
        let mut waiting = Waiting::default();
        for name in &self.queues {
            let messages = u64::from(count(&self.channel, name).await?);
            if name == "checks.dead" {
                waiting.dead += messages;
            } else if name.starts_with("checks.") {
                waiting.tasks += messages;
            } else {
                waiting.results += messages;
            }
        }
        Ok(waiting)
    }
}

async fn count(channel: &Channel, queue: &str) -> anyhow::Result<u32> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    Ok(declared.await?.message_count())
}
