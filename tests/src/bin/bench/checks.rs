//! One HTTP and one HTTPS check of the checker's own path, against the bare loop and the real peer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::BoxFuture;
use sonde_core::{
    AlertRule, Check, Clock as _, Frequency, HttpSpec, Monitor, MonitorId, Outcome, Region,
    RetryPolicy, RunId, Spec, SystemClock, Trigger, WorkspaceId,
};
use sonde_probe::{Egress, Prober, Settings};
use tokio::task::JoinSet;

use crate::figures::{Cost, measure, median, micros, say};
use crate::target::Target;
use crate::{bare, blackbox};

const ROUNDS: usize = 7;
const PER_ROUND: u32 = 2_000;
/// Enough to keep the machine busy, few enough not to measure queueing.
const CONCURRENCY: u32 = 8;

pub(crate) async fn run() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let prober = prober()?;
    let http = check(&format!("http://{}/health", target.http), None)?;
    let url = format!("https://localhost:{}/health", target.https.port());
    let https = check(&url, Some(target.ca.clone()))?;
    let connector = bare::connector(&target.ca)?;
    let ours = |check: Arc<Check>| -> Operation {
        let prober = prober.clone();
        Arc::new(move || Box::pin(probe(prober.clone(), Arc::clone(&check))))
    };
    let (sonde_http, sonde_https) = (ours(http), ours(https));
    let address = target.http;
    let bare_http: Operation = Arc::new(move || Box::pin(bare::http(address)));
    let address = target.https;
    let bare_https: Operation = Arc::new(move || Box::pin(bare::https(address, connector.clone())));

    let (mut plain, mut tls) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let http = (many(&sonde_http).await?, many(&bare_http).await?);
        let https = (many(&sonde_https).await?, many(&bare_https).await?);
        // The first round warms up.
        if round > 0 {
            plain.push(http);
            tls.push(https);
        }
    }
    say("| what | CPU per check | wall per check | CPU, against the other |");
    say("|---|---|---|---|");
    let cpu = row("HTTP check", "bare hyper connect-GET-close", &plain);
    row("HTTPS check", "bare tokio-rustls + hyper", &tls);
    match blackbox::cost(target.http).await? {
        Some(peer) => say(format!(
            "| blackbox_exporter, one HTTP probe | {:.0} µs | {:.0} µs | HTTP check is 1/{:.1} of it |",
            micros(peer.cpu),
            micros(peer.wall),
            micros(peer.cpu) / cpu
        )),
        None => say("| blackbox_exporter | not installed: not measured | | |"),
    }
    Ok(())
}

/// Prints both and returns the CPU microseconds of ours.
fn row(name: &str, other: &str, rounds: &[(Cost, Cost)]) -> f64 {
    let cpu = |pick: fn(&(Cost, Cost)) -> Cost| {
        median(rounds.iter().map(|round| micros(pick(round).cpu)).collect())
    };
    let wall = |pick: fn(&(Cost, Cost)) -> Cost| {
        median(
            rounds
                .iter()
                .map(|round| micros(pick(round).wall))
                .collect(),
        )
    };
    let ratio = median(
        rounds
            .iter()
            .map(|(ours, bare)| micros(ours.cpu) / micros(bare.cpu))
            .collect(),
    );
    let ours = cpu(|round| round.0);
    say(format!(
        "| {name} | {ours:.0} µs | {:.0} µs | {ratio:.2} × |",
        wall(|round| round.0)
    ));
    say(format!(
        "| {other} | {:.0} µs | {:.0} µs | 1 |",
        cpu(|round| round.1),
        wall(|round| round.1)
    ));
    ours
}

/// Something that is done again and again; boxed for all alike.
type Operation = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// One round: the same operation from [`CONCURRENCY`] tasks.
async fn many(operation: &Operation) -> anyhow::Result<Cost> {
    measure(PER_ROUND, async {
        let mut tasks = JoinSet::new();
        for _ in 0..CONCURRENCY {
            let operation = Arc::clone(operation);
            tasks.spawn(async move {
                for _ in 0..PER_ROUND / CONCURRENCY {
                    operation().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
    .await
}

pub(crate) fn prober() -> anyhow::Result<Prober> {
    let settings = Settings {
        egress: Egress::open(),
        resolver: None,
        allow_exec: false,
        rdap_bootstrap: None,
        checker_id: "bench".to_owned(),
    };
    Prober::new(settings).context("cannot start probing")
}

async fn probe(prober: Prober, check: Arc<Check>) -> anyhow::Result<()> {
    let mut check = (*check).clone();
    check.slot = SystemClock.now();
    check.dispatched_at = check.slot;
    check.deadline = check.slot + check.monitor.timeout;
    let result = prober.run(&check, &SystemClock).await;
    ensure!(
        result.outcome == Outcome::Ok,
        "{:?}: {:?}",
        result.reason,
        result.message
    );
    Ok(())
}

/// A check with the assertions that people write, phases and details on.
pub(crate) fn check(url: &str, ca: Option<String>) -> anyhow::Result<Arc<Check>> {
    let mut spec = HttpSpec::get(url.parse()?);
    spec.tls.ca = ca;
    let expect = [
        "status in 200..299",
        "json $.database == \"up\"",
        "header content-type contains json",
        "latency < 5s",
    ];
    let monitor = Monitor {
        workspace: WorkspaceId::local(),
        id: MonitorId::new("bench")?,
        name: "bench".to_owned(),
        spec: Spec::Http(Box::new(spec)),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            retries: 0,
            initial: Duration::from_millis(500),
            factor: 2.0,
            max: Duration::from_secs(5),
            jitter: 0.5,
        },
        regions: vec![Region::local()],
        expect: expect
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        degraded: Vec::new(),
        alert: AlertRule::default(),
        depends_on: Vec::new(),
        tags: Vec::new(),
        paused: false,
    };
    let now = SystemClock.now();
    Ok(Arc::new(Check {
        deadline: now + monitor.timeout,
        monitor: Arc::new(monitor),
        region: Region::local(),
        slot: now,
        run_id: RunId::SCHEDULED,
        trigger: Trigger::Schedule,
        frequency: Frequency::new("10s")?,
        dispatched_at: now,
        in_maintenance: false,
    }))
}
