//! The ClickHouse backend: any number of writers and readers of one server or cluster.
//!
//! Rows that arrive again are merged by the store itself, by [`sonde_core::rank`]; rollups are recomputed from merged rows
//! and never counted up. [`ClickhouseResults::migrate`] owns the schema; everything else only uses it.

mod breakdown;
mod by_time;
mod certificates;
mod chart;
mod error;
mod migrate;
mod options;
mod overview;
mod read;
mod rollup;
mod row;
mod schema;
mod statistics;
mod usage;
mod views;
mod write;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use clickhouse::error::Error;
use clickhouse::{Client, Compression};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use sonde_core::{
    Balance, CheckKey, CheckResult, DispatchGap, LedgerEntry, MonitorId, Region, Timestamp,
    WorkspaceId,
};

use crate::{
    Bucket, CertificateSample, ChartBucket, ChartQuery, Charts, HeatCell, PhaseBucket, ReasonCount,
    Result, ResultPage, ResultQuery, Results, ResultsError, Summary, TimeRange, Usage,
};
use error::{Failure, unavailable};
use schema::Dialect;

pub use migrate::{Migrated, ReadOnlyUser};
pub use options::{InvalidOptions, Options};
pub use views::markdown as views_markdown;

/// How long is waited for what. After that the work is taken for not done, though the server may still do it.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    pub query: Duration,
    pub insert: Duration,
    /// One statement of a migration, or one step of the rollups.
    pub maintenance: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            query: Duration::from_secs(30),
            insert: Duration::from_secs(30),
            maintenance: Duration::from_mins(5),
        }
    }
}

/// ClickHouse closes idle connections after three seconds by default; ours go first, so that none is written to in vain.
const IDLE: Duration = Duration::from_secs(2);

/// Results of a fleet in ClickHouse.
pub struct ClickhouseResults {
    client: Client,
    dialect: Dialect,
    timeouts: Timeouts,
}

impl ClickhouseResults {
    /// Connects to nothing yet.
    pub fn new(options: Options) -> Result<Self, InvalidOptions> {
        Self::with_timeouts(options, Timeouts::default())
    }

    pub fn with_timeouts(options: Options, timeouts: Timeouts) -> Result<Self, InvalidOptions> {
        options.validate()?;
        let mut client = http_client(&options, timeouts.connect)?
            .with_url(options.url)
            .with_database(options.database.clone())
            .with_compression(if options.compression {
                Compression::Lz4
            } else {
                Compression::None
            })
            // A check's slot says which partition it is in, so that no row has a twin in another one.
            .with_setting("do_not_merge_across_partitions_select_final", "1");
        if let Some(user) = options.user {
            client = client.with_user(user);
        }
        if let Some(password) = options.password {
            client = client.with_password(password);
        }
        Ok(Self {
            client,
            dialect: Dialect {
                database: options.database,
                cluster: options.cluster,
                retention: options.retention,
                rollup_retention: options.rollup_retention,
            },
            timeouts,
        })
    }

    /// Asks within the time that a question may take.
    async fn ask<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T> {
        within(self.timeouts.query, question)
            .await?
            .map_err(unavailable)
    }

    /// Runs a statement without an answer.
    async fn run(&self, sql: &str) -> Result<()> {
        let statement = self.client.query(&sql.replace('?', "??")).execute();
        within(self.timeouts.maintenance, statement)
            .await?
            .map_err(unavailable)
    }
}

async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>> {
    let done = tokio::time::timeout(time, work).await;
    done.map_err(|_| ResultsError::Unavailable(Failure::Timeout(time).into()))
}

/// The library's own client has no limit on connecting.
fn http_client(options: &Options, connect: Duration) -> Result<Client, InvalidOptions> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect));
    connector.set_keepalive(Some(Duration::from_mins(1)));
    connector.set_nodelay(true);
    let mut pool = HttpClient::builder(TokioExecutor::new());
    pool.pool_idle_timeout(IDLE);
    if !options.url.starts_with("https:") {
        return Ok(Client::with_http_client(pool.build(connector)));
    }
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .map_err(InvalidOptions::Certificates)?
        .https_only()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::with_http_client(pool.build(connector)))
}

#[async_trait]
impl Results for ClickhouseResults {
    async fn store(&self, results: &[CheckResult]) -> Result<()> {
        self.store_results(results).await
    }

    async fn record(&self, ledger: &[LedgerEntry], gaps: &[DispatchGap]) -> Result<()> {
        self.record_ledger(ledger, gaps).await
    }

    async fn page(&self, query: &ResultQuery) -> Result<ResultPage> {
        self.read_page(query).await
    }

    async fn find(&self, key: &CheckKey) -> Result<Option<CheckResult>> {
        self.read_one(key).await
    }

    async fn latest(&self, workspace: &WorkspaceId) -> Result<Vec<CheckResult>> {
        self.read_latest(workspace, None).await
    }

    async fn latest_of(
        &self,
        workspace: &WorkspaceId,
        monitors: &[MonitorId],
    ) -> Result<Vec<CheckResult>> {
        self.read_latest(workspace, Some(monitors)).await
    }

    async fn recent(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<CheckResult>> {
        self.read_recent(workspace, from, limit).await
    }

    async fn chart(&self, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
        self.read_chart(query).await
    }

    async fn charts(&self, query: &ChartQuery) -> Result<Charts> {
        self.read_charts(query).await
    }

    async fn phases(&self, query: &ChartQuery) -> Result<Vec<PhaseBucket>> {
        self.read_phases(query).await
    }

    async fn heat(&self, query: &ChartQuery) -> Result<Vec<HeatCell>> {
        self.read_heat(query).await
    }

    async fn reasons(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Result<Vec<ReasonCount>> {
        self.read_reasons(workspace, monitor, range, region).await
    }

    async fn certificates(&self, query: &ChartQuery) -> Result<Vec<CertificateSample>> {
        self.read_certificates(query).await
    }

    async fn overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, Summary>> {
        self.read_overview(workspace, range).await
    }

    async fn summary(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
    ) -> Result<Summary> {
        self.summarize(workspace, monitor, range).await
    }

    async fn series(
        &self,
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<Bucket>> {
        self.read_series(workspace, monitor, range, step).await
    }

    async fn usage(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
        step: Duration,
    ) -> Result<Usage> {
        self.read_usage(workspace, range, step).await
    }

    async fn balances(&self, range: TimeRange) -> Result<Vec<Balance>> {
        self.read_balances(range).await
    }

    async fn gaps(&self, range: TimeRange) -> Result<Vec<DispatchGap>> {
        self.read_gaps(range).await
    }
}

/// 2100-01-01, the end of what the tables hold; later ends of ranges mean it.
const END_OF_TIME: i64 = 4_102_444_800_000_000;

/// Microseconds within what dates in ClickHouse hold.
fn clamped(time: Timestamp) -> i64 {
    time.as_micros().clamp(0, END_OF_TIME)
}
