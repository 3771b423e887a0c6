//! What was seen: rows, what they add up to, and how that compares.

use std::time::Duration;

use sonde_core::{MonitorId, Scope};
use sonde_results::{ChartBucket, ChartQuery, ResultPage, ResultQuery, Summary, TimeRange};

use crate::access::{Access, Permit};
use crate::{Result, ServiceError};

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

    /// One monitor over time; `query.workspace` is ours.
    pub async fn chart(&self, query: ChartQuery) -> Result<Vec<ChartBucket>> {
        let permit = self.on_existing(&query.monitor).await?;
        let query = ChartQuery {
            workspace: permit.workspace().clone(),
            ..query
        };
        Ok(permit.results().chart(&query).await?)
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
