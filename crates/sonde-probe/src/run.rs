//! One execution of a check: attempts with retries inside the deadline, then the result.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sonde_core::{
    Attempt, Check, CheckResult, CheckerInfo, Clock, Evidence, Monitor, Outcome, Phase, Reason,
    Source, Spec, Timestamp, Trigger,
};
use tokio::time::Instant;

use crate::environment::{Environment, EnvironmentError, Settings};
use crate::judge::{Verdict, judge};
use crate::observe::{Failure, Observation, timed_out};
use crate::redact::Secrets;
use crate::{dns, domain, exec, http, icmp, retry, tcp, tls_kind};

/// Probes keep the deadline themselves, and know better than we what it cut off. One that does not is ended this much
/// later.
const GRACE: Duration = Duration::from_millis(20);

/// Executes checks. Cheap to clone; safe to use from many tasks.
#[derive(Debug, Clone)]
pub struct Prober {
    environment: Arc<Environment>,
}

impl Prober {
    /// Reads the system's name servers and certificate roots, once for all checks.
    pub fn new(settings: Settings) -> Result<Self, EnvironmentError> {
        let environment = Arc::new(Environment::new(settings)?);
        Ok(Self { environment })
    }

    /// Runs `check` to its end, at the latest at its deadline. Never fails: whatever happens is in the result.
    ///
    /// Dropping the future closes its connections and kills its command.
    pub async fn run(&self, check: &Check, clock: &dyn Clock) -> CheckResult {
        let taken_at = clock.now();
        let mut result = CheckResult::missed(check, Reason::Expired);
        result.checker = Some(CheckerInfo {
            id: self.environment.settings.checker_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        result.queue_wait_us = Some(micros(taken_at.since(check.dispatched_at)));
        result.schedule_lag_us = Some(micros(check.dispatched_at.since(check.slot)));
        let monitor = &*check.monitor;
        let deadline = Instant::now() + time_left(check, taken_at);
        let execution = execute(monitor, deadline, |deadline| {
            attempt(&self.environment, monitor, deadline, clock)
        });
        if let Some(execution) = execution.await {
            fill(&mut result, execution, monitor);
            result.started_at = result.outcome.is_executed().then_some(taken_at);
        }
        result
    }
}

/// Whoever asks for a check on demand may have another clock: only how long they mean to wait counts.
fn time_left(check: &Check, taken_at: Timestamp) -> Duration {
    match check.trigger {
        Trigger::Schedule => check.deadline.since(taken_at),
        Trigger::OnDemand => check.deadline.since(check.dispatched_at),
    }
}

/// What one attempt came to.
struct Tried {
    seen: Observation,
    verdict: Verdict,
    total: Duration,
}

struct Execution {
    attempts: Vec<Attempt>,
    last: Tried,
}

/// Attempts until one is good, final, the last one, or too close to the deadline to begin.
///
/// `None` when not even the first may begin, or when it was taken so late that its end says more about the queue than
/// about the target.
async fn execute<F: Future<Output = Tried>>(
    monitor: &Monitor,
    deadline: Instant,
    mut attempt: impl FnMut(Instant) -> F,
) -> Option<Execution> {
    let mut waits = retry::waits(&monitor.retry);
    let mut attempts = Vec::new();
    let mut start = Instant::now();
    let least = monitor.timeout / 10;
    let may_begin = |at: Instant| deadline > at && deadline.duration_since(at) >= least;
    if !may_begin(start) {
        return None;
    }
    loop {
        let end = deadline.min(start + monitor.timeout);
        let last = attempt(end).await;
        let cut_short = end - start < monitor.timeout / 2 && Instant::now() >= end;
        if attempts.is_empty() && cut_short && !last.verdict.outcome.is_up() {
            return None;
        }
        let reason = last.verdict.reason;
        attempts.push(Attempt {
            reason,
            total_us: micros(last.total),
        });
        let done = last.verdict.outcome.is_up() || reason.is_some_and(Reason::is_final);
        let next = waits.next().map(|wait| Instant::now() + wait);
        match next.filter(|at| !done && may_begin(*at)) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => return Some(Execution { attempts, last }),
        }
        start = Instant::now();
    }
}

async fn attempt(
    environment: &Environment,
    monitor: &Monitor,
    deadline: Instant,
    clock: &dyn Clock,
) -> Tried {
    let mut seen = Observation::until(deadline);
    seen.looks_at_body = looks_at_body(monitor);
    let start = Instant::now();
    let probing = contain(probe(environment, &monitor.spec, &mut seen), monitor);
    let probed = tokio::time::timeout_at(deadline + GRACE, probing).await;
    let probed = probed.unwrap_or_else(|_| {
        let last = seen.phases.iter().last();
        Err(timed_out(last.map_or(Phase::Wait, |(phase, _)| phase)))
    });
    let total = seen.latency.unwrap_or_else(|| start.elapsed());
    let verdict = judge(monitor, &seen, probed, total, clock.now());
    Tried {
        seen,
        verdict,
        total,
    }
}

fn looks_at_body(monitor: &Monitor) -> bool {
    let mut assertions = monitor.expect.iter().chain(&monitor.degraded);
    assertions.any(|assertion| matches!(assertion.source, Source::Body | Source::Json(_)))
}

/// Boxed: a check in flight takes the memory of its own kind, not that of the largest one.
fn probe<'a>(
    environment: &'a Environment,
    spec: &'a Spec,
    seen: &'a mut Observation,
) -> BoxFuture<'a, Result<(), Failure>> {
    match spec {
        Spec::Http(spec) => Box::pin(http::probe(environment, spec, seen)),
        Spec::Tcp(spec) => Box::pin(tcp::probe(environment, spec, seen)),
        Spec::Dns(spec) => Box::pin(dns::probe(environment, spec, seen)),
        Spec::Icmp(spec) => Box::pin(icmp::probe(environment, spec, seen)),
        Spec::Tls(spec) => Box::pin(tls_kind::probe(environment, spec, seen)),
        Spec::Domain(spec) => Box::pin(domain::probe(environment, spec, seen)),
        Spec::Exec(spec) => Box::pin(exec::probe(environment, spec, seen)),
        Spec::Heartbeat(_) => Box::pin(async { Err(nothing_to_check()) }),
    }
}

