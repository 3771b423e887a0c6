//! What a monitor's past looks like: the same in every run but for the hour of the day, with an outage here and a slow
//! afternoon there.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    Check, CheckResult, Monitor, Outcome, Phase, QueueSettings, Reason, RunId, Timestamp, Trigger,
};

/// How far it reaches back.
const PAST: Duration = Duration::from_hours(24);
/// Between two rows.
const STEP: Duration = Duration::from_mins(1);
/// Of a check's time, in hundredths, phase by phase.
const SHARES: [(Phase, u64); 5] = [
    (Phase::Dns, 4),
    (Phase::Connect, 7),
    (Phase::Send, 1),
    (Phase::Wait, 76),
    (Phase::Receive, 12),
];

/// Of one monitor, in minutes before now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    /// Microseconds.
    usual: u64,
    failed: Option<(u64, u64)>,
    degraded: Option<(u64, u64)>,
}

impl Past {
    pub(crate) fn of(monitor: &str) -> Self {
        let (usual, failed, degraded) = match monitor {
            "checkout" => (110_000, Some((3, 0)), None),
            "search" => (260_000, None, Some((300, 0))),
            "api" => (28_000, Some((560, 536)), None),
            "orders" => (74_000, Some((559, 535)), None),
            "home" => (46_000, None, Some((1_010, 960))),
            "database" => (900, None, None),
            _ => (1_800, None, None),
        };
        Self {
            usual,
            failed,
            degraded,
        }
    }

    /// When it was down, where it is up again.
    pub(crate) fn outage(self) -> Option<(u64, u64)> {
        self.failed.filter(|(_, to)| *to > 0)
    }

    fn outcome(self, ago: u64) -> Outcome {
        let within =
            |span: Option<(u64, u64)>| span.is_some_and(|(from, to)| (to..=from).contains(&ago));
        match (within(self.failed), within(self.degraded)) {
            (true, _) => Outcome::Failed,
            (_, true) => Outcome::Degraded,
            _ => Outcome::Ok,
        }
    }
}

/// Oldest first.
pub(crate) fn rows(
    monitor: &Monitor,
    past: Past,
    queues: &QueueSettings,
    now: Timestamp,
) -> impl Iterator<Item = CheckResult> {
    let monitor = Arc::new(monitor.clone());
    let minutes = PAST.as_secs() / STEP.as_secs();
    let first = now.floor(STEP);
    (1..minutes).rev().map(move |ago| {
        let slot = first - STEP * u32::try_from(ago).unwrap_or(u32::MAX);
        row(&monitor, past, queues, slot, ago)
    })
}

fn row(
    monitor: &Arc<Monitor>,
    past: Past,
    queues: &QueueSettings,
    slot: Timestamp,
    ago: u64,
) -> CheckResult {
    let region = monitor.regions[0].clone();
    let check = Check {
        slot,
        trigger: Trigger::Schedule,
        ..Check::on_demand(Arc::clone(monitor), region, queues, RunId::SCHEDULED, slot)
    };
    let outcome = past.outcome(ago);
    let reason = match outcome {
        Outcome::Failed => Some(Reason::HttpStatus),
        Outcome::Degraded => Some(Reason::AssertionLatency),
        _ => None,
    };
    let total = latency(past.usual, ago) * if outcome == Outcome::Degraded { 2 } else { 1 };
    let mut result = CheckResult {
        outcome,
        reason,
        message: reason.map(|reason| reason.sentence().to_owned()),
        started_at: Some(slot),
        total_us: Some(total),
        ..CheckResult::missed(&check, Reason::Expired)
    };
    for (phase, share) in SHARES {
        result.phases_us.add(phase, total * share / 100);
    }
    result
}

/// The usual one, more by day than by night, and never twice the same.
fn latency(usual: u64, ago: u64) -> u64 {
    let by_day = 720_u64.abs_diff(ago % 1_440) * usual / 2_400;
    // Knuth's multiplicative hash: noise that is the same in every run.
    let noise = ago.wrapping_mul(2_654_435_761) % 1_000;
    let spike = if noise > 985 { usual } else { 0 };
    usual + by_day + usual * noise / 4_000 + spike
}
