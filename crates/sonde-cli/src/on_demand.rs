//! Checks that are asked for now, outside any schedule.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Check, Monitor, QueueSettings, Region, RunId, Timestamp, Trigger};

/// The longest that all attempts of `monitor`, and the waits between them, can take.
pub(crate) fn longest_run(monitor: &Monitor) -> Duration {
    let attempts = monitor.retry.retries.saturating_add(1);
    monitor
        .timeout
        .saturating_mul(attempts)
        .saturating_add(monitor.retry.longest_wait())
}

/// A check of `monitor` at `now`. There is no next slot that it would have to end before: retries get all their time.
pub(crate) fn check(
    monitor: Arc<Monitor>,
    region: Region,
    queues: &QueueSettings,
    now: Timestamp,
) -> Check {
    Check {
        region,
        slot: now,
        run_id: RunId::random(),
        trigger: Trigger::OnDemand,
        frequency: queues.class_of(monitor.interval).name.clone(),
        deadline: now + longest_run(&monitor),
        dispatched_at: now,
        in_maintenance: false,
        monitor,
    }
}
