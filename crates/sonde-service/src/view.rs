//! A monitor with what is known about it now.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sonde_core::{CheckResult, Monitor, MonitorId, Outcome, Timestamp};
use sonde_results::Bucket;

use crate::{Result, Service};

/// Results older than so many intervals say nothing about now.
const FRESH_INTERVALS: u32 = 3;

/// Where a monitor stands, from the last result of each region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Paused,
    /// No result yet.
    Pending,
    Up,
    Degraded,
    Down,
    /// The last results are too old, or no check was executed.
    Unknown,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Pending => "pending",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    fn of(monitor: &Monitor, latest: &[CheckResult], now: Timestamp) -> Self {
        if monitor.paused {
            return Self::Paused;
        }
        if latest.is_empty() {
            return Self::Pending;
        }
        let fresh_for = monitor.interval * FRESH_INTERVALS + monitor.timeout;
        let worst = latest.iter().map(|result| match result.outcome {
            _ if now.since(result.slot) > fresh_for => Self::Unknown,
            Outcome::Ok => Self::Up,
            Outcome::Degraded => Self::Degraded,
            Outcome::Failed => Self::Down,
            Outcome::Missed => Self::Unknown,
        });
        // What is known of one region is not hidden by what is unknown of another.
        let (known, unknown): (Vec<_>, Vec<_>) = worst.partition(|state| *state != Self::Unknown);
        known
            .into_iter()
            .max()
            .or(unknown.first().copied())
            .unwrap_or(Self::Pending)
    }
}

/// A monitor and its present.
#[derive(Debug, Clone)]
pub struct MonitorView {
    pub monitor: Monitor,
    pub state: State,
    /// The newest result of each region.
    pub latest: Vec<CheckResult>,
}

impl MonitorView {
    /// The newest result of all.
    pub fn last(&self) -> Option<&CheckResult> {
        self.latest.iter().max_by_key(|result| result.slot)
    }
}

impl Service {
    /// Every monitor with its present, in the order of the configuration.
    pub async fn overview(&self) -> Result<Vec<MonitorView>> {
        let monitors = self.monitors().await?;
        let mut latest: HashMap<MonitorId, Vec<CheckResult>> = HashMap::new();
        for result in self.results.latest(&self.workspace).await? {
            latest
                .entry(result.monitor.clone())
                .or_default()
                .push(result);
        }
        let now = self.clock.now();
        let views = monitors.into_iter().map(|monitor| {
            let mut latest = latest.remove(&monitor.id).unwrap_or_default();
            latest.retain(|result| monitor.regions.contains(&result.region));
            MonitorView {
                state: State::of(&monitor, &latest, now),
                monitor,
                latest,
            }
        });
        Ok(views.collect())
    }

    /// The last `duration` of every monitor in buckets of `step`; monitors without results are left out.
    pub async fn history(
        &self,
        duration: Duration,
        step: Duration,
    ) -> Result<HashMap<MonitorId, Vec<Bucket>>> {
        let buckets = self
            .results
            .series(&self.workspace, None, self.last(duration), step)
            .await?;
        let mut history: HashMap<_, Vec<_>> = HashMap::new();
        for bucket in buckets {
            history
                .entry(bucket.monitor.clone())
                .or_default()
                .push(bucket);
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcomes: &[(Outcome, u64)], expected: State) {
        let monitor = Monitor::sample();
        let now = CheckResult::sample().slot;
        let latest: Vec<_> = outcomes
            .iter()
            .map(|(outcome, age)| {
                let mut result = CheckResult::sample_executed(*outcome, Duration::ZERO);
                result.slot = now - Duration::from_secs(*age);
                result
            })
            .collect();
        assert_eq!(State::of(&monitor, &latest, now), expected, "{outcomes:?}");
    }

    #[test]
    fn the_worst_region_that_is_known_gives_the_state() {
        check(&[], State::Pending);
        check(&[(Outcome::Ok, 0), (Outcome::Degraded, 1)], State::Degraded);
        check(&[(Outcome::Ok, 0), (Outcome::Failed, 1)], State::Down);
        check(&[(Outcome::Ok, 0), (Outcome::Missed, 1)], State::Up);
        check(&[(Outcome::Missed, 1)], State::Unknown);
        // 3 × 5 s + 2 s
        check(&[(Outcome::Ok, 17)], State::Up);
        check(&[(Outcome::Ok, 18)], State::Unknown);
    }
}
