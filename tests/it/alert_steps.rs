//! An alerter that dies between any two steps, from a result to a channel: the next one tells each incident once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;
use sonde_alert::{Alerter, AlerterMetrics, Courier, Sender};
use sonde_config::DEFAULT_QUEUES;
use sonde_core::{
    CheckResult, Clock as _, Monitor, MonitorId, Outcome, QueueSettings, Region, SystemClock,
    Timestamp, WorkspaceId,
};
use sonde_probe::Egress;
use sonde_queue::memory::{MemoryElection, MemoryQueue};
use sonde_queue::{Queue as _, Topology, results_messages};
use sonde_seal::SealingKeys;
use sonde_store::libsql::LibsqlStore;
use sonde_store::{
    AlertChange, AlertStore, Annotation, Change, Changes, ConfigStore as _, DueNotice, Incident,
    IncidentEvent, IncidentQuery, KeptAlert, KeptReport, NewNotice, Put, Resolution, Resource,
    ResourceKind, Result, Screenshot, Shot, Telling, Told, WantedScreenshot,
};
use sonde_tests::hook::{self, told_once};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);
const INTERVAL: Duration = Duration::from_secs(5);
const MONITORS: [&str; 3] = ["a", "b", "c"];
/// A life without a death takes fewer until all is told.
const STEPS: usize = 40;
/// Lives that are tried at once.
const TOGETHER: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_between_two_steps_each_incident_is_told_once() {
    let steps: Vec<usize> = (0..STEPS).collect();
    for together in steps.chunks(TOGETHER) {
        join_all(together.iter().map(|step| one_dies_after(*step))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_hangs_or_leads_elsewhere_delays_nobody() {
    let scene = Scene::new().await;
    let (hour, elsewhere) = (Duration::from_hours(1), scene.receiver.url("/elsewhere"));
    scene.receiver.set("/hangs", Reply::text("").after(hour));
    scene
        .receiver
        .set("/leads", Reply::redirect(302, &elsewhere));
    scene.receiver.set("/elsewhere", Reply::text(""));
    scene.channel("hangs", &scene.receiver.url("/hangs")).await;
    scene.channel("leads", &scene.receiver.url("/leads")).await;
    scene.channel("private", "http://127.0.0.2:9/hook").await;
    let _life = scene.start(usize::MAX).await;
    scene.results(0, Outcome::Failed).await;
    wait_until(PATIENCE, async || scene.told_to_all("opened")).await;
    scene.results(1, Outcome::Ok).await;
    wait_until(PATIENCE, async || scene.told_to_all("resolved")).await;
    let local = WorkspaceId::local();
    let told = async |channel: &str| scene.store.tellings_to(&local, channel, 100).await.unwrap();
    wait_until(PATIENCE, async || {
        let forbidden = |it: &Telling| {
            let error = it.error.as_deref();
            it.state == "failed" && error.is_some_and(|error| error.contains("egress guard"))
        };
        told("private").await.iter().any(forbidden)
    })
    .await;
    wait_until(PATIENCE, async || {
        let tried = |it: &Telling| it.state == "waiting" && it.attempts > 0;
        told("leads").await.iter().any(tried)
    })
    .await;
    assert!(told("hangs").await.iter().all(|it| it.state == "waiting"));
    let paths = scene.receiver.requests().into_iter();
    assert!(paths.map(|it| it.path).all(|path| path != "/elsewhere"));
}

async fn one_dies_after(steps: usize) {
    let scene = Scene::new().await;
    let first = scene.start(steps).await;
    scene.results(0, Outcome::Failed).await;
    wait_until(PATIENCE, async || {
        first.died.is_cancelled() || scene.told_to_all("opened")
    })
    .await;
    drop(first);
    let _second = scene.start(usize::MAX).await;
    wait_until(PATIENCE, async || scene.told_to_all("opened")).await;
    scene.results(1, Outcome::Ok).await;
    wait_until(PATIENCE, async || scene.told_to_all("resolved")).await;
    wait_until(PATIENCE, async || scene.is_written_down().await).await;
    for (monitor, told) in told_once(&scene.receiver) {
        assert_eq!(told, ["opened", "resolved"], "{monitor} after {steps}");
    }
}

/// What outlives every alerter.
struct Scene {
    queue: MemoryQueue,
    election: MemoryElection,
    store: Arc<LibsqlStore>,
    receiver: HttpStub,
    begin: Timestamp,
    _folder: TempDir,
}

/// An alerter; dropped, it is dead.
struct Life {
    died: CancellationToken,
    _tasks: JoinSet<()>,
    _feed: mpsc::Sender<Changes>,
}

impl Scene {
    async fn new() -> Self {
        // Fails only when a provider is already installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sonde.db");
        let store = LibsqlStore::open(&file, SealingKeys::none()).await.unwrap();
        let receiver = hook::receiver().await;
        let mut change = Change::new(WorkspaceId::local(), None);
        change.puts = MONITORS.map(|name| Put::monitor(monitor(name))).into();
        store.change(change).await.unwrap();

        let queue = MemoryQueue::new();
        let topology = Topology::new(&settings(), &[Region::local()], 1);
        queue.declare(&topology).await.unwrap();
        let scene = Self {
            election: MemoryElection::new(queue.clone()),
            queue,
            store: Arc::new(store),
            receiver,
            begin: SystemClock.now() - INTERVAL,
            _folder: folder,
        };
        scene.channel("hook", &scene.receiver.url("/hook")).await;
        scene
    }

    async fn channel(&self, id: &str, url: &str) {
        let send = json!({ "send": { "webhook": { "url": url } } });
        let mut change = Change::new(WorkspaceId::local(), None);
        let channel = Put::other(ResourceKind::Channel, id, send.to_string());
        change.puts.push(channel);
        self.store.change(change).await.unwrap();
    }

    /// One that dies after so many steps.
    async fn start(&self, steps: usize) -> Life {
        let died = CancellationToken::new();
        let store: Arc<dyn AlertStore> = Arc::new(Mortal {
            store: Arc::clone(&self.store),
            left: AtomicUsize::new(steps),
            died: died.clone(),
        });
        let courier = Courier {
            store: Arc::clone(&store),
            sender: Sender::new(only_here(), false, None).unwrap(),
            clock: Arc::new(SystemClock),
            told: Arc::new(Notify::new()),
        };
        let alerter = Alerter {
            election: Arc::new(self.election.clone()),
            bus: Arc::new(self.queue.clone()),
            store,
            clock: Arc::new(SystemClock),
            queues: settings(),
            partitions: 1,
            task_keys: SealingKeys::none(),
            public_url: None,
            courier: Arc::new(courier),
            opened: Arc::new(Notify::new()),
            metrics: AlerterMetrics::default(),
        };
        let (feed, told) = mpsc::channel(1);
        let all = self.store.changes(None).await.unwrap();
        feed.try_send(all).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let ended = alerter.run(told, CancellationToken::new()).await;
            unreachable!("an alerter ended: {ended:?}");
        });
        Life {
            died,
            _tasks: tasks,
            _feed: feed,
        }
    }

    async fn results(&self, round: u32, outcome: Outcome) {
        let results = MONITORS.map(|name| {
            let mut result = CheckResult::sample_executed(outcome, Duration::from_millis(5));
            result.monitor = MonitorId::new(name).unwrap();
            result.slot = self.begin + INTERVAL * round;
            result
        });
        let messages = results_messages(results.into(), 1);
        self.queue.publish(messages).await.unwrap();
    }

    fn told_to_all(&self, event: &str) -> bool {
        let told = told_once(&self.receiver);
        MONITORS.iter().all(|name| {
            let told = told.get(*name);
            told.is_some_and(|told| told.iter().any(|it| it == event))
        })
    }

    /// One incident each, which has ended, and all notices are settled.
    async fn is_written_down(&self) -> bool {
        let local = WorkspaceId::local();
        let query = IncidentQuery {
            limit: 100,
            ..IncidentQuery::default()
        };
        let incidents = self.store.incidents(&local, &query).await.unwrap();
        assert!(incidents.len() <= MONITORS.len(), "{incidents:?}");
        let told = self.store.tellings_to(&local, "hook", 100).await.unwrap();
        assert!(told.len() <= 2 * MONITORS.len(), "{told:?}");
        incidents.iter().all(|it| it.resolved_at.is_some())
            && told.len() == 2 * MONITORS.len()
            && told.iter().all(|it| it.state == "sent")
    }
}

fn settings() -> QueueSettings {
    sonde_config::parse_queues("queues.toml", DEFAULT_QUEUES).unwrap()
}

/// The guard, with the receiver's address allowed.
fn only_here() -> Egress {
    Egress::guarded(vec!["127.0.0.1/32".parse().unwrap()])
}

fn monitor(name: &str) -> Monitor {
    let mut monitor = Monitor {
        id: MonitorId::new(name).unwrap(),
        interval: INTERVAL,
        ..Monitor::sample()
    };
    monitor.alert.fail_after = 1;
    monitor.alert.recover_after = 1;
    monitor
}

/// A store that whoever uses it lives to ask so many times.
struct Mortal {
    store: Arc<LibsqlStore>,
    left: AtomicUsize,
    died: CancellationToken,
}

impl Mortal {
    async fn step(&self) {
        let less = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        if left.is_err() {
            self.died.cancel();
            std::future::pending::<()>().await;
        }
    }
}

/// Somebody may die before and after each of them.
macro_rules! mortal {
    ($(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $answer:ty;)+) => {
        #[async_trait]
        impl AlertStore for Mortal {
            $(async fn $name(&self $(, $argument: $type)*) -> $answer {
                self.step().await;
                let answer = self.store.$name($($argument),*).await;
                self.step().await;
                answer
            })+
        }
    };
}

mortal! {
    async fn channels(&self) -> Result<Vec<(WorkspaceId, Resource)>>;
    async fn channel(&self, workspace: &WorkspaceId, id: &str) -> Result<Option<String>>;
    async fn heartbeat(&self, workspace: &WorkspaceId, monitor: &MonitorId) -> Result<Option<String>>;
    async fn reports(&self) -> Result<Vec<KeptReport>>;
    async fn alert_states(&self) -> Result<Vec<KeptAlert>>;
    async fn take_over(&self) -> Result<u64>;
    async fn decide(&self, change: AlertChange) -> Result<()>;
    async fn incidents(&self, workspace: &WorkspaceId, query: &IncidentQuery) -> Result<Vec<Incident>>;
    async fn incident(&self, workspace: &WorkspaceId, id: Uuid) -> Result<Option<Incident>>;
    async fn incident_events(&self, workspace: &WorkspaceId, id: Uuid) -> Result<Vec<IncidentEvent>>;
    async fn annotate(&self, workspace: &WorkspaceId, id: Uuid, annotation: Annotation, by: &str, at: Timestamp) -> Result<bool>;
    async fn resolve(&self, workspace: &WorkspaceId, resolution: Resolution) -> Result<bool>;
    async fn notices_due(&self, at: Timestamp, most_of_one: u32) -> Result<Vec<DueNotice>>;
    async fn told(&self, id: Uuid, at: Timestamp, told: Told, reminder: Option<NewNotice>) -> Result<()>;
    async fn forget(&self, told: Timestamp, resolved: Timestamp, most: u32) -> Result<u64>;
    async fn screenshots_wanted(&self, since: Timestamp, at: Timestamp, limit: u32) -> Result<Vec<WantedScreenshot>>;
    async fn claim_screenshot(&self, wanted: &WantedScreenshot, until: Timestamp) -> Result<bool>;
    async fn settle_screenshot(&self, claimed: &WantedScreenshot, at: Timestamp, shot: Shot) -> Result<bool>;
    async fn screenshot(&self, workspace: &WorkspaceId, incident: Uuid) -> Result<Option<Screenshot>>;
    async fn screenshots_to_forget(&self, before: Timestamp, at: Timestamp, limit: u32) -> Result<Vec<(WorkspaceId, Uuid)>>;
    async fn forget_screenshot(&self, incident: Uuid) -> Result<()>;
    async fn tellings_to(&self, workspace: &WorkspaceId, channel: &str, limit: u32) -> Result<Vec<Telling>>;
    async fn tellings(&self, workspace: &WorkspaceId, incident: Uuid) -> Result<Vec<Telling>>;
}
