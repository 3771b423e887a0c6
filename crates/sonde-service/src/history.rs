//! What was seen: rows, what they add up to, and how that compares.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sonde_core::{CheckKey, CheckResult, MonitorId, Region, RunId, Scope, Timestamp};
use sonde_results::{
    ChartBucket, ChartQuery, Charts, HeatCell, PhaseBucket, ReasonCount, ResultPage, ResultQuery,
    Summary, TimeRange,
};

use crate::access::{Access, Permit};
use crate::{Result, ServiceError, monitors};

const DAY: Duration = Duration::from_hours(24);

/// A period and the one of the same length before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub range: TimeRange,
    pub summary: Summary,
    pub previous: Summary,
}

impl Access {
    /// Rows of a monitor that exists, newest first; `query.workspace` is ours.
    pub async fn results(&self, query: ResultQuery) -> Result<ResultPage> {
        let permit = self.on_existing(&query.monitor).await?;
        let query = ResultQuery {
            workspace: permit.workspace().clone(),
            ..query
        };
        Ok(permit.results().page(&query).await?)
    }

    /// One check, for a link that lasts.
    pub async fn result(
        &self,
        monitor: &MonitorId,
        region: Region,
        slot: Timestamp,
        run_id: RunId,
    ) -> Result<CheckResult> {
        let permit = self.on_existing(monitor).await?;
        let key = CheckKey {
            workspace: permit.workspace().clone(),
            monitor: monitor.clone(),
            region,
            slot,
            run_id,
        };
        let found = permit.results().find(&key).await?;
        found.ok_or_else(|| ServiceError::NotFound {
            what: "check",
            id: key.check_id().to_string(),
        })
    }

    /// Of all regions together, or of one.
    pub async fn summary(
        &self,
        monitor: &MonitorId,
        region: Option<&Region>,
        range: TimeRange,
    ) -> Result<Comparison> {
        let query = ChartQuery {
            workspace: self.workspace().clone(),
            monitor: monitor.clone(),
            region: region.cloned(),
            by_region: false,
            range,
            step: DAY,
        };
        let permit = self.on_existing(monitor).await?;
        let before = before(&query);
        let (summary, previous) = tokio::try_join!(
            permit.results().summary_of(&query),
            permit.results().summary_of(&before),
        )?;
        Ok(Comparison {
            range,
            summary,
            previous,
        })
    }

    /// One monitor's outcomes and latency over time, and how they compare; `query.workspace` is ours.
    pub async fn charts(&self, query: ChartQuery) -> Result<(Comparison, Charts)> {
        let (permit, query) = self.charted(query).await?;
        let before = before(&query);
        let (charts, previous) = tokio::try_join!(
            permit.results().charts(&query),
            permit.results().summary_of(&before),
        )?;
        let comparison = Comparison {
            range: query.range,
            summary: charts.summary.clone(),
            previous,
        };
        Ok((comparison, charts))
    }

    /// The summaries of all monitors that exist, that the caller sees, and that had results in the range.
    pub async fn summaries(&self, range: TimeRange) -> Result<HashMap<MonitorId, Summary>> {
        let permit = self.visible(Scope::ResultsRead)?;
        let workspace = permit.workspace();
        let (existing, summaries) = tokio::join!(
            permit.store().monitors(workspace),
            permit.results().overview(workspace, range)
        );
        let existing = existing?;
        monitors::log_unreadable(&existing.unreadable);
        let existing: HashSet<&MonitorId> =
            existing.monitors.iter().map(|it| &it.value.id).collect();
        let mut summaries = summaries?;
        summaries.retain(|monitor, _| permit.sees(monitor) && existing.contains(monitor));
        Ok(summaries)
    }

    /// One monitor over time; `query.workspace` is ours.
    pub async fn chart(&self, query: ChartQuery) -> Result<Vec<ChartBucket>> {
        let (permit, query) = self.charted(query).await?;
        Ok(permit.results().chart(&query).await?)
    }

    /// Where its time went; `query.workspace` is ours.
    pub async fn phases(&self, query: ChartQuery) -> Result<Vec<PhaseBucket>> {
        let (permit, query) = self.charted(query).await?;
        Ok(permit.results().phases(&query).await?)
    }

    /// How its latency was distributed; `query.workspace` is ours.
    pub async fn heat(&self, query: ChartQuery) -> Result<Vec<HeatCell>> {
        let (permit, query) = self.charted(query).await?;
        Ok(permit.results().heat(&query).await?)
    }

    /// Why its results were not ok.
    pub async fn reasons(
        &self,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Result<Vec<ReasonCount>> {
        let permit = self.on_existing(monitor).await?;
        let (results, workspace) = (permit.results(), permit.workspace());
        Ok(results.reasons(workspace, monitor, range, region).await?)
    }

    pub(crate) async fn charted(&self, query: ChartQuery) -> Result<(Permit<'_>, ChartQuery)> {
        let permit = self.on_existing(&query.monitor).await?;
        let query = ChartQuery {
            workspace: permit.workspace().clone(),
            ..query
        };
        Ok((permit, query))
    }

    async fn on_existing(&self, monitor: &MonitorId) -> Result<Permit<'_>> {
        let permit = self.on(Scope::ResultsRead, monitor)?;
        let found = permit.store().monitor(permit.workspace(), monitor).await?;
        match found {
            Some(_) => Ok(permit),
            None => Err(ServiceError::monitor_not_found(monitor)),
        }
    }

    /// The range of the last `duration`, up to now.
    pub fn last(&self, duration: Duration) -> TimeRange {
        let to = self.service.now() + Duration::from_micros(1);
        TimeRange {
            from: to - duration,
            to,
        }
    }
}

/// The same of the period before.
fn before(query: &ChartQuery) -> ChartQuery {
    let TimeRange { from, to } = query.range;
    ChartQuery {
        range: TimeRange {
            from: from - to.since(from),
            to: from,
        },
        ..query.clone()
    }
}

/// The first of those that people read easily that makes a hundred buckets of a range or fewer.
pub fn usual_step(range: TimeRange) -> Duration {
    const MINUTES: [u64; 9] = [1, 5, 15, 30, 60, 180, 360, 720, 1440];
    let length = range.to.since(range.from);
    let steps = MINUTES.map(Duration::from_mins).into_iter();
    let mut fitting = steps.filter(|step| length <= *step * 100);
    fitting.next().unwrap_or_else(|| {
        let days = length.as_secs() / DAY.as_secs() / 100 + 1;
        DAY * u32::try_from(days).unwrap_or(u32::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_makes_a_hundred_buckets_or_fewer() {
        for (length, expected) in [
            (Duration::from_secs(1), Duration::from_mins(1)),
            (DAY, Duration::from_mins(15)),
            (DAY * 30, Duration::from_hours(12)),
            (DAY * 90, DAY),
            (DAY * 400, DAY * 5),
        ] {
            let from = Timestamp::UNIX_EPOCH;
            let to = from + length;
            assert_eq!(usual_step(TimeRange { from, to }), expected);
        }
    }
}