/// Nobody dispatches one.
fn nothing_to_check() -> Failure {
    let text = "a heartbeat tells by itself: there is nothing to check";
    Failure::new(Reason::Unsupported, text)
}

/// Makes a failure out of a panic. It is a bug of ours, says nothing about the target, and must not take other checks
/// with it.
async fn contain(
    probing: impl Future<Output = Result<(), Failure>>,
    monitor: &Monitor,
) -> Result<(), Failure> {
    let probed = AssertUnwindSafe(probing).catch_unwind().await;
    probed.unwrap_or_else(|panic| {
        let text = (panic.downcast_ref::<&str>().copied())
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        tracing::error!(monitor.id = %monitor.id, error = text, "a probe panicked");
        let message = format!(
            "the check of {} failed inside the checker",
            monitor.target()
        );
        Err(Failure::new(Reason::Internal, format!("{message}: {text}")))
    })
}

fn fill(result: &mut CheckResult, execution: Execution, monitor: &Monitor) {
    let Execution { attempts, last } = execution;
    let Tried {
        seen,
        verdict,
        total,
    } = last;
    let evidence = (verdict.outcome != Outcome::Ok).then_some(seen.evidence);
    result.attempts = attempts;
    result.outcome = verdict.outcome;
    result.reason = verdict.reason;
    result.message = verdict.message;
    result.failed = verdict.failed;
    result.suspect = verdict.suspect;
    result.phases_us = seen.phases;
    result.total_us = Some(micros(total));
    result.remote_address = seen.remote_address;
    result.http = seen.http;
    result.tls = seen.tls;
    result.tcp = seen.tcp;
    result.dns = seen.dns;
    result.icmp = seen.icmp;
    result.exec = seen.exec;
    result.domain = seen.domain;
    result.evidence = evidence.filter(|evidence| *evidence != Evidence::default());
    Secrets::of(&monitor.spec).strike(result);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
