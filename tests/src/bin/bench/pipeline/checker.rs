//! A checker alone, with tasks put into its queues by hand: its memory with a thousand checks in flight, and how soon
//! after its start it takes the first task.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use sonde_config::{DEFAULT_QUEUES, parse_queues};
use sonde_core::{Check, Clock as _, Frequency, QueueSettings, Region, SystemClock, Timestamp};
use sonde_queue::{ResultsMessage, TaskMessage};
use tokio::time::{Instant, MissedTickBehavior, timeout};

use crate::backlog::connect;
use crate::checks::check;
use crate::figures::{median, say};
use crate::fleet::{Components, Fleet, configuration, task_keys};
use crate::pipeline::proxy::Proxy;
use crate::processes::{peak_memory, usage};
use crate::report::{Report, mebibytes};
use crate::target::Target;

const REGION: &str = "bench";
const MEMORY_GOAL: u64 = 64 << 20;
const START_GOAL: Duration = Duration::from_millis(100);
/// A class whose tasks live long enough to wait for a checker.
const PATIENT: &str = "10m";

/// The tasks' side of the queues.
struct Feeder {
    _connection: Connection,
    channel: Channel,
    template: Check,
}

impl Feeder {
    async fn new(fleet: &Fleet, url: &str) -> anyhow::Result<Self> {
        let connection = connect(&fleet.amqp.url).await?;
        let channel = connection.create_channel().await?;
        let confirms = ConfirmSelectOptions::default();
        channel.confirm_select(confirms).await?;
        let mut template = (*check(url, None)?).clone();
        template.region = Region::new(REGION)?;
        Ok(Self {
            _connection: connection,
            channel,
            template,
        })
    }

    /// Puts `count` tasks that are due now into a class's queue; returns when the broker has them.
    async fn put(&self, class: &str, count: u32) -> anyhow::Result<()> {
        let (keys, mut check) = (task_keys()?, self.template.clone());
        check.frequency = Frequency::new(class)?;
        let now = SystemClock.now();
        check.dispatched_at = now;
        check.deadline = now + Duration::from_mins(1);
        let key = format!("{class}.{REGION}");
        let mut confirms = Vec::new();
        for n in 0..count {
            // Slots tell checks of one monitor apart.
            check.slot = now - Duration::from_micros(u64::from(n));
            let task = TaskMessage::encode(&check, &keys);
            let persistent = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions::default();
            let (exchange, key) = ("sonde.checks".into(), key.as_str().into());
            let publish = self
                .channel
                .basic_publish(exchange, key, options, &task, persistent);
            confirms.push(publish.await?);
        }
        for confirm in confirms {
            ensure!(confirm.await?.is_ack(), "the broker refuses a task");
        }
        Ok(())
    }
}

