//! Alerting: ten thousand results a second with a tenth of the targets down, and whoever decides killed in the middle; then
//! how long it takes from a failing result to a webhook.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sonde_core::{
    Check, CheckResult, Clock as _, Monitor, Outcome, QueueSettings, Reason, RunId, SystemClock,
    Timestamp, Trigger, WorkspaceId,
};
use sonde_queue::amqp::{Amqp, Options};
use sonde_queue::{Queue as _, results_messages};
use sonde_store::libsql::LibsqlStore;
use sonde_store::{
    AlertStore as _, Change, ConfigStore as _, Incident, IncidentQuery, Put, ResourceKind,
};
use sonde_tests::hook;
use sonde_tests::stub::http::HttpStub;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backlog::Backlog;
use crate::figures::{quantile, say};
use crate::fleet::{Components, Fleet, Role, configuration};

const REGION: &str = "bench";
const INTERVAL: Duration = Duration::from_secs(5);
const MONITORS: u32 = 50_000;
/// Every tenth target fails from one round to another; a round is one result of each monitor.
const FAILING: u32 = 10;
const FAILS_FROM: u32 = 3;
const FAILS_TO: u32 = 8;
const ROUNDS: u32 = 12;
/// Whoever decides dies in the middle of the round in which most is decided.
const DIES_IN: u32 = 4;
const STEP: Duration = Duration::from_millis(100);
const STEPS: u32 = 50;
const LATENCIES: u32 = 200;
const PATIENCE: Duration = Duration::from_mins(2);

/// Both parts, or the one that is named.
pub(crate) async fn run(only: Option<&str>) -> anyhow::Result<()> {
    let replays = only.is_none_or(|only| only == "replay");
    let monitors = if replays { MONITORS } else { LATENCIES };
    let components = Components::start().await?;
    let fleet = Fleet::alerting(&components, REGION).await?;
    fleet
        .load(&configuration(monitors, REGION, "http://127.0.0.1:9/"))
        .await?;
    let store = fleet.store().await?;
    let monitors = store.monitors(&WorkspaceId::local()).await?;
    let monitors = monitors.into_values().into_iter().map(Arc::new).collect();
    // Before anybody decides, so that there is a channel from the beginning.
    let _first = receiver(&store).await?;
    let mut alerters = vec![
        fleet.start("alerter", "alerter-a", REGION).await?,
        fleet.start("alerter", "alerter-b", REGION).await?,
    ];
    let amqp = Amqp::start(Options {
        url: fleet.amqp.url.clone(),
        name: "bench".to_owned(),
    })?;
    let stage = Stage {
        amqp,
        monitors,
        queues: sonde_config::parse_queues("queues.toml", sonde_config::DEFAULT_QUEUES)
            .context("the built-in queues")?,
    };
    let measured = async {
        if replays {
            stage.replay(&fleet, &store, &mut alerters).await?;
        }
        if only.is_none_or(|only| only == "latency") {
            // Another one, so that all that was told before is not read again and again.
            stage.latency(&receiver(&store).await?).await?;
        }
        anyhow::Ok(())
    };
    let measured = measured.await;
    measured.with_context(|| {
        let logs = alerters.iter().map(|alerter| alerter.running.log());
        format!("the alerters said:\n{}", logs.collect::<String>())
    })
}

/// From now on it is told what anybody is.
async fn receiver(store: &LibsqlStore) -> anyhow::Result<HttpStub> {
    let receiver = hook::receiver().await;
    let send = json!({ "send": { "webhook": { "url": receiver.url("/hook") } } });
    let mut change = Change::new(WorkspaceId::local(), None);
    let channel = Put::other(ResourceKind::Channel, "hook", send.to_string());
    change.puts.push(channel);
    store.change(change).await?;
    Ok(receiver)
}

struct Stage {
    amqp: Amqp,
    monitors: Vec<Arc<Monitor>>,
    queues: QueueSettings,
}

