//! What was seen: rows, what they add up to, and how that compares.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sonde_core::{MonitorId, Region, Scope};
use sonde_results::{
    ChartBucket, ChartQuery, HeatCell, PhaseBucket, ReasonCount, ResultPage, ResultQuery, Summary,
    TimeRange,
};

use crate::access::{Access, Permit};
use crate::{Result, ServiceError, monitors};

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

    pub async fn summary(&self, monitor: &MonitorId, range: TimeRange) -> Result<Comparison> {
        let permit = self.on_existing(monitor).await?;
        let before = TimeRange {
            from: range.from - range.to.since(range.from),
            to: range.from,
        };
        let summary = async |range| {
            let results = permit.results();
            results.summary(permit.workspace(), monitor, range).await
        };
        Ok(Comparison {
            range,
            summary: summary(range).await?,
            previous: summary(before).await?,
        })
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

    async fn charted(&self, query: ChartQuery) -> Result<(Permit<'_>, ChartQuery)> {
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
