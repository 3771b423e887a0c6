//! A trigger from outside: someone else's clock says that a class of checks is due.

use serde::{Deserialize, Serialize};
use sonde_core::Frequency;

use crate::MessageError;
use crate::message::require_version;

/// Asks whoever leads to dispatch what is due of one class, `{v, frequency}`. Twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronMessage {
    v: u8,
    pub frequency: Frequency,
}

impl CronMessage {
    pub const VERSION: u8 = 1;

    pub fn new(frequency: Frequency) -> Self {
        Self {
            v: Self::VERSION,
            frequency,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a trigger has only string keys")
    }

    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        require_version(payload, Self::VERSION)?;
        Ok(serde_json::from_slice(payload)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRON_V1: &str = include_str!("../fixtures/cron-v1.json");

    #[test]
    fn messages_of_every_release_are_still_read() {
        let trigger = CronMessage::new(Frequency::new("1m").unwrap());
        assert_eq!(CronMessage::decode(CRON_V1.as_bytes()).unwrap(), trigger);
        assert_eq!(CronMessage::decode(&trigger.encode()).unwrap(), trigger);
    }

    #[test]
    fn what_is_no_trigger_is_an_error() {
        let newer = CronMessage::decode(br#"{"v": 2}"#).unwrap_err();
        assert!(matches!(newer, MessageError::Version(2)));
        let nameless = CronMessage::decode(br#"{"v": 1, "frequency": "a b"}"#).unwrap_err();
        assert!(matches!(nameless, MessageError::Malformed(_)));
    }
}