impl Stage {
    /// Plays the checkers: all results of a round, spread over it.
    async fn replay(
        &self,
        fleet: &Fleet,
        store: &LibsqlStore,
        alerters: &mut Vec<Role>,
    ) -> anyhow::Result<()> {
        let backlog = Backlog::of_alerts(&fleet.amqp).await?;
        let (begin, first) = (Instant::now(), SystemClock.now());
        let (mut most, mut published) = (0, 0);
        for step in 0..ROUNDS * STEPS {
            sleep_until(begin + STEP * step).await;
            let (round, part) = (step / STEPS, step % STEPS);
            let some = self.monitors.iter().zip(0_u32..);
            let some = some.filter(|(_, n)| n % STEPS == part);
            let results: Vec<_> = some
                .map(|(monitor, n)| {
                    let fails = n % FAILING == 0 && (FAILS_FROM..FAILS_TO).contains(&round);
                    self.result(monitor, first + INTERVAL * round, fails)
                })
                .collect();
            published += results.len();
            self.publish(results).await?;
            if (round, part) == (DIES_IN, STEPS / 2) {
                let leader = leading(alerters).await?;
                alerters.swap_remove(leader).running.kill().await;
            }
            most = most.max(backlog.now().await?.results);
        }
        let rate = f64::from(u32::try_from(published)?) / begin.elapsed().as_secs_f64();
        let caught_up = Instant::now();
        let incidents = settled(store).await?;
        say(format!(
            "{rate:.0} results/s for {} s, every {FAILING}th of {MONITORS} targets down: {} incidents (wanted {}), each of \
             another monitor: {}; waiting at most {most} messages; all decided {:.1} s after the last result; whoever decided \
             was killed once in between",
            (STEP * STEPS * ROUNDS).as_secs(),
            incidents.len(),
            MONITORS / FAILING,
            incidents
                .iter()
                .map(|it| &it.monitor)
                .collect::<HashSet<_>>()
                .len()
                == incidents.len(),
            caught_up.elapsed().as_secs_f64(),
        ));
        for alerter in alerters {
            let usage = alerter.usage();
            say(format!("  an alerter: {usage:?}"));
        }
        Ok(())
    }

    /// One target that was well after the other: both failures that it takes, until somebody is told of it.
    async fn latency(&self, receiver: &HttpStub) -> anyhow::Result<()> {
        let well = self.monitors.iter().zip(0_u32..);
        let well = well.filter(|(_, n)| self.monitors.len() < MONITORS as usize || n % FAILING > 0);
        let mut latencies = Vec::new();
        for (monitor, _) in well.take(LATENCIES as usize) {
            let now = SystemClock.now();
            self.publish(vec![self.result(monitor, now - INTERVAL, true)])
                .await?;
            sleep(Duration::from_millis(20)).await;
            let begin = Instant::now();
            self.publish(vec![self.result(monitor, now, true)]).await?;
            // Others may be told of too: that nothing is heard of the rest.
            let is_told = || {
                let told = hook::notices(receiver);
                let of = |notice: &Value| notice["incident"]["monitor"] == monitor.id.as_str();
                told.iter().any(of)
            };
            while !is_told() {
                let waited = begin.elapsed();
                ensure!(waited < PATIENCE, "nothing was told of {}", monitor.id);
                sleep(Duration::from_millis(1)).await;
            }
            latencies.push(begin.elapsed().as_secs_f64() * 1_000.0);
        }
        say(format!(
            "from the last failing result published to the webhook's request: p50 {:.1} ms, p99 {:.1} ms of {LATENCIES} (goal: \
             500 ms)",
            quantile(&mut latencies, 0.5),
            quantile(&mut latencies, 0.99),
        ));
        Ok(())
    }

    fn result(&self, monitor: &Arc<Monitor>, slot: Timestamp, fails: bool) -> CheckResult {
        let region = monitor.regions[0].clone();
        let scheduled = RunId::SCHEDULED;
        let check = Check {
            slot,
            trigger: Trigger::Schedule,
            ..Check::on_demand(Arc::clone(monitor), region, &self.queues, scheduled, slot)
        };
        let outcome = if fails { Outcome::Failed } else { Outcome::Ok };
        CheckResult {
            outcome,
            reason: fails.then_some(Reason::ConnectRefused),
            message: None,
            started_at: Some(slot),
            total_us: Some(1_000),
            ..CheckResult::missed(&check, Reason::Expired)
        }
    }

    async fn publish(&self, results: Vec<CheckResult>) -> anyhow::Result<()> {
        let messages = results_messages(results, self.queues.partitions);
        self.amqp.publish(messages).await?;
        Ok(())
    }
}

async fn leading(alerters: &[Role]) -> anyhow::Result<usize> {
    for (n, alerter) in alerters.iter().enumerate() {
        if alerter.metric("sonde_alerter_leading").await? > 0.5 {
            return Ok(n);
        }
    }
    anyhow::bail!("nobody decides")
}

/// All incidents, once every one of them has ended.
async fn settled(store: &LibsqlStore) -> anyhow::Result<Vec<Incident>> {
    let begin = Instant::now();
    loop {
        let query = IncidentQuery {
            limit: MONITORS,
            ..IncidentQuery::default()
        };
        let incidents = store.incidents(&WorkspaceId::local(), &query).await?;
        let open = incidents.iter().filter(|it| it.resolved_at.is_none());
        if open.count() == 0 && incidents.len() as u64 >= u64::from(MONITORS / FAILING) {
            return Ok(incidents);
        }
        ensure!(
            begin.elapsed() < PATIENCE,
            "not all was decided: {} incidents",
            incidents.len()
        );
        sleep(Duration::from_millis(200)).await;
    }
}
