//! How true the phases are: the target measures the delay that it injects, and the check's `wait` must agree.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sonde_core::{Clock as _, SystemClock};
use tokio::task::JoinSet;

use crate::checks::{check, prober};
use crate::figures::{quantile, say};
use crate::target::Target;

/// What runs beside: 500 checks a second.
const PER_SECOND: u64 = 500;
const SECONDS: u64 = 10;
const DELAY_MS: u64 = 100;

pub(crate) async fn run() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let prober = prober()?;
    let mut template = (*check(&format!("http://{}/wait/{DELAY_MS}", target.http), None)?).clone();
    // A check that keeps the head of its answer, which says how long the target really waited.
    let mut monitor = (*template.monitor).clone();
    monitor.degraded = vec!["header x-waited-us is not empty".parse()?];
    template.monitor = Arc::new(monitor);
    let template = Arc::new(template);

    let mut tasks = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
    for _ in 0..PER_SECOND * SECONDS {
        ticks.tick().await;
        let (prober, template) = (prober.clone(), Arc::clone(&template));
        tasks.spawn(async move {
            let mut check = (*template).clone();
            check.slot = SystemClock.now();
            check.dispatched_at = check.slot;
            check.deadline = check.slot + check.monitor.timeout;
            prober.run(&check, &SystemClock).await
        });
    }
    let mut errors = Vec::new();
    while let Some(result) = tasks.join_next().await {
        let result = result?;
        ensure!(result.outcome.is_up(), "{:?}", result.message);
        let waited: f64 = result.failed.first().context("no header")?.seen.parse()?;
        let wait = result.phases_us.wait.context("no wait phase")?;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a short wait")]
        errors.push((wait as f64 - waited).abs());
    }
    say(format!(
        "phase `wait`, {DELAY_MS} ms injected, {PER_SECOND} checks/s, {} checks:",
        errors.len()
    ));
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&mut errors, share) / 1e3);
    say(format!(
        "  error p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms (goal: p99 ≤ 1 ms)"
    ));
    Ok(())
}
