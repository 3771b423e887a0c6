//! What checkers and the leader tell each other, as JSON with a version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sonde_core::{Region, Timestamp};

use crate::MessageError;
use crate::message::require_version;

/// The version of every message here.
const VERSION: u8 = 1;

/// How a checker is, every few seconds and when asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    v: u8,
    #[serde(flatten)]
    pub status: CheckerStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckerStatus {
    pub id: String,
    pub version: String,
    pub region: Region,
    pub started_at: Timestamp,
    /// Checks being executed.
    pub in_flight: u32,
    /// Checks that it can execute at once.
    pub permits: u32,
    /// Checks executed since the start.
    pub executed: u64,
    /// How long the last task waited in the queue.
    pub queue_wait_us: u64,
    /// What its wall clock is behind the leader's (negative: ahead), where that is known.
    pub clock_offset_us: Option<i64>,
    /// Why its results are marked suspect now, if they are.
    pub unwell: Option<String>,
    /// It takes no more tasks.
    pub draining: bool,
}

/// NTP's originate timestamp, by the asker's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockQuestion {
    v: u8,
    pub checker: String,
    pub sent_at: Timestamp,
}

/// NTP's originate, receive and transmit timestamps; the last two by the leader's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnswer {
    v: u8,
    pub sent_at: Timestamp,
    pub received_at: Timestamp,
    pub answered_at: Timestamp,
}

impl Heartbeat {
    pub fn new(status: CheckerStatus) -> Self {
        Self { v: VERSION, status }
    }
}

impl ClockQuestion {
    pub fn new(checker: String, sent_at: Timestamp) -> Self {
        Self {
            v: VERSION,
            checker,
            sent_at,
        }
    }
}

impl ClockAnswer {
    pub fn new(question: &ClockQuestion, received_at: Timestamp, answered_at: Timestamp) -> Self {
        Self {
            v: VERSION,
            sent_at: question.sent_at,
            received_at,
            answered_at,
        }
    }
}

/// The JSON of one of these messages.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have only string keys")
}

pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, MessageError> {
    require_version(payload, VERSION)?;
    Ok(serde_json::from_slice(payload)?)
}
