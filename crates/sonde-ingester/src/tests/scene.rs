//! What an ingester's tests stand on: the in-process queue, and a results file that can be told to fail.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sonde_core::{
    Balance, CheckKey, CheckResult, DispatchGap, LedgerEntry, Monitor, MonitorId, Outcome,
    QueueSettings, Reason, Region, Timestamp, WorkspaceId,
};
use sonde_queue::memory::MemoryQueue;
use sonde_queue::{
    Outgoing, Queue, QueueDeclaration, QueueName, Route, Topology, results_messages,
};
use sonde_results::libsql::LibsqlResults;
use sonde_results::{
    Bucket, CertificateSample, ChartBucket, ChartQuery, Charts, HeatCell, PhaseBucket, ReasonCount,
    ResultPage, ResultQuery, Results, ResultsError, Summary, TimeRange, Usage,
};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Ingester, IngesterError, IngesterMetrics, IngesterOptions, Stored};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough that only a full batch, or a shutdown, ends the waiting.
pub(super) const FOR_EVER: Duration = Duration::from_hours(1);
pub(super) const PARTITIONS: u16 = 3;

/// A store that fails as it is told.
pub(super) struct Unwell {
    store: LibsqlResults,
    /// Writes that it is away for.
    pub(super) away: AtomicU32,
    /// Refused, and everything with them.
    pub(super) refused: BTreeSet<MonitorId>,
    /// Writes from this one on are done, but never answered.
    pub(super) silent_from: u32,
    pub(super) writes: AtomicU32,
    pub(super) wrote: Notify,
}

type Answer<T> = Result<T, ResultsError>;

impl Unwell {
    fn is_there(&self) -> Answer<()> {
        let take = |left: u32| left.checked_sub(1);
        let away = self
            .away
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        match away {
            Ok(_) => Err(ResultsError::Unavailable("the disk is full".into())),
            Err(_) => Ok(()),
        }
    }

