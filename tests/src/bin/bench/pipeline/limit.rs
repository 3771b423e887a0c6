//! The bare limit of the pipeline: a loop that only consumes, publishes and acknowledges, with messages of the same size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use lapin::{Confirmation, PublisherConfirm};
use sonde_core::{Clock as _, SystemClock};
use sonde_queue::{RESULTS_PER_MESSAGE, ResultsMessage, TaskMessage};
use sonde_tests::services::Amqp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::backlog::connect;
use crate::checks::{check, prober};
use crate::fleet::{Components, task_keys};
use crate::target::Target;
use crate::{bare, figures, processes};

/// As all classes of a checker together.
const PREFETCH: u16 = 1_000;
/// Tasks under way between the first publish and the last acknowledgement: enough to keep everybody busy.
const UNDER_WAY: u32 = 4_000;
const BATCH: u32 = 200;
const TASKS: &str = "bare.tasks";
const RESULTS: &str = "bare.results";

/// What one task of the bare loop costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) per_second: f64,
    /// Of the loop's own process, of the broker and of the target.
    pub(crate) own: Duration,
    pub(crate) broker: Duration,
    pub(crate) target: Duration,
}

impl Limit {
    pub(crate) fn cpu(&self) -> Duration {
        self.own + self.broker + self.target
    }
}

/// The messages of one real check, and of a full batch of its result.
#[derive(Clone)]
struct Payloads {
    task: Arc<Vec<u8>>,
    results: Arc<Vec<u8>>,
}

/// As fast as it goes for `time`; with a bare HTTP request per task when there is a target to ask.
pub(crate) async fn measure(
    components: &Components,
    target: &Target,
    request: bool,
    time: Duration,
) -> anyhow::Result<Limit> {
    let amqp = components.broker.vhost("bare").await;
    declare(&amqp).await?;
    let payloads = payloads(target).await?;
    let stored = Arc::new(AtomicU64::new(0));
    let under_way = Arc::new(Semaphore::new(UNDER_WAY as usize));
    // Each its own, as the roles have.
    let mut connections = Vec::new();
    let dispatching = channel(&amqp, &mut connections).await?;
    let publishing = channel(&amqp, &mut connections).await?;
    let tasks = consumer(channel(&amqp, &mut connections).await?, TASKS).await?;
    let results = consumer(channel(&amqp, &mut connections).await?, RESULTS).await?;
    let address = request.then_some(target.http);
    let mut loops = JoinSet::new();
    loops.spawn(dispatch(dispatching, payloads.task, Arc::clone(&under_way)));
    loops.spawn(probe(tasks, publishing, payloads.results, address));
    loops.spawn(store(results, Arc::clone(&stored), under_way));

    let run = async {
        tokio::time::sleep(Duration::from_secs(2)).await; // warms up
        let usages = || {
            let (broker, target) = (components.broker_usage(), processes::usage(target.pid()));
            (figures::own_cpu(), broker.cpu, target.cpu)
        };
        let (before, cpu, begin) = (stored.load(Ordering::Relaxed), usages(), Instant::now());
        tokio::time::sleep(time).await;
        let (count, elapsed) = (stored.load(Ordering::Relaxed) - before, begin.elapsed());
        let after = usages();
        let count = u32::try_from(count)?;
        ensure!(count > 0, "the bare loop does not move");
        anyhow::Ok(Limit {
            per_second: f64::from(count) / elapsed.as_secs_f64(),
            own: after.0.saturating_sub(cpu.0) / count,
            broker: after.1.saturating_sub(cpu.1) / count,
            target: after.2.saturating_sub(cpu.2) / count,
        })
    };
    tokio::select! {
        limit = run => limit,
        Some(ended) = loops.join_next() => match ended? {
            Ok(()) => anyhow::bail!("the bare loop ended"),
            Err(error) => Err(error),
        },
    }
}

async fn payloads(target: &Target) -> anyhow::Result<Payloads> {
    let url = format!("http://{}/health?n=1", target.http);
    let mut check = (*check(&url, None)?).clone();
    check.slot = SystemClock.now();
    check.dispatched_at = check.slot;
    check.deadline = check.slot + check.monitor.timeout;
    let result = prober()?.run(&check, &SystemClock).await;
    ensure!(result.outcome.is_up(), "{:?}", result.message);
    let task = TaskMessage::encode(&check, &task_keys()?);
    let results = ResultsMessage::encode(&vec![result; RESULTS_PER_MESSAGE]);
    Ok(Payloads {
        task: Arc::new(task),
        results: Arc::new(results),
    })
}

