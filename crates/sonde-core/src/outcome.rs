//! What came of a check.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `missed` means that the check was not executed: it says nothing about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Degraded,
    Failed,
    Missed,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Degraded, Self::Failed, Self::Missed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }

    pub const fn is_executed(self) -> bool {
        !matches!(self, Self::Missed)
    }

    /// The target answered as it should, if slowly.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
