//! The JSON of messages. Unknown fields are ignored; unknown versions are errors.

use serde::{Deserialize, Serialize};
use sonde_core::{Check, CheckResult};

/// Why a payload is not the message it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    #[error("message version {0} is not known")]
    Version(u64),
    #[error("not a message of this kind")]
    Malformed(#[from] serde_json::Error),
}

/// A task: one check to be executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskMessage {
    v: u8,
    pub check: Check,
}

impl TaskMessage {
    pub const VERSION: u8 = 1;

    pub fn encode(check: &Check) -> Vec<u8> {
        todo!()
    }

    pub fn decode(payload: &[u8]) -> Result<Check, MessageError> {
        todo!()
    }
}

/// Results of one partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResultsMessage {
    pub results: Vec<CheckResult>,
    /// Elements that could not be read, each with its error: set aside, never a reason to lose the others.
    pub unreadable: Vec<String>,
}

impl ResultsMessage {
    pub const VERSION: u8 = 1;

    pub fn encode(results: &[CheckResult]) -> Vec<u8> {
        todo!()
    }

    pub fn decode(payload: &[u8]) -> Result<Self, MessageError> {
        todo!()
    }
}
