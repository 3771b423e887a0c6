//! The libSQL backend: one local file with one writer, and a snapshot of its own for every question.

mod breakdown;
mod buckets;
mod certificates;
mod chart;
mod fill;
mod journal;
mod read;
mod schema;
mod summary;
mod usage;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sonde_core::{
    Balance, CheckKey, CheckResult, DispatchGap, LedgerEntry, MonitorId, Region, RunId, Timestamp,
    WorkspaceId,
};
use sonde_libsql::libsql::{self, Connection, Value};
use sonde_libsql::{LocalFile, OpenError, Unavailable, blocking};
use tokio::sync::Mutex;

use crate::{
    Bucket, CertificateSample, ChartBucket, ChartQuery, Charts, HeatCell, PhaseBucket, ReasonCount,
    Result, ResultPage, ResultQuery, Results, ResultsError, Summary, TimeRange, Usage,
};
use writer::Writer;

pub use journal::{Accounting, Dispatch, Recovered};

/// Rows that are deleted in one transaction, so that writers never wait long.
const PRUNE_CHUNK: u32 = 2_000;
/// The same for rows of earlier releases that are completed: these are read and written.
const FILL_CHUNK: u32 = 1_000;

/// Results, ledger and journal of one machine in one file.
pub struct LibsqlResults {
    file: LocalFile,
    writer: Arc<Mutex<Writer>>,
}

impl LibsqlResults {
    /// Opens or creates the file, readable by its owner alone, and migrates it.
    pub async fn open(path: &Path) -> Result<Self> {
        let (file, writer) = LocalFile::open(path, schema::MIGRATIONS).await?;
        let writer = Writer::new(writer);
        Ok(Self {
            file,
            writer: Arc::new(Mutex::new(writer)),
        })
    }

    /// Deletes what is older than the minute of `before`, in chunks; returns how many results that were.
    pub async fn prune(&self, before: Timestamp) -> Result<u64> {
        let before = before.floor(Duration::from_mins(1));
        let mut deleted = 0;
        loop {
            let chunk = self
                .write(async move |writer| write::prune(writer, before, PRUNE_CHUNK).await)
                .await?;
            deleted += chunk.deleted;
            if chunk.last {
                return Ok(deleted);
            }
        }
    }

