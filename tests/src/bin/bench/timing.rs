//! How true the phases are: the target measures the delay that it injects, and the check's phase must agree.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sonde_core::{Check, CheckResult, Clock as _, Phase, SystemClock};
use sonde_probe::Prober;
use tokio::task::JoinSet;

use crate::checks::{check, prober};
use crate::figures::{quantile, say};
use crate::target::{DELAY, Target};

const SECONDS: u64 = 10;

/// One phase that is delayed: what delays it, and where the answer says by how much.
struct Subject {
    phase: Phase,
    per_second: u64,
    url: String,
    ca: Option<String>,
    measured: &'static str,
}

pub(crate) async fn run() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let prober = prober()?;
    let subjects = [
        Subject {
            phase: Phase::Wait,
            per_second: 400,
            url: format!("http://{}/wait", target.http),
            ca: None,
            measured: "header x-waited-us is not empty",
        },
        Subject {
            phase: Phase::Receive,
            per_second: 80,
            url: format!("http://{}/drip", target.http),
            ca: None,
            measured: "json $.waited_us is not empty",
        },
        Subject {
            phase: Phase::Tls,
            per_second: 20,
            url: format!("https://localhost:{}/health", target.slow_https.port()),
            ca: Some(target.ca.clone()),
            measured: "header x-shook-us is not empty",
        },
    ];
    let total: u64 = subjects.iter().map(|subject| subject.per_second).sum();
    say(format!(
        "{DELAY:?} injected, {total} checks/s, all phases at once, for {SECONDS} s:"
    ));
    let runs = subjects.iter().map(|subject| run_subject(&prober, subject));
    for line in futures_util::future::try_join_all(runs).await? {
        say(line);
    }
    Ok(())
}

async fn run_subject(prober: &Prober, subject: &Subject) -> anyhow::Result<String> {
    let mut template = (*check(&subject.url, subject.ca.clone())?).clone();
    // What the target measured is shown where a condition on it holds.
    let mut monitor = (*template.monitor).clone();
    monitor.degraded = vec![subject.measured.parse()?];
    template.monitor = Arc::new(monitor);
    let template = Arc::new(template);

    let mut tasks = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / subject.per_second));
    for _ in 0..subject.per_second * SECONDS {
        ticks.tick().await;
        tasks.spawn(probe(prober.clone(), Arc::clone(&template)));
    }
    let mut errors = Vec::new();
    while let Some(result) = tasks.join_next().await {
        let result = result?;
        ensure!(result.outcome.is_up(), "{:?}", result.message);
        let measured: f64 = result
            .failed
            .first()
            .context("nothing measured")?
            .seen
            .parse()?;
        let phase = result
            .phases_us
            .get(subject.phase)
            .context("the phase is missing")?;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a short wait")]
        errors.push((phase as f64 - measured).abs());
    }
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&mut errors, share) / 1e3);
    let (name, checks) = (subject.phase.as_str(), errors.len());
    Ok(format!(
        "  {name:<8} error p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms ({checks} checks; goal: p99 ≤ 1 ms)"
    ))
}

async fn probe(prober: Prober, template: Arc<Check>) -> CheckResult {
    let mut check = (*template).clone();
    check.slot = SystemClock.now();
    check.dispatched_at = check.slot;
    check.deadline = check.slot + check.monitor.timeout;
    prober.run(&check, &SystemClock).await
}
