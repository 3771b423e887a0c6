//! The accounting that proves that no check was lost: what was scheduled against what came of it.

use std::time::Duration;

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

impl DispatchGap {
    /// The same times without overlaps, in their order.
    pub fn united(mut gaps: Vec<Self>) -> Vec<Self> {
        gaps.sort_unstable();
        gaps.dedup_by(|next, before| {
            let overlaps = next.from <= before.to;
            if overlaps {
                before.to = before.to.max(next.to);
            }
            overlaps
        });
        gaps
    }
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
    /// The last deadline of each class, and how many checks have it at the latest.
    #[serde(skip)]
    pub deadlines: Vec<(Timestamp, u64)>,
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
            deadlines: Vec::new(),
            ok: 0,
            degraded: 0,
            failed: 0,
            missed: 0,
        }
    }

    /// Adds what one class scheduled.
    pub fn schedule(&mut self, checks: u64, deadline: Option<Timestamp>) {
        self.scheduled += checks;
        self.deadline = self.deadline.max(deadline);
        self.deadlines
            .extend(deadline.map(|deadline| (deadline, checks)));
    }

    /// How many checks may at `now` rightly be on their way, when each takes at most `settle` after its deadline.
    pub fn may_be_open(&self, now: Timestamp, settle: Duration) -> u64 {
        let open = self.deadlines.iter();
        let open = open.filter(|(deadline, _)| *deadline + settle > now);
        open.map(|(_, checks)| checks).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_that_overlap_are_one() {
        let gap = |from, to| DispatchGap {
            from: Timestamp::from_micros(from),
            to: Timestamp::from_micros(to),
        };
        let found =
            DispatchGap::united(vec![gap(5, 9), gap(0, 3), gap(2, 4), gap(1, 2), gap(4, 5)]);
        assert_eq!(found, [gap(0, 9)]);
        let apart = vec![gap(0, 3), gap(4, 5)];
        assert_eq!(DispatchGap::united(apart.clone()), apart);
    }
}
