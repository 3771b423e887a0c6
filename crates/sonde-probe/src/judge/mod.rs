//! Whether what an attempt saw is what the monitor expects. Pure: no clock, no network.

mod look;
mod presume;

use std::time::Duration;

use sonde_core::{Assertion, FailedAssertion, Monitor, Outcome, Reason, Spec, Timestamp};

use crate::observe::{Failure, Observation};
use look::Look;

/// The judgement on one attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: Option<String>,
    pub(crate) failed: Vec<FailedAssertion>,
    pub(crate) suspect: bool,
}

/// Judges an attempt that took `total` and ended at `now`.
///
/// A probe that failed by itself is not asserted on: there is nothing whole to look at.
pub(crate) fn judge(
    monitor: &Monitor,
    seen: &Observation,
    probed: Result<(), Failure>,
    total: Duration,
    now: Timestamp,
) -> Verdict {
    let mut verdict = match probed {
        Err(failure) => Verdict {
            outcome: failure.reason.outcome(),
            reason: Some(failure.reason),
            message: Some(named(failure.reason, failure.message, monitor)),
            failed: Vec::new(),
            suspect: failure.suspect,
        },
        Ok(()) => assess(monitor, &Look::at(seen, &monitor.spec, total, now)),
    };
    let warns = matches!(&monitor.spec, Spec::Exec(spec) if spec.warn_only);
    if warns && verdict.reason == Some(Reason::ExecFailed) {
        verdict.outcome = Outcome::Degraded;
    }
    verdict
}

/// Says who it was about, where the failure only knows what happened.
fn named(reason: Reason, message: String, monitor: &Monitor) -> String {
    if message == reason.sentence() {
        format!("{}: {message}", monitor.target())
    } else {
        message
    }
}

/// An expectation that did not hold.
struct Broken {
    reason: Reason,
    message: String,
    failed: FailedAssertion,
}

fn assess(monitor: &Monitor, look: &Look<'_>) -> Verdict {
    let mut broken: Vec<Broken> = presume::broken(monitor, look).into_iter().collect();
    broken.extend(test(&monitor.expect, look));
    let mut outcome = Outcome::Failed;
    if broken.is_empty() {
        broken.extend(warnings(&monitor.degraded, look));
        outcome = Outcome::Degraded;
    }
    let first = broken.first();
    let others = broken.len().saturating_sub(1);
    Verdict {
        outcome: first.map_or(Outcome::Ok, |_| outcome),
        reason: first.map(|broken| broken.reason),
        message: match (first, others) {
            (None, _) => presume::remark(look),
            (Some(broken), 0) => Some(broken.message.clone()),
            (Some(broken), _) => Some(format!("{} (and {others} more)", broken.message)),
        },
        failed: broken.into_iter().map(|broken| broken.failed).collect(),
        suspect: false,
    }
}

/// All that do not hold, in order.
fn test(assertions: &[Assertion], look: &Look<'_>) -> impl Iterator<Item = Broken> {
    assertions.iter().filter_map(|assertion| {
        let (seen, message) = match look.see(assertion) {
            Ok(seen) if assertion.holds(&seen) => return None,
            Ok(seen) => {
                let (source, seen) = (&assertion.source, assertion.show(&seen));
                let expected = assertion.expected();
                let message = format!("{source} was {}, expected {expected}", line(&seen));
                (seen, message)
            }
            Err(text) => {
                let message = format!("{text}, expected {assertion}");
                (text, message)
            }
        };
        let expected = assertion.expected();
        Some(Broken::by(assertion, message, expected, seen))
    })
}

/// All that hold, in order: each is a reason to call the check degraded. What cannot be seen is none.
fn warnings(conditions: &[Assertion], look: &Look<'_>) -> impl Iterator<Item = Broken> {
    conditions.iter().filter_map(|condition| {
        let seen = look.see(condition).ok()?;
        condition.holds(&seen).then(|| {
            let (source, seen) = (&condition.source, condition.show(&seen));
            let expected = condition.negated().expected();
            let message = format!("{source} was {}: degraded when {condition}", line(&seen));
            Broken::by(condition, message, expected, seen)
        })
    })
}

/// What was seen, as part of a sentence.
fn line(seen: &str) -> String {
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Broken {
    fn by(assertion: &Assertion, message: String, expected: String, seen: String) -> Self {
        let failed = FailedAssertion {
            assertion: assertion.to_string(),
            expected,
            seen,
        };
        Self {
            reason: assertion.source.reason(),
            message,
            failed,
        }
    }
}

#[cfg(test)]
mod tests;
