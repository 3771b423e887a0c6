//! A store that is away, dead letters, and messages that nobody can read.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sonde_core::{
    Balance, Check, CheckKey, DispatchGap, LedgerEntry, Monitor, MonitorId, Outcome, QueueSettings,
    Reason, Region, Timestamp, WorkspaceId,
};
use sonde_queue::memory::MemoryQueue;
use sonde_queue::{Outgoing, Route, TaskKeys, TaskMessage, Topology, results_messages};
use sonde_results::libsql::LibsqlResults;
use sonde_results::{Bucket, ResultPage, ResultQuery, ResultsError, Summary, TimeRange};
use tempfile::TempDir;

use super::*;

/// A store that refuses its first writes.
struct Unwell {
    store: LibsqlResults,
    failures: AtomicU32,
}

type Answer<T> = Result<T, ResultsError>;

#[async_trait]
impl Results for Unwell {
    async fn store(&self, results: &[CheckResult]) -> Answer<()> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(ResultsError::Unavailable("the disk is full".into()));
        }
        self.store.store(results).await
    }

    async fn record(&self, ledger: &[LedgerEntry], gaps: &[DispatchGap]) -> Answer<()> {
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

    async fn balances(&self, range: TimeRange) -> Answer<Vec<Balance>> {
        self.store.balances(range).await
    }

    async fn gaps(&self, range: TimeRange) -> Answer<Vec<DispatchGap>> {
        self.store.gaps(range).await
    }
}

/// An ingester with its queue and store, run to the end of the queue.
struct Scene {
    queue: Arc<MemoryQueue>,
    results: Arc<Unwell>,
    _folder: TempDir,
}

impl Scene {
    async fn new(failures: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LibsqlResults::open(&folder.path().join("results.db"))
            .await
            .unwrap();
        let settings = QueueSettings {
            retry: Monitor::sample().retry,
            delivery_limit: 0,
            frequencies: Vec::new(),
            partitions: 1,
            alerting: false,
        };
        let queue = Arc::new(MemoryQueue::new());
        queue
            .declare(&Topology::new(&settings, &[Region::local()], 1))
            .await
            .unwrap();
        let results = Arc::new(Unwell {
            store,
            failures: AtomicU32::new(failures),
        });
        Self {
            queue,
            results,
            _folder: folder,
        }
    }

    /// Ingests all that is in the queue; fails when that takes forever.
    async fn ingest(&self) {
        self.queue.close();
        let ingester = Ingester {
            queue: Arc::clone(&self.queue) as _,
            results: Arc::clone(&self.results) as _,
            partitions: 1,
            stored: Stored::new(16),
            metrics: IngesterMetrics::register(&mut Registry::default()),
        };
        let run = ingester.run(CancellationToken::new());
        tokio::time::timeout(Duration::from_secs(30), run)
            .await
            .unwrap()
            .unwrap();
    }

    async fn outcome(&self, key: &CheckKey) -> Option<(Outcome, Option<Reason>)> {
        let found = self.results.find(key).await.unwrap();
        found.map(|result| (result.outcome, result.reason))
    }
}

#[tokio::test]
async fn results_wait_for_a_store_that_is_away() {
    let scene = Scene::new(2).await;
    let result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
    scene
        .queue
        .publish(results_messages(vec![result.clone()], 1))
        .await
        .unwrap();
    scene.ingest().await;
    assert_eq!(
        scene.outcome(&result.key()).await,
        Some((Outcome::Ok, None))
    );
}

#[tokio::test]
async fn a_dead_letter_becomes_a_missed_row() {
    let scene = Scene::new(0).await;
    let check = Check::sample(Timestamp::UNIX_EPOCH);
    let (name, route) = (
        QueueName::Now {
            region: Region::local(),
        },
        Route::Now {
            region: Region::local(),
        },
    );
    let task = Outgoing {
        route,
        payload: TaskMessage::encode(&check, &TaskKeys::none()),
    };
    scene.queue.publish(vec![task]).await.unwrap();
    // A checker takes it and dies; the delivery limit is zero.
    drop(
        scene
            .queue
            .consume(&name, 1)
            .await
            .unwrap()
            .receive()
            .await
            .unwrap(),
    );
    scene.ingest().await;
    let expected = Some((Outcome::Missed, Some(Reason::Unprocessed)));
    assert_eq!(scene.outcome(&check.key()).await, expected);
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_alone() {
    let scene = Scene::new(0).await;
    let result = CheckResult::sample_executed(Outcome::Ok, Duration::ZERO);
    let good = results_messages(vec![result.clone()], 1);
    let route = Route::Results { partition: 0 };
    let mixed = String::from_utf8(good[0].payload.clone()).unwrap();
    let mixed = mixed.replacen("[{", r#"[{"v":1,"outcome":"fine"},{"#, 1);
    for payload in [
        b"not JSON".to_vec(),
        br#"{"v":99,"results":[]}"#.to_vec(),
        mixed.into_bytes(),
    ] {
        let route = route.clone();
        scene
            .queue
            .publish(vec![Outgoing { route, payload }])
            .await
            .unwrap();
    }
    scene.ingest().await;
    assert_eq!(
        scene.outcome(&result.key()).await,
        Some((Outcome::Ok, None))
    );
}
