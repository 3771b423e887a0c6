//! Samples for tests of this crate and of those above it.
#![expect(clippy::expect_used, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use crate::{
    AlertRule, Check, CheckResult, Frequency, HttpSpec, Monitor, MonitorId, Outcome, Reason,
    Region, RetryPolicy, RunId, Spec, Timestamp, Trigger, WorkspaceId,
};

impl Monitor {
    /// An http monitor `shop` of the local workspace and region, every 5 s.
    pub fn sample() -> Self {
        let url = "http://shop.example/health".parse().expect("a URL");
        Self {
            workspace: WorkspaceId::local(),
            id: MonitorId::new("shop").expect("a slug"),
            name: "Shop".to_owned(),
            spec: Spec::Http(Box::new(HttpSpec::get(url))),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            retry: RetryPolicy {
                retries: 0,
                initial: Duration::from_millis(100),
                factor: 2.0,
                max: Duration::from_secs(1),
                jitter: 0.0,
            },
            regions: vec![Region::local()],
            expect: Vec::new(),
            degraded: Vec::new(),
            alert: AlertRule::default(),
            depends_on: Vec::new(),
            tags: vec!["prod".to_owned()],
            paused: false,
        }
    }
}

impl Check {
    /// A scheduled check of [`Monitor::sample`] at `slot`.
    pub fn sample(slot: Timestamp) -> Self {
        let monitor = Arc::new(Monitor::sample());
        let deadline = slot + monitor.interval;
        Self {
            monitor,
            region: Region::local(),
            slot,
            run_id: RunId::SCHEDULED,
            trigger: Trigger::Schedule,
            frequency: Frequency::new("5s").expect("a slug"),
            deadline,
            dispatched_at: slot,
            in_maintenance: false,
        }
    }
}

impl CheckResult {
    /// A missed check of [`Monitor::sample`]; set what a test needs.
    pub fn sample() -> Self {
        Self::missed(
            &Check::sample(Timestamp::from_micros(1_763_640_000_000_000)),
            Reason::Expired,
        )
    }

    /// The same, executed `after` its slot with `outcome`, in 1 ms.
    pub fn sample_executed(outcome: Outcome, after: Duration) -> Self {
        let mut result = Self::sample();
        result.started_at = Some(result.slot + after);
        result.outcome = outcome;
        result.reason = (!outcome.is_up()).then_some(Reason::HttpStatus);
        result.message = None;
        result.total_us = Some(1_000);
        result
    }
}