    /// Completes what an earlier release stored, in chunks, and goes on where it was broken off; returns how many rows
    /// that were. Answers are the same before and after it, which makes them fast.
    pub async fn fill(&self) -> Result<u64> {
        let mut filled = 0;
        loop {
            let chunk = self
                .write(async move |writer| fill::fill(writer, FILL_CHUNK).await)
                .await?;
            match chunk {
                Some(rows) => filled += rows,
                None => return Ok(filled),
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        snapshot(self.file.clone(), question).await
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl AsyncFnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut writer = self.writer.clone().lock_owned().await;
        blocking(async move || writer.transaction(change).await).await
    }
}

#[async_trait]
impl Results for LibsqlResults {
    async fn store(&self, results: &[CheckResult]) -> Result<()> {
        let results = results.to_vec();
        self.write(async move |writer| write::store(writer, results).await)
            .await
    }

    async fn record(&self, ledger: &[LedgerEntry], gaps: &[DispatchGap]) -> Result<()> {
        let (ledger, gaps) = (ledger.to_vec(), gaps.to_vec());
        self.write(async move |writer| journal::record(writer, &ledger, &gaps).await)
            .await
    }

    async fn page(&self, query: &ResultQuery) -> Result<ResultPage> {
        let query = query.clone();
        self.read(async move |connection| read::page(connection, &query).await)
            .await
    }

    async fn find(&self, key: &CheckKey) -> Result<Option<CheckResult>> {
        let key = key_values(key);
        self.read(async move |connection| read::find(connection, key).await)
            .await
    }

    async fn latest(&self, workspace: &WorkspaceId) -> Result<Vec<CheckResult>> {
        let workspace = workspace.clone();
        self.read(async move |connection| read::latest(connection, &workspace).await)
            .await
    }

    async fn latest_of(
        &self,
        workspace: &WorkspaceId,
        monitors: &[MonitorId],
    ) -> Result<Vec<CheckResult>> {
        let (workspace, monitors) = (workspace.clone(), monitors.to_vec());
        self.read(async move |connection| read::latest_of(connection, &workspace, &monitors).await)
            .await
    }

    async fn recent(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<CheckResult>> {
        let workspace = workspace.clone();
        self.read(async move |connection| read::recent(connection, &workspace, from, limit).await)
            .await
    }

    async fn chart(&self, query: &ChartQuery) -> Result<Vec<ChartBucket>> {
        let query = query.clone();
        self.read(async move |connection| chart::chart(connection, &query).await)
            .await
    }

    async fn charts(&self, query: &ChartQuery) -> Result<Charts> {
        let query = query.clone();
        self.read(async move |connection| chart::charts(connection, &query).await)
            .await
    }

    async fn phases(&self, query: &ChartQuery) -> Result<Vec<PhaseBucket>> {
        let query = query.clone();
        self.read(async move |connection| breakdown::phases(connection, &query).await)
            .await
    }

    async fn heat(&self, query: &ChartQuery) -> Result<Vec<HeatCell>> {
        let query = query.clone();
        self.read(async move |connection| chart::heat(connection, &query).await)
            .await
    }

    async fn reasons(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Result<Vec<ReasonCount>> {
        let (workspace, monitor) = (workspace.clone(), monitor.clone());
        let region = region.cloned();
        self.read(async move |connection| {
            breakdown::reasons(connection, &workspace, &monitor, range, region.as_ref()).await
        })
        .await
    }

    async fn certificates(&self, query: &ChartQuery) -> Result<Vec<CertificateSample>> {
        let query = query.clone();
        self.read(async move |connection| certificates::samples(connection, &query).await)
            .await
    }

    async fn overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Result<HashMap<MonitorId, Summary>> {
        let workspace = workspace.clone();
        self.read(async move |connection| summary::overview(connection, &workspace, range).await)
            .await
    }

    async fn summary(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
    ) -> Result<Summary> {
        let (workspace, monitor) = (workspace.clone(), monitor.clone());
        self.read(async move |connection| {
            summary::summary(connection, &workspace, &monitor, range).await
        })
        .await
    }

    async fn series(
        &self,
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<Bucket>> {
        let (workspace, monitor) = (workspace.clone(), monitor.cloned());
        self.read(async move |connection| {
            read::series(connection, &workspace, monitor.as_ref(), range, step).await
        })
        .await
    }

    async fn usage(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
        step: Duration,
    ) -> Result<Usage> {
        let workspace = workspace.clone();
        self.read(async move |connection| usage::usage(connection, &workspace, range, step).await)
            .await
    }

    async fn balances(&self, range: TimeRange) -> Result<Vec<Balance>> {
        self.read(async move |connection| read::balances(connection, range).await)
            .await
    }

    async fn gaps(&self, range: TimeRange) -> Result<Vec<DispatchGap>> {
        self.read(async move |connection| read::gaps(connection, range).await)
            .await
    }
}

/// Asks on a connection of its own: all statements see one state of the file, which ends with the connection.
async fn snapshot<T: Send + 'static>(
    file: LocalFile,
    question: impl AsyncFnOnce(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    blocking(async move || {
        let connection = file.connect()?;
        connection.execute("BEGIN", ()).await?;
        question(&connection).await
    })
    .await
}

impl From<OpenError> for ResultsError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NewerSchema { found, known } => Self::NewerSchema { found, known },
            OpenError::Unavailable(error) => error.into(),
        }
    }
}

impl From<Unavailable> for ResultsError {
    fn from(error: Unavailable) -> Self {
        unavailable(error)
    }
}

impl From<libsql::Error> for ResultsError {
    fn from(error: libsql::Error) -> Self {
        unavailable(error)
    }
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ResultsError {
    ResultsError::Unavailable(source.into())
}

fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ResultsError {
    ResultsError::Corrupt(source.into())
}

/// A key in the order of the tables' primary keys.
fn key_values(key: &CheckKey) -> [Value; 5] {
    [
        key.workspace.as_str().into(),
        key.monitor.as_str().into(),
        key.slot.as_micros().into(),
        key.region.as_str().into(),
        run_id_value(key.run_id).into(),
    ]
}

/// Exact, because run ids have at most 53 bits.
fn run_id_value(run_id: RunId) -> i64 {
    signed(run_id.as_u64())
}

/// Counts and microseconds are far below the limit where this saturates.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn text(region: &Region) -> String {
    region.as_str().to_owned()
}
