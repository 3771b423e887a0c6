//! The accounting that proves that no check was lost: what was scheduled against what came of it.

use serde::{Deserialize, Serialize};

use crate::{Frequency, Outcome, Region, Timestamp};

/// How many checks of one class and region had their slot in one minute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub frequency: Frequency,
    pub region: Region,
    /// The minute's first instant.
    pub minute: Timestamp,
    pub scheduled: u64,
    /// The last deadline of these checks: until then some may rightly be on their way.
    pub deadline: Timestamp,
}

/// A time in which nothing was dispatched and for which no rows exist; uptime counts it by arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DispatchGap {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// One minute and region: scheduled against counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub minute: Timestamp,
    pub region: Region,
    pub scheduled: u64,
    /// The last deadline of what was scheduled, where it is known: until then some may rightly be on their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    pub ok: u64,
    pub degraded: u64,
    pub failed: u64,
    pub missed: u64,
}

impl Balance {
    pub fn empty(minute: Timestamp, region: Region) -> Self {
        Self {
            minute,
            region,
            scheduled: 0,
            deadline: None,
            ok: 0,
            degraded: 0,
            failed: 0,
            missed: 0,
        }
    }

    pub fn count(&mut self, outcome: Outcome, checks: u64) {
        *match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Degraded => &mut self.degraded,
            Outcome::Failed => &mut self.failed,
            Outcome::Missed => &mut self.missed,
        } += checks;
    }

    pub fn settled(&self) -> u64 {
        self.ok + self.degraded + self.failed + self.missed
    }

    /// `scheduled = ok + degraded + failed + missed`.
    pub fn is_balanced(&self) -> bool {
        self.scheduled == self.settled()
    }
}
