//! Results: rows merged by one rule, and the questions that people ask of them.
//!
//! [`libsql`] keeps them in a local file, [`clickhouse`] on a server for a fleet; every backend passes the same
//! conformance suite.

pub mod clickhouse;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod libsql;
mod query;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sonde_core::{
    Balance, CheckResult, DispatchGap, LedgerEntry, MonitorId, Region, Timestamp, WorkspaceId,
};

pub use query::{
    Bucket, CertificateSample, ChartBucket, ChartQuery, Charts, Cursor, HeatCell, LATENCY_BANDS,
    PhaseBucket, ReasonCount, ResultPage, ResultQuery, Summary, TimeRange, Usage, UsageBucket,
};

/// The store failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// Try again later: nothing was stored.
    #[error("the results store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer release wrote this store.
    #[error("the results store has schema {found}, newer than {known}: use a newer release")]
    NewerSchema { found: u32, known: u32 },
    /// An older release, or none, wrote this store.
    #[error(
        "the results store has schema {found}, this release needs {known}: run `sonde migrate`"
    )]
    OutdatedSchema { found: u32, known: u32 },
    /// A stored row cannot be read back.
    #[error("a stored row is unreadable")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Trying again would not help: some row among them cannot be stored.
    #[error("the results store refuses these rows")]
    Rejected(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("`{0}` is not a cursor of this listing")]
    InvalidCursor(String),
}

pub type Result<T, E = ResultsError> = std::result::Result<T, E>;

#[async_trait]
pub trait Results: Send + Sync {
    /// Stores all or nothing. The same check again is merged (`sonde_core::merge`), in any order and number.
    async fn store(&self, results: &[CheckResult]) -> Result<()>;

    /// Takes down what was scheduled and when nothing was. Of one minute, class and region the highest count stands, so
    /// that taking it down again changes nothing.
    async fn record(&self, ledger: &[LedgerEntry], gaps: &[DispatchGap]) -> Result<()>;

    /// Rows of one monitor, newest first.
    async fn page(&self, query: &ResultQuery) -> Result<ResultPage>;

    /// One check by its key, for permalinks.
    async fn find(&self, key: &sonde_core::CheckKey) -> Result<Option<CheckResult>>;

    /// The newest scheduled row of each monitor and region; of on-demand rows where there is no other.
    async fn latest(&self, workspace: &WorkspaceId) -> Result<Vec<CheckResult>>;

    /// The same of these monitors only.
    async fn latest_of(
        &self,
        workspace: &WorkspaceId,
        monitors: &[MonitorId],
    ) -> Result<Vec<CheckResult>>;

    /// At most `limit` rows of all monitors with slots from `from` on, oldest first, for going on where somebody left off.
    async fn recent(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<CheckResult>>;

    /// Counts and latency quantiles of scheduled rows. Failed and missed checks stay out of the quantiles.
    async fn summary(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
    ) -> Result<Summary>;

    /// The summary of every monitor that has one.
    async fn overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, Summary>>;

    /// The same per monitor and bucket of `step`, without empty buckets, for every monitor or one.
    async fn series(
        &self,
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<Bucket>>;

    /// How many checks there were of all monitors per bucket of `step`, oldest first, without empty buckets.
    async fn usage(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
        step: Duration,
    ) -> Result<Usage>;

    /// One monitor's rows summed up per bucket, oldest first, without empty buckets.
    async fn chart(&self, query: &ChartQuery) -> Result<Vec<ChartBucket>>;

    /// The summary of all regions together, or of the one that is asked for.
    async fn summary_of(&self, query: &ChartQuery) -> Result<Summary> {
        if query.region.is_none() {
            return self
                .summary(&query.workspace, &query.monitor, query.range)
                .await;
        }
        let whole = ChartQuery {
            by_region: false,
            ..query.whole()
        };
        let whole = self.chart(&whole).await?.pop();
        Ok(whole.map(|it| it.summary).unwrap_or_default())
    }

    /// [`summary_of`](Self::summary_of), [`heat`](Self::heat), and [`chart`](Self::chart) together, by region and over the
    /// whole range.
    async fn charts(&self, query: &ChartQuery) -> Result<Charts>;

    /// Where the time went, per bucket, oldest first, without empty buckets.
    async fn phases(&self, query: &ChartQuery) -> Result<Vec<PhaseBucket>>;

    /// How latency was distributed, per bucket, oldest first; from rows alone, and for all regions together even where
    /// `by_region` says otherwise.
    async fn heat(&self, query: &ChartQuery) -> Result<Vec<HeatCell>>;

    /// Why scheduled rows are not ok, most frequent first; from rows alone.
    async fn reasons(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Result<Vec<ReasonCount>>;

    /// Which certificates a target showed, sampled per bucket and region, oldest first; from rows alone, and for each region
    /// even where `by_region` says otherwise. A bucket whose checks saw none has no sample.
    async fn certificates(&self, query: &ChartQuery) -> Result<Vec<CertificateSample>>;

    /// What was scheduled against what came of it, per minute and region in `range`, oldest first.
    async fn balances(&self, range: TimeRange) -> Result<Vec<Balance>>;

    /// The gaps that overlap `range`, oldest first.
    async fn gaps(&self, range: TimeRange) -> Result<Vec<DispatchGap>>;
}
