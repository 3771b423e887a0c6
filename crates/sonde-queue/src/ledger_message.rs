//! What the dispatcher writes down: the ledger on its way to the store, and its watermark in the broker.

use serde::{Deserialize, Serialize};
use sonde_core::{DispatchGap, LedgerEntry, Timestamp};

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

/// How far dispatch has come, `{v, watermark, open: […]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkMessage {
    v: u8,
    /// Every slot before it is published and confirmed.
    pub watermark: Timestamp,
    /// The counts, up to the watermark, of the minutes whose ledger entries are not final yet.
    pub open: Vec<LedgerEntry>,
}

impl WatermarkMessage {
    pub const VERSION: u8 = 1;

    pub fn new(watermark: Timestamp, open: Vec<LedgerEntry>) -> Self {
        Self {
            v: Self::VERSION,
            watermark,
            open,
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
