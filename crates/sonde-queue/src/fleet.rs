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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    const SLOT: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

    fn status() -> CheckerStatus {
        CheckerStatus {
            id: "fra-1".to_owned(),
            version: "0.1.0".to_owned(),
            region: Region::local(),
            started_at: SLOT,
            in_flight: 3,
            permits: 1000,
            executed: 42,
            queue_wait_us: 1_500,
            clock_offset_us: Some(-120_000_000),
            unwell: Some("the clock is 120 s ahead".to_owned()),
            draining: false,
        }
    }

    /// `fixture` still reads as `expected`, which still reads back from what is written today.
    #[track_caller]
    fn check<T: DeserializeOwned + Serialize + PartialEq + Debug>(fixture: &str, expected: &T) {
        assert_eq!(&decode::<T>(fixture.as_bytes()).unwrap(), expected);
        assert_eq!(&decode::<T>(&encode(expected)).unwrap(), expected);
        let newer = fixture.replacen("\"v\": 1", "\"v\": 2", 1);
        let unknown = decode::<T>(newer.as_bytes());
        assert!(matches!(unknown, Err(MessageError::Version(2))));
    }

    #[test]
    fn messages_of_every_release_are_still_read() {
        let question = ClockQuestion::new("fra-1".to_owned(), SLOT);
        let answer = ClockAnswer::new(
            &question,
            Timestamp::from_micros(SLOT.as_micros() + 2_000),
            Timestamp::from_micros(SLOT.as_micros() + 2_100),
        );
        check(
            include_str!("../fixtures/heartbeat-v1.json"),
            &Heartbeat::new(status()),
        );
        check(
            include_str!("../fixtures/clock-question-v1.json"),
            &question,
        );
        check(include_str!("../fixtures/clock-answer-v1.json"), &answer);
    }
}
