//! What the dispatcher writes down: the ledger on its way to the store, and its watermark in the broker.

use serde::{Deserialize, Serialize};
use sonde_core::{DispatchGap, Frequency, LedgerEntry, Timestamp};

use crate::MessageError;
use crate::message::require_version;

/// Part of the ledger, `{v, entries: […], gaps: […]}`. An entry stands for its whole minute so far: the highest
/// `scheduled` of a minute, class and region counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerMessage {
    v: u8,
    pub entries: Vec<LedgerEntry>,
    #[serde(default)]
    pub gaps: Vec<DispatchGap>,
}

impl LedgerMessage {
    pub const VERSION: u8 = 1;

    pub fn new(entries: Vec<LedgerEntry>, gaps: Vec<DispatchGap>) -> Self {
        Self {
            v: Self::VERSION,
            entries,
            gaps,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a ledger has only string keys")
    }

    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        require_version(payload, Self::VERSION)?;
        Ok(serde_json::from_slice(payload)?)
    }
}

/// How far dispatch has come, `{v, watermark, open: […], ahead: […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMessage {
    v: u8,
    /// Every slot before it is published and confirmed.
    pub watermark: Timestamp,
    /// The counts, up to the watermark of their class, of the minutes whose ledger entries are not final yet.
    pub open: Vec<LedgerEntry>,
    /// Classes that have come further, because others wait for their trigger from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<ClassWatermark>,
}

/// How far one class has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassWatermark {
    pub frequency: Frequency,
    pub watermark: Timestamp,
}

impl WatermarkMessage {
    pub const VERSION: u8 = 1;

    pub fn new(watermark: Timestamp, open: Vec<LedgerEntry>) -> Self {
        Self {
            v: Self::VERSION,
            watermark,
            open,
            ahead: Vec::new(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a watermark has only string keys")
    }

    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        require_version(payload, Self::VERSION)?;
        Ok(serde_json::from_slice(payload)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::Region;

    use super::*;

    const LEDGER_V1: &str = include_str!("../fixtures/ledger-v1.json");
    const WATERMARK_V1: &str = include_str!("../fixtures/watermark-v1.json");
    const MINUTE: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

    fn entry() -> LedgerEntry {
        LedgerEntry {
            frequency: Frequency::new("5s").unwrap(),
            region: Region::new("fra").unwrap(),
            minute: MINUTE,
            scheduled: 24,
            deadline: MINUTE + Duration::from_millis(64_250),
        }
    }

    fn ledger() -> LedgerMessage {
        let gap = DispatchGap {
            from: MINUTE - Duration::from_hours(3),
            to: MINUTE - Duration::from_hours(1),
        };
        LedgerMessage::new(vec![entry()], vec![gap])
    }

    fn watermark() -> WatermarkMessage {
        let mut message =
            WatermarkMessage::new(MINUTE + Duration::from_micros(30_000_001), vec![entry()]);
        message.ahead.push(ClassWatermark {
            frequency: Frequency::new("1m").unwrap(),
            watermark: MINUTE + Duration::from_secs(45),
        });
        message
    }

    #[test]
    fn messages_read_back() {
        assert_eq!(LedgerMessage::decode(&ledger().encode()).unwrap(), ledger());
        let read = WatermarkMessage::decode(&watermark().encode()).unwrap();
        assert_eq!(read, watermark());
    }

    #[test]
    fn messages_of_every_release_are_still_read() {
        let read = LedgerMessage::decode(LEDGER_V1.as_bytes()).unwrap();
        assert_eq!(read, ledger());
        let read = WatermarkMessage::decode(WATERMARK_V1.as_bytes()).unwrap();
        assert_eq!(read, watermark());
    }

    #[test]
    fn what_is_optional_may_be_absent_and_what_is_new_is_ignored() {
        let payload = br#"{"v": 1, "watermark": "2025-11-20T12:00:00Z", "open": [], "more": 1}"#;
        let read = WatermarkMessage::decode(payload).unwrap();
        assert_eq!(read, WatermarkMessage::new(MINUTE, Vec::new()));
        let read = LedgerMessage::decode(br#"{"v": 1, "entries": []}"#).unwrap();
        assert_eq!(read, LedgerMessage::new(Vec::new(), Vec::new()));
    }

    #[test]
    fn an_unknown_version_is_an_error() {
        let payload = br#"{"v": 2}"#;
        let ledger = LedgerMessage::decode(payload).unwrap_err();
        let watermark = WatermarkMessage::decode(payload).unwrap_err();
        assert!(matches!(ledger, MessageError::Version(2)));
        assert!(matches!(watermark, MessageError::Version(2)));
    }
}