/// Fills every class's permits with checks of a target that takes a second to answer, and looks at the memory.
pub(crate) async fn memory(
    components: &Components,
    target: &Target,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let fleet = Fleet::create(components, REGION).await?;
    let queues = queues()?;
    let feeder = Feeder::new(&fleet, &format!("http://{}/slow", target.http)).await?;
    let checker = fleet.start("checker", "checker", REGION).await?;
    let pid = checker.running.pid();
    let idle = usage(pid).memory;
    let (mut full, mut most) = (Vec::new(), 0.0_f64);
    let (mut ticks, begin) = (
        tokio::time::interval(Duration::from_millis(500)),
        Instant::now(),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begin.elapsed() < time {
        ticks.tick().await;
        for class in &queues.frequencies {
            // A little more than is done in half a second, so that a permit is never free.
            let count = u32::from(class.prefetch) * 6 / 10 + 1;
            feeder.put(class.name.as_str(), count).await?;
        }
        let in_flight = checker.metric("sonde_checker_in_flight").await?;
        most = most.max(in_flight);
        if in_flight >= 950.0 {
            full.push(usage(pid).memory);
        }
    }
    let goal = "≤ 64 MiB RSS";
    let what = "checker memory at 1,000 checks in flight";
    let Some(&memory) = full.iter().max() else {
        let why = format!("never more than {most:.0} were in flight");
        report.missing(what, goal, &why);
        return Ok(());
    };
    let measured = format!(
        "{:.0} MiB RSS at most in {} looks at ≥ 950 in flight (idle {:.0} MiB, peak of the process {:.0} MiB)",
        mebibytes(memory),
        full.len(),
        mebibytes(idle),
        mebibytes(peak_memory(pid))
    );
    report.goal(what, &measured, goal, memory <= MEMORY_GOAL);
    Ok(())
}

/// From the start of the process to the first task's probe, with tasks waiting; through a proxy that sees when the
/// broker accepts the checker.
pub(crate) async fn start(
    components: &Components,
    target: &Target,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::create(components, REGION).await?;
    let url = format!("http://{}/health", target.http);
    // The leader, of whom a checker asks the time before anything else.
    fleet.load(&configuration(1, REGION, &url)).await?;
    let leader = fleet.start("dispatcher", "dispatcher", REGION).await?;
    let leads = async || matches!(leader.metric("sonde_dispatcher_leading").await, Ok(1.0));
    sonde_tests::wait_until(Duration::from_mins(1), leads).await;
    let feeder = Feeder::new(&fleet, &url).await?;
    let (_connection, mut results) = results(&fleet).await?;
    let proxy = Proxy::to(&fleet.amqp.url).await?;
    fleet.set("SONDE_AMQP_URL", proxy.url.clone());
    let (mut accepted, mut taken, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        feeder.put(PATIENT, 20).await?;
        proxy.forget();
        let begin = SystemClock.now();
        let running = fleet.role("checker", "checker", REGION).start().await;
        let first = timeout(Duration::from_secs(30), first_start(&mut results, begin));
        let first = first.await.context("the checker takes no task")??;
        let broker = proxy.accepted().context("the checker never connected")?;
        running.kill().await;
        let millis = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64() * 1e3;
        accepted.push(millis(begin, broker));
        taken.push(millis(begin, first));
        after.push(millis(broker, first));
    }
    let worst = taken.iter().copied().fold(0.0, f64::max);
    say(format!(
        "  checker start, {rounds} times: process start → broker accepts (connection.open-ok) {:.0} ms, → first probe {:.0} ms (median; most {worst:.0} ms)",
        median(accepted),
        median(taken)
    ));
    let most = after.iter().copied().fold(0.0, f64::max);
    let middle = median(after);
    report.goal(
        "checker start: broker accepts → first task's probe begins",
        &format!("median {middle:.0} ms, most {most:.0} ms of {rounds}"),
        "≤ 100 ms",
        middle <= START_GOAL.as_secs_f64() * 1e3,
    );
    Ok(())
}

/// The first start of a probe after `begin`, out of the results.
async fn first_start(results: &mut Consumer, begin: Timestamp) -> anyhow::Result<Timestamp> {
    loop {
        let delivery = results.next().await.context("no more results")??;
        let message = ResultsMessage::decode(&delivery.data)?;
        let starts = message
            .results
            .iter()
            .filter_map(|result| result.started_at);
        if let Some(first) = starts.filter(|start| *start >= begin).min() {
            return Ok(first);
        }
    }
}

/// What comes out of the first partition, where all results of the one monitor are.
async fn results(fleet: &Fleet) -> anyhow::Result<(Connection, Consumer)> {
    let connection = connect(&fleet.amqp.url).await?;
    let channel = connection.create_channel().await?;
    let partitions = queues()?.partitions;
    let template = check("http://localhost/", None)?;
    let (workspace, monitor) = (&template.monitor.workspace, &template.monitor.id);
    let partition = sonde_core::partition(workspace, monitor, partitions);
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let queue = format!("results.store.{partition}");
    let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    Ok((connection, consumer.await?))
}

fn queues() -> anyhow::Result<QueueSettings> {
    parse_queues("queues.toml", DEFAULT_QUEUES).map_err(|problems| anyhow::anyhow!("{problems}"))
}
