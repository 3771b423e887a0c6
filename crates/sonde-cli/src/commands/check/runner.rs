//! One monitor from its first run to a result that stands.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    Check, CheckResult, Clock as _, Monitor, Outcome, QueueSettings, Region, RunId, SystemClock,
    format_duration,
};
use sonde_probe::Prober;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::progress::Progress;

/// Between two runs of a monitor that `--wait` waits for: a server that is starting is seen soon enough.
const PAUSE: Duration = Duration::from_millis(500);

/// How long failing monitors are run again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    until: Instant,
}

impl Wait {
    pub(super) const fn until(until: Instant) -> Self {
        Self { until }
    }

    fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

pub(super) struct Runner {
    pub(super) prober: Prober,
    pub(super) queues: QueueSettings,
    pub(super) region: Region,
    /// Bounds the checks that run at the same time.
    pub(super) permits: Semaphore,
    pub(super) wait: Option<Wait>,
    /// Degraded does not pass.
    pub(super) strict: bool,
    pub(super) progress: Progress,
}

impl Runner {
    /// Runs `monitor` until it passes, will never pass, or the time to wait is over.
    pub(super) async fn settle(&self, monitor: Arc<Monitor>) -> CheckResult {
        let mut run = 1_u32;
        loop {
            let result = self.run(monitor.clone()).await;
            let left = self.wait.map_or(Duration::ZERO, Wait::left);
            let is_final = result.reason.is_some_and(sonde_core::Reason::is_final);
            // A run that has no time for a tenth of an attempt would say nothing about the target.
            let no_time = left <= PAUSE + monitor.timeout / 10;
            if self.passes(&result) || is_final || no_time {
                return result;
            }
            self.tell(&result, run, left);
            tokio::time::sleep(PAUSE).await;
            run += 1;
        }
    }

    fn passes(&self, result: &CheckResult) -> bool {
        match result.outcome {
            Outcome::Ok => true,
            Outcome::Degraded => !self.strict,
            Outcome::Failed | Outcome::Missed => false,
        }
    }

    /// Every run ends with the wait, where there is one: who waits for 30 s has an answer after 30 s.
    async fn run(&self, monitor: Arc<Monitor>) -> CheckResult {
        let _permit = self.permits.acquire().await;
        let now = SystemClock.now();
        let mut check = Check::on_demand(
            monitor,
            self.region.clone(),
            &self.queues,
            RunId::random(),
            now,
        );
        if let Some(wait) = self.wait {
            check.deadline = check.deadline.min(now + wait.left());
        }
        self.prober.run(&check, &SystemClock).await
    }

    fn tell(&self, result: &CheckResult, run: u32, left: Duration) {
        let left = format_duration(Duration::from_secs(left.as_secs()));
        let reason = result
            .reason
            .map_or(result.outcome.as_str(), |reason| reason.as_str());
        self.progress.aside(|| {
            anstream::eprintln!(
                "waiting for {}: {reason} (run {run}, {left} left)",
                result.monitor
            );
        });
    }
}
