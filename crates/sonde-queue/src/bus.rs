//! What is told to whoever listens now: nobody listening is fine, nothing is kept, and some may be lost.

use async_trait::async_trait;
use sonde_core::RunId;

use crate::Result;

/// What an announcement is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The configuration changed: replicas sync at once.
    Config,
    /// A checker tells how it is: [`crate::fleet::Heartbeat`].
    Heartbeat,
    /// Asks every checker for a heartbeat now; no payload.
    RollCall,
    /// A checker asks the leader for the time: [`crate::fleet::ClockQuestion`].
    ClockQuestion,
    /// The leader's answer to one checker: [`crate::fleet::ClockAnswer`].
    ClockAnswer { checker: String },
    /// Results of one on-demand run, as their regions answer: [`crate::ResultsMessage`].
    Run { run_id: RunId },
    /// What is published to [`crate::Route::Results`] of a partition, to be heard beside the queues: never announced.
    Results { partition: u16 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    pub topic: Topic,
    pub payload: Vec<u8>,
}

#[async_trait]
pub trait Bus: Send + Sync {
    /// Returns when it is on its way; not confirmed.
    async fn announce(&self, announcement: Announcement) -> Result<()>;

    /// Hears what is announced from now on. A slow listener loses the oldest.
    async fn listen(&self, topics: &[Topic]) -> Result<Box<dyn Listener>>;
}

#[async_trait]
pub trait Listener: Send {
    /// Waits for the next announcement; a lost connection is restored meanwhile. Cancel safe.
    async fn next(&mut self) -> Result<Announcement>;
}