/// Queues with the arguments that real ones have.
async fn declare(amqp: &Amqp) -> anyhow::Result<()> {
    let connection = connect(&amqp.url).await?;
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut results = FieldTable::default();
    results.insert("x-queue-type".into(), text("quorum"));
    let mut tasks = results.clone();
    tasks.insert("x-delivery-limit".into(), AMQPValue::LongInt(3));
    tasks.insert("x-message-ttl".into(), AMQPValue::LongInt(3_600_000));
    tasks.insert("x-dead-letter-exchange".into(), text(""));
    tasks.insert("x-dead-letter-routing-key".into(), text("bare.dead"));
    tasks.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    tasks.insert("x-overflow".into(), text("reject-publish"));
    for (name, arguments) in [
        ("bare.dead", results.clone()),
        (RESULTS, results),
        (TASKS, tasks),
    ] {
        channel
            .queue_declare(name.into(), durable, arguments)
            .await?;
    }
    connection.close(200, "declared".into()).await?;
    Ok(())
}

/// On a connection of its own, which lives in `connections`.
async fn channel(amqp: &Amqp, connections: &mut Vec<Connection>) -> anyhow::Result<Channel> {
    let connection = connect(&amqp.url).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    connections.push(connection);
    Ok(channel)
}

async fn consumer(channel: Channel, queue: &str) -> anyhow::Result<Consumer> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments);
    Ok(consumer.await?)
}

/// The dispatcher's part: batches of tasks, confirmed.
async fn dispatch(
    channel: Channel,
    task: Arc<Vec<u8>>,
    under_way: Arc<Semaphore>,
) -> anyhow::Result<()> {
    loop {
        under_way.acquire_many(BATCH).await?.forget();
        let mut confirms = Vec::new();
        for _ in 0..BATCH {
            confirms.push(publish(&channel, TASKS, &task).await?);
        }
        for confirm in confirms {
            confirmed(&confirm.await?)?;
        }
    }
}

/// The checker's part: a request per task, a batch per 200, acknowledged after its confirmation.
async fn probe(
    mut consumer: Consumer,
    channel: Channel,
    results: Arc<Vec<u8>>,
    target: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let (mut requests, mut batches) = (JoinSet::new(), JoinSet::new());
    let mut done: Vec<Delivery> = Vec::new();
    loop {
        tokio::select! {
            delivery = consumer.next() => {
                let delivery = delivery.context("the consumer was cancelled")??;
                match target {
                    None => done.push(delivery),
                    Some(target) => {
                        requests.spawn(async move { bare::http(target).await.map(|()| delivery) });
                    }
                }
            }
            Some(asked) = requests.join_next() => done.push(asked??),
            Some(settled) = batches.join_next() => settled??,
        }
        if done.len() == RESULTS_PER_MESSAGE {
            let batch = std::mem::take(&mut done);
            batches.spawn(settle(batch, channel.clone(), Arc::clone(&results)));
        }
    }
}

async fn settle(
    batch: Vec<Delivery>,
    channel: Channel,
    results: Arc<Vec<u8>>,
) -> anyhow::Result<()> {
    confirmed(&publish(&channel, RESULTS, &results).await?.await?)?;
    for delivery in batch {
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// The ingester's part.
async fn store(
    mut consumer: Consumer,
    stored: Arc<AtomicU64>,
    under_way: Arc<Semaphore>,
) -> anyhow::Result<()> {
    while let Some(delivery) = consumer.next().await {
        delivery?.ack(BasicAckOptions::default()).await?;
        stored.fetch_add(RESULTS_PER_MESSAGE as u64, Ordering::Relaxed);
        under_way.add_permits(RESULTS_PER_MESSAGE);
    }
    Ok(())
}

async fn publish(
    channel: &Channel,
    queue: &str,
    payload: &[u8],
) -> anyhow::Result<PublisherConfirm> {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let publish = channel.basic_publish("".into(), queue.into(), options, payload, persistent);
    Ok(publish.await?)
}

fn confirmed(confirmation: &Confirmation) -> anyhow::Result<()> {
    ensure!(confirmation.is_ack(), "the broker refuses a message");
    Ok(())
}