    async fn answer(&self) {
        let write = self.writes.fetch_add(1, Ordering::Relaxed);
        self.wrote.notify_one();
        if write >= self.silent_from {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Results for Unwell {
    async fn store(&self, results: &[CheckResult]) -> Answer<()> {
        self.is_there()?;
        if results.iter().any(|it| self.refused.contains(&it.monitor)) {
            return Err(ResultsError::Rejected("a value is out of range".into()));
        }
        self.store.store(results).await?;
        self.answer().await;
        Ok(())
    }

    async fn record(&self, ledger: &[LedgerEntry], gaps: &[DispatchGap]) -> Answer<()> {
        self.is_there()?;
        if ledger.iter().any(|entry| entry.scheduled == u64::MAX) {
            return Err(ResultsError::Rejected("a value is out of range".into()));
        }
        self.store.record(ledger, gaps).await
    }

    async fn page(&self, query: &ResultQuery) -> Answer<ResultPage> {
        self.store.page(query).await
    }

    async fn find(&self, key: &CheckKey) -> Answer<Option<CheckResult>> {
        self.store.find(key).await
    }

    async fn latest(&self, workspace: &WorkspaceId) -> Answer<Vec<CheckResult>> {
        self.store.latest(workspace).await
    }

    async fn latest_of(
        &self,
        workspace: &WorkspaceId,
        monitors: &[MonitorId],
    ) -> Answer<Vec<CheckResult>> {
        self.store.latest_of(workspace, monitors).await
    }

    async fn recent(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
        limit: u32,
    ) -> Answer<Vec<CheckResult>> {
        self.store.recent(workspace, from, limit).await
    }

    async fn chart(&self, query: &ChartQuery) -> Answer<Vec<ChartBucket>> {
        self.store.chart(query).await
    }

    async fn charts(&self, query: &ChartQuery) -> Answer<Charts> {
        self.store.charts(query).await
    }

    async fn phases(&self, query: &ChartQuery) -> Answer<Vec<PhaseBucket>> {
        self.store.phases(query).await
    }

    async fn heat(&self, query: &ChartQuery) -> Answer<Vec<HeatCell>> {
        self.store.heat(query).await
    }

    async fn reasons(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
        region: Option<&Region>,
    ) -> Answer<Vec<ReasonCount>> {
        self.store.reasons(workspace, monitor, range, region).await
    }

    async fn certificates(&self, query: &ChartQuery) -> Answer<Vec<CertificateSample>> {
        self.store.certificates(query).await
    }

    async fn overview(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
    ) -> Answer<HashMap<MonitorId, Summary>> {
        self.store.overview(workspace, range).await
    }

    async fn summary(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
        range: TimeRange,
    ) -> Answer<Summary> {
        self.store.summary(workspace, monitor, range).await
    }

    async fn series(
        &self,
        workspace: &WorkspaceId,
        monitor: Option<&MonitorId>,
        range: TimeRange,
        step: Duration,
    ) -> Answer<Vec<Bucket>> {
        self.store.series(workspace, monitor, range, step).await
    }

    async fn usage(
        &self,
        workspace: &WorkspaceId,
        range: TimeRange,
        step: Duration,
    ) -> Answer<Usage> {
        self.store.usage(workspace, range, step).await
    }

    async fn balances(&self, range: TimeRange) -> Answer<Vec<Balance>> {
        self.store.balances(range).await
    }

    async fn gaps(&self, range: TimeRange) -> Answer<Vec<DispatchGap>> {
        self.store.gaps(range).await
    }
}

pub(super) struct Scene {
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) results: Unwell,
    pub(super) options: IngesterOptions,
    folder: TempDir,
}

/// An ingester that runs, until it is dropped at the latest.
pub(super) struct Running {
    pub(super) shutdown: CancellationToken,
    storing: watch::Receiver<bool>,
    pub(super) results: Arc<Unwell>,
    options: IngesterOptions,
    folder: TempDir,
    ingester: JoinSet<Result<(), IngesterError>>,
}

impl Running {
    pub(super) async fn ended(&mut self) {
        let ended = timeout(PATIENCE, self.ingester.join_next()).await;
        ended.expect("it does not end").unwrap().unwrap().unwrap();
    }

    /// The store is away, which is noticed, and comes back.
    pub(super) async fn recover(&mut self) {
        self.until_storing(false).await;
        self.results.away.store(0, Ordering::Relaxed);
        self.until_storing(true).await;
    }

    pub(super) async fn until_storing(&mut self, expected: bool) {
        let told = self.storing.wait_for(|storing| *storing == expected);
        timeout(PATIENCE, told).await.expect("not told").unwrap();
    }

    /// Kills it where it is; what it left is the scene of the next one.
    pub(super) async fn kill(mut self, queue: Arc<MemoryQueue>) -> Scene {
        self.ingester.shutdown().await;
        let mut ticks = interval(Duration::from_millis(10));
        while Arc::strong_count(&self.results) > 1 {
            ticks.tick().await;
        }
        Scene {
            queue,
            results: Arc::into_inner(self.results).expect("nobody holds it"),
            options: self.options,
            folder: self.folder,
        }
    }
}

impl Scene {
    /// With every queue, with a place for poison and the ledger.
    pub(super) async fn new() -> Self {
        let scene = Self::without_poison().await;
        let queues = vec![
            QueueDeclaration::unbounded(QueueName::Poison, Some(Route::Poison)),
            QueueDeclaration::unbounded(QueueName::Ledger, Some(Route::Ledger)),
        ];
        scene.queue.declare(&Topology { queues }).await.unwrap();
        scene
    }

    pub(super) async fn without_poison() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.db");
        let results = Unwell {
            store: LibsqlResults::open(&path).await.unwrap(),
            away: AtomicU32::new(0),
            refused: BTreeSet::new(),
            silent_from: u32::MAX,
            writes: AtomicU32::new(0),
            wrote: Notify::new(),
        };
        let settings = QueueSettings {
            retry: Monitor::sample().retry,
            delivery_limit: 0,
            frequencies: Vec::new(),
            partitions: PARTITIONS,
            alerting: false,
        };
        let mut topology = Topology::new(&settings, &[Region::local()], PARTITIONS);
        topology
            .queues
            .retain(|queue| !matches!(queue.name, QueueName::Poison | QueueName::Ledger));
        let queue = MemoryQueue::new();
        queue.declare(&topology).await.unwrap();
        Self {
            queue: Arc::new(queue),
            results,
            options: IngesterOptions::LOCAL,
            folder,
        }
    }

    pub(super) async fn publish(&self, route: Route, payload: Vec<u8>) {
        let message = Outgoing { route, payload };
        self.queue.publish(vec![message]).await.unwrap();
    }

    /// Each in a message of its own.
    pub(super) async fn publish_results(&self, results: &[CheckResult]) {
        for result in results {
            let messages = results_messages(vec![result.clone()], PARTITIONS);
            self.queue.publish(messages).await.unwrap();
        }
    }

    pub(super) fn start(self) -> (Arc<MemoryQueue>, Running) {
        let results = Arc::new(self.results);
        let (storing, looks) = watch::channel(true);
        let ingester = Ingester {
            queue: Arc::clone(&self.queue) as _,
            results: Arc::clone(&results) as _,
            partitions: PARTITIONS,
            options: self.options,
            stored: Stored::new(16),
            storing,
            metrics: IngesterMetrics::register(&mut Registry::default()),
        };
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(ingester.run(shutdown.clone()));
        let running = Running {
            shutdown,
            storing: looks,
            results,
            options: self.options,
            folder: self.folder,
            ingester: running,
        };
        (self.queue, running)
    }
}

/// One result per monitor `m0`, `m1`, …, in any partition.
pub(super) fn results(count: usize) -> Vec<CheckResult> {
    let of = |n| {
        let mut result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
        result.monitor = monitor(n);
        result
    };
    (0..count).map(of).collect()
}

pub(super) fn monitor(n: usize) -> MonitorId {
    MonitorId::new(&format!("m{n}")).unwrap()
}

pub(super) async fn outcome(results: &Unwell, key: &CheckKey) -> Option<(Outcome, Option<Reason>)> {
    let found = results.find(key).await.unwrap();
    found.map(|result| (result.outcome, result.reason))
}

/// How many rows there are of the sample's minute.
pub(super) async fn rows(results: &Unwell) -> u64 {
    let slot = CheckResult::sample().slot;
    let range = TimeRange {
        from: slot,
        to: slot + Duration::from_secs(1),
    };
    let workspace = WorkspaceId::local();
    let buckets = results.series(&workspace, None, range, Duration::from_mins(1));
    let buckets = buckets.await.unwrap();
    buckets
        .iter()
        .map(|it| it.ok + it.degraded + it.failed + it.missed)
        .sum()
}

pub(super) async fn waiting(queue: &MemoryQueue, name: &QueueName) -> u64 {
    queue.depth(name).await.unwrap().ready
}

/// Waits until nobody has, and nobody waits for, what was in these queues.
pub(super) async fn until_empty(queue: &MemoryQueue, names: &[QueueName]) {
    let mut ticks = interval(Duration::from_millis(10));
    let empty = timeout(PATIENCE, async {
        for name in names {
            while waiting(queue, name).await > 0 {
                ticks.tick().await;
            }
        }
    });
    empty.await.expect("not empty");
}

pub(super) fn stores() -> Vec<QueueName> {
    let name = |partition| QueueName::Store { partition };
    (0..PARTITIONS).map(name).collect()
}

/// What was set aside so far, sorted.
pub(super) async fn poison(queue: &MemoryQueue) -> Vec<String> {
    let mut consumer = queue.consume(&QueueName::Poison, 1000).await.unwrap();
    let mut found = Vec::new();
    for _ in 0..waiting(queue, &QueueName::Poison).await {
        let delivery = timeout(PATIENCE, consumer.receive())
            .await
            .unwrap()
            .unwrap();
        found.push(String::from_utf8_lossy(&delivery.payload).into_owned());
        delivery.ack().await.unwrap();
    }
    found.sort();
    found
}

pub(super) const MINUTE: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);
