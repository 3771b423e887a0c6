//! Queues between the roles: what travels, where it goes, and who may take it.
//!
//! Every hop is at-least-once. [`memory`] serves one process, [`amqp`] a fleet; both pass the same conformance suites.

pub mod amqp;
mod batch;
mod bus;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod cron_message;
mod election;
pub mod fleet;
mod ledger_message;
pub mod memory;
mod message;
mod topology;

use async_trait::async_trait;

pub use batch::{RESULTS_PER_MESSAGE, results_messages};
pub use bus::{Announcement, Bus, Listener, Topic};
pub use cron_message::CronMessage;
pub use election::{Election, Leader, Office};
pub use ledger_message::{ClassWatermark, LedgerMessage, WatermarkMessage};
pub use message::{MessageError, ResultsMessage, TaskMessage, Unreadable};
pub use sonde_seal::{InvalidKey, SealingKeys};
pub use topology::{
    DeadLetters, NOTIFICATION_DELAYS, QueueDeclaration, QueueName, Route, Topology,
};

/// A queue failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The backend has shut down; nothing more will come.
    #[error("the queue is closed")]
    Closed,
    /// No queue is bound to the route of these messages: declare the topology. All others are published.
    #[error("no queue takes {route}")]
    Unroutable {
        /// Of the first of them.
        route: Route,
        /// Places in what was to be published, ascending.
        indexes: Vec<usize>,
    },
    #[error("queue {0} is not declared")]
    NotDeclared(QueueName),
    /// Declared otherwise by somebody else: only a person can decide what becomes of it.
    #[error("{what} is declared otherwise: {text}")]
    Conflict {
        /// `queue …` or `exchange …`.
        what: String,
        /// The broker's words.
        text: String,
    },
    /// Nothing that is there can be read: a newer release may have written it.
    #[error("what is in queue {queue} is unreadable")]
    Unreadable {
        queue: QueueName,
        #[source]
        source: MessageError,
    },
    #[error("{backend} queue unavailable")]
    Unavailable {
        backend: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = QueueError> = std::result::Result<T, E>;

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub route: Route,
    pub payload: Vec<u8>,
}

/// Why a message was dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It waited longer than its queue's time to live.
    Expired,
    /// It was handed out more often than the delivery limit.
    DeliveryLimit,
    /// A consumer rejected it.
    Rejected,
}

/// A received message. Dropping it unsettled leaves it to be redelivered.
pub struct Delivery {
    pub payload: Vec<u8>,
    /// Earlier deliveries that were not acknowledged.
    pub redeliveries: u32,
    /// Set on what comes from a dead-letter queue.
    pub death: Option<Death>,
    settle: Box<dyn Settle>,
}

impl Delivery {
    pub fn new(
        payload: Vec<u8>,
        redeliveries: u32,
        death: Option<Death>,
        settle: Box<dyn Settle>,
    ) -> Self {
        Self {
            payload,
            redeliveries,
            death,
            settle,
        }
    }

    /// Done: it never comes again.
    pub async fn ack(self) -> Result<()> {
        self.settle.ack().await
    }

    /// Not done: it is delivered again, at most as often as the delivery limit says.
    pub async fn requeue(self) -> Result<()> {
        self.settle.requeue().await
    }

    /// Never to be done: to the dead letters.
    pub async fn reject(self) -> Result<()> {
        self.settle.reject().await
    }
}

/// How a backend settles one delivery. Dropped unsettled means redelivery.
#[async_trait]
pub trait Settle: Send {
    async fn ack(self: Box<Self>) -> Result<()>;
    async fn requeue(self: Box<Self>) -> Result<()>;
    async fn reject(self: Box<Self>) -> Result<()>;
}

/// One subscription to one queue.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next message. Cancel safe: nothing is lost when dropped before it resolves.
    async fn receive(&mut self) -> Result<Delivery>;
}

#[async_trait]
pub trait Queue: Send + Sync {
    /// Makes the queues exist; declaring what exists already changes nothing.
    async fn declare(&self, topology: &Topology) -> Result<()>;

    /// Returns when all of them are confirmed. After an error some may have been published: publish all again.
    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()>;

    /// Subscribes with at most `prefetch` unsettled messages at a time.
    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>>;

    /// What waits in a queue and who takes it, for metrics and for draining.
    async fn depth(&self, queue: &QueueName) -> Result<Depth>;
}

/// A moment of a queue; brokers count lazily.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that nobody holds.
    pub ready: u64,
    pub consumers: u32,
}
