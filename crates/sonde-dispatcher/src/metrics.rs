//! What the dispatcher tells about itself.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sonde_core::Timestamp;

/// From a slot to its task being in the queue: from a tick's grain to what no one should see.
const LAG_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug, Clone)]
pub struct DispatcherMetrics {
    pub(crate) dispatched: Counter,
    pub(crate) missed: Counter,
    pub(crate) lag: Histogram,
    pub(crate) monitors: Gauge,
    pub(crate) watermark: Gauge,
}

impl DispatcherMetrics {
    /// Every slot before this is planned and recorded; the epoch before the first time.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(self.watermark.get().max(0).unsigned_abs())
    }

    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            dispatched: Counter::default(),
            missed: Counter::default(),
            lag: Histogram::new(LAG_BUCKETS),
            monitors: Gauge::default(),
            watermark: Gauge::default(),
        };
        registry.register(
            "sonde_dispatcher_tasks",
            "Tasks handed to the queue",
            metrics.dispatched.clone(),
        );
        registry.register(
            "sonde_dispatcher_missed",
            "Slots that were too late to be dispatched",
            metrics.missed.clone(),
        );
        registry.register_with_unit(
            "sonde_dispatcher_lag",
            "From a slot to its task being in the queue",
            Unit::Seconds,
            metrics.lag.clone(),
        );
        registry.register(
            "sonde_dispatcher_monitors",
            "Monitors being scheduled",
            metrics.monitors.clone(),
        );
        registry.register_with_unit(
            "sonde_dispatcher_watermark",
            "Unix time before which every slot is planned",
            Unit::Seconds,
            metrics.watermark.clone(),
        );
        metrics
    }
}
