//! What the dispatcher tells about itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sonde_core::{Clock, Timestamp};
use tokio::sync::watch;

/// From a slot to its task being in the queue: from a tick's grain to what no one should see.
const LAG_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A broker's confirmation: from a write to memory to a disk in trouble.
const CONFIRM_BUCKETS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 5.0,
];

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

/// What one dispatcher of a fleet tells about itself, beside what all do.
#[derive(Debug, Clone)]
pub struct FleetMetrics {
    pub(crate) dispatcher: DispatcherMetrics,
    pub(crate) leading: Gauge,
    pub(crate) unroutable: Counter,
    /// The last watermark that is saved; known to who leads.
    saved: watch::Sender<Option<Timestamp>>,
    pub(crate) confirm: Histogram,
    pub(crate) clock_answers: Counter,
}

impl FleetMetrics {
    /// `clock` tells how old the watermark is when somebody asks.
    pub fn register(registry: &mut Registry, clock: Arc<dyn Clock>) -> Self {
        let metrics = Self {
            dispatcher: DispatcherMetrics::register(registry),
            leading: Gauge::default(),
            unroutable: Counter::default(),
            saved: watch::Sender::new(None),
            confirm: Histogram::new(CONFIRM_BUCKETS),
            clock_answers: Counter::default(),
        };
        registry.register(
            "sonde_dispatcher_leading",
            "1 while this dispatcher is the one that dispatches",
            metrics.leading.clone(),
        );
        registry.register(
            "sonde_dispatcher_unroutable",
            "Tasks that no queue took, and that were recorded as missed",
            metrics.unroutable.clone(),
        );
        registry.register_collector(Box::new(WatermarkAge {
            leading: metrics.leading.clone(),
            saved: metrics.saved.subscribe(),
            clock,
        }));
        registry.register_with_unit(
            "sonde_dispatcher_confirm",
            "What the broker takes to confirm a publish of tasks or a watermark",
            Unit::Seconds,
            metrics.confirm.clone(),
        );
        registry.register(
            "sonde_dispatcher_clock_answers",
            "Questions of checkers for the time that were answered",
            metrics.clock_answers.clone(),
        );
        metrics
    }

    pub(crate) fn begin_to_lead(&self) {
        self.saved.send_replace(None);
        self.leading.set(1);
    }

    /// Before `watermark` every slot is dispatched, and the next leader knows.
    pub(crate) fn watermark_is_saved(&self, watermark: Timestamp) {
        self.saved.send_replace(Some(watermark));
    }

    /// This dispatcher is the one that dispatches.
    pub fn is_leading(&self) -> bool {
        self.leading.get() == 1
    }

    /// What it schedules, and how far it has come.
    pub fn dispatcher(&self) -> &DispatcherMetrics {
        &self.dispatcher
    }
}

/// How far dispatch is behind when somebody asks, so that it grows when dispatch stands still; nothing while another leads.
struct WatermarkAge {
    leading: Gauge,
    saved: watch::Receiver<Option<Timestamp>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for WatermarkAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatermarkAge").finish_non_exhaustive()
    }
}

impl Collector for WatermarkAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let saved = *self.saved.borrow();
        let Some(saved) = saved.filter(|_| self.leading.get() == 1) else {
            return Ok(());
        };
        let age = ConstGauge::new(self.clock.now().since(saved).as_secs_f64());
        let name = "sonde_dispatcher_watermark_age";
        let help = "Since the time before which every slot is dispatched and saved, while leading";
        let metric =
            encoder.encode_descriptor(name, help, Some(&Unit::Seconds), age.metric_type())?;
        age.encode(metric)
    }
}
