//! A monitor with what is known about it now.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sonde_core::{CheckResult, Monitor, MonitorId, Outcome, Scope, Timestamp};
use sonde_results::Bucket;
use sonde_store::{Meta, Stored};

use crate::access::{Access, Permit};
use crate::entries::{Page, PageQuery};
use crate::{Result, monitors};

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
        let grace = monitor
            .spec
            .heartbeat()
            .map_or(monitor.timeout, |it| it.grace);
        let fresh_for = monitor.interval * FRESH_INTERVALS + grace;
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
    pub meta: Meta,
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

impl Access {
    /// Every monitor with its present, in the order of the configuration.
    pub async fn overview(&self) -> Result<Vec<MonitorView>> {
        let permit = self.visible(Scope::MonitorsRead)?;
        let mut found = permit.store().monitors(permit.workspace()).await?;
        monitors::log_unreadable(&found.unreadable);
        found.monitors.retain(|one| permit.sees(&one.value.id));
        let latest = permit.results().latest(permit.workspace()).await?;
        Ok(self.views(found.monitors, latest))
    }

    /// One page of them, by id.
    pub async fn monitor_views(&self, query: &PageQuery) -> Result<Page<MonitorView>> {
        let permit = self.visible(Scope::MonitorsRead)?;
        let page = self.monitors(query).await?;
        Ok(Page {
            items: self.with_latest(permit, page.items).await?,
            next: page.next,
        })
    }

    pub async fn monitor_view(&self, id: &MonitorId) -> Result<MonitorView> {
        let permit = self.on(Scope::MonitorsRead, id)?;
        self.view_of(permit, self.monitor(id).await?).await
    }

    /// What was just stored, with its present.
    pub async fn view(&self, monitor: Stored<Monitor>) -> Result<MonitorView> {
        let permit = self.visible(Scope::MonitorsWrite)?;
        self.view_of(permit, monitor).await
    }

    async fn view_of(&self, permit: Permit<'_>, monitor: Stored<Monitor>) -> Result<MonitorView> {
        let views = self.with_latest(permit, vec![monitor]).await?;
        Ok(views.into_iter().next().expect("one makes one"))
    }

    async fn with_latest(
        &self,
        permit: Permit<'_>,
        monitors: Vec<Stored<Monitor>>,
    ) -> Result<Vec<MonitorView>> {
        let ids: Vec<MonitorId> = monitors.iter().map(|one| one.value.id.clone()).collect();
        let results = permit.results();
        let latest = results.latest_of(permit.workspace(), &ids).await?;
        Ok(self.views(monitors, latest))
    }

    fn views(&self, monitors: Vec<Stored<Monitor>>, results: Vec<CheckResult>) -> Vec<MonitorView> {
        let mut latest: HashMap<MonitorId, Vec<CheckResult>> = HashMap::new();
        for result in results {
            let of_monitor = latest.entry(result.monitor.clone()).or_default();
            of_monitor.push(result);
        }
        let now = self.service.now();
        let views = monitors.into_iter().map(
            |Stored {
                 value: monitor,
                 meta,
             }| {
                let mut latest = latest.remove(&monitor.id).unwrap_or_default();
                latest.retain(|result| monitor.regions.contains(&result.region));
                MonitorView {
                    state: State::of(&monitor, &latest, now),
                    monitor,
                    meta,
                    latest,
                }
            },
        );
        views.collect()
    }

    /// The last `duration` of every monitor in buckets of `step`; monitors without results are left out.
    pub async fn history(
        &self,
        duration: Duration,
        step: Duration,
    ) -> Result<HashMap<MonitorId, Vec<Bucket>>> {
        let permit = self.visible(Scope::ResultsRead)?;
        let results = permit.results();
        let buckets = results.series(permit.workspace(), None, self.last(duration), step);
        let mut history: HashMap<_, Vec<_>> = HashMap::new();
        for bucket in buckets.await? {
            if permit.sees(&bucket.monitor) {
                let of_monitor = history.entry(bucket.monitor.clone()).or_default();
                of_monitor.push(bucket);
            }
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
