//! Heartbeats that are late, as results of checks that failed.

use sonde_core::{CheckResult, Monitor, Outcome, Reason, Timestamp, format_duration};

use super::{Engine, Watched};

impl Engine {
    /// Whether there is something to say of heartbeats that are late.
    pub fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// What is to be said of them. The same whoever finds it, so that nothing counts twice; found again with the next
    /// decision, as long as [`Self::observe`] has not heard of it.
    pub fn take_late(
        &mut self,
        now: Timestamp,
        mut is_maintained: impl FnMut(&Monitor, Timestamp) -> bool,
    ) -> Vec<CheckResult> {
        let late = std::mem::take(&mut self.late).into_iter();
        let late = late.filter_map(|key| self.watched.get(&key));
        let mut results = Vec::new();
        for watched in late {
            for mut result in watched.late(now) {
                result.in_maintenance = is_maintained(&watched.monitor, result.slot);
                results.push(result);
            }
        }
        results
    }
}

impl Watched {
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.state.late(&self.monitor, now).next().is_some()
    }

    fn late(&self, now: Timestamp) -> impl Iterator<Item = CheckResult> {
        let monitor = &self.monitor;
        let late = self.state.late(monitor, now);
        late.map(|(at, since)| {
            let interval = format_duration(monitor.interval);
            let mut result = CheckResult::of_heartbeat(monitor, at, Outcome::Failed);
            result.reason = Some(Reason::HeartbeatLate);
            result.message = Some(format!(
                "nothing heard since {since}, and expected every {interval}"
            ));
            result
        })
    }
}
