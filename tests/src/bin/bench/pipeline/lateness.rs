//! A whole dispatcher in this process, over a queue in memory: from the configuration file to the first task, and how
//! late tasks come. Everything of the dispatcher is real but the broker.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use sonde_config::{DEFAULT_QUEUES, parse_queues};
use sonde_core::{Clock as _, Region, SystemClock};
use sonde_dispatcher::{FleetDispatcher, FleetMetrics};
use sonde_queue::memory::{MemoryElection, MemoryQueue};
use sonde_queue::{Consumer, Queue as _, QueueName, SealingKeys, TaskMessage, Topology};
use sonde_store::ConfigStore as _;
use sonde_store::libsql::LibsqlStore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::figures::{own_cpu, quantile};
use crate::fleet::task_keys;
use crate::processes::{peak_memory, usage};

/// The first tasks come late by what loading took.
const WARM_UP: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
pub(super) struct Dispatching {
    /// From opening the configuration file to the first task in the queue.
    pub(super) load: Duration,
    pub(super) load_cpu: Duration,
    pub(super) memory: u64,
    pub(super) peak: u64,
    pub(super) per_second: f64,
    /// From the slot to the task's coming out of the queue, in milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) most: f64,
    /// Of the dispatcher, and of taking its tasks out of the queue.
    pub(super) cpu_per_task: Duration,
}

/// Dispatches what is configured in `file` for `time`.
pub(super) async fn dispatch(file: &Path, time: Duration) -> anyhow::Result<Dispatching> {
    let begin = Instant::now();
    let settings = parse_queues("queues.toml", DEFAULT_QUEUES).map_err(|it| anyhow!("{it}"))?;
    let (queue, region) = (MemoryQueue::new(), Region::local());
    let partitions = settings.partitions;
    let topology = Topology::new(&settings, std::slice::from_ref(&region), partitions);
    queue.declare(&topology).await?;
    let store = LibsqlStore::open(file, SealingKeys::none()).await?;
    let changes = store.changes(None).await?;
    ensure!(changes.unreadable.is_empty(), "the store is unreadable");
    let monitor = changes.changed.first().context("the store is empty")?;
    let frequency = settings.class_of(monitor.interval).name.clone();
    let name = QueueName::Checks { frequency, region };
    let mut consumer = queue.consume(&name, u16::MAX).await?;

    let dispatcher = FleetDispatcher {
        election: Arc::new(MemoryElection::new(queue.clone())),
        bus: Arc::new(queue),
        clock: Arc::new(SystemClock),
        partitions,
        settings,
        keys: task_keys()?,
        metrics: FleetMetrics::register(&mut Registry::default(), Arc::new(SystemClock)),
        id: "bench".to_owned(),
        internal_clock: true,
    };
    let (feed, changed) = mpsc::channel(1);
    feed.send(changes).await?;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    let stopped = stop.clone();
    running.spawn(async move { dispatcher.run(changed, stopped).await });
    take(&mut *consumer).await?;
    let (load, load_cpu) = (begin.elapsed(), own_cpu());

    lateness(&mut *consumer, WARM_UP).await?;
    let pid = std::process::id();
    let (memory, cpu, begin) = (usage(pid).memory, own_cpu(), Instant::now());
    let mut late = lateness(&mut *consumer, time).await?;
    let (cpu, elapsed) = (own_cpu().saturating_sub(cpu), begin.elapsed());
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    let tasks = u32::try_from(late.len())?.max(1);
    Ok(Dispatching {
        load,
        load_cpu,
        memory,
        peak: peak_memory(pid),
        per_second: f64::from(tasks) / elapsed.as_secs_f64(),
        p50: quantile(&mut late, 0.5),
        p99: quantile(&mut late, 0.99),
        most: quantile(&mut late, 1.0),
        cpu_per_task: cpu / tasks,
    })
}

/// Milliseconds from slots to now, as tasks come.
async fn lateness(consumer: &mut dyn Consumer, time: Duration) -> anyhow::Result<Vec<f64>> {
    let (begin, mut late) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        late.push(take(consumer).await?);
    }
    Ok(late)
}

async fn take(consumer: &mut dyn Consumer) -> anyhow::Result<f64> {
    let received = timeout(Duration::from_mins(1), consumer.receive());
    let delivery = received.await.context("no task comes")??;
    let now = SystemClock.now();
    let check = TaskMessage::outline(&delivery.payload)?;
    delivery.ack().await?;
    Ok(now.since(check.slot).as_secs_f64() * 1e3)
}
