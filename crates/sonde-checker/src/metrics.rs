//! What the checker tells about its checks, and the series of the tools that Sonde replaces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sonde_core::{CheckResult, Kind, MonitorId};

use crate::vitals::Vitals;

/// From a neighbour's answer to a timeout, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    monitor: String,
    region: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    monitor: String,
    region: String,
    kind: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    monitor: String,
    region: String,
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetStatusLabels {
    target: String,
    status: &'static str,
}

#[derive(Debug, Clone)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LATENCY_BUCKETS)
    }
}

type Histograms<L> = Family<L, Histogram, Latency>;

/// The two families that the Latency 404 service has for each of its four kinds.
#[derive(Debug, Clone)]
struct Classic {
    checks: Family<TargetStatusLabels, Counter>,
    duration: Histograms<TargetLabels>,
}

#[derive(Debug, Clone)]
pub struct CheckerMetrics {
    checks: Family<OutcomeLabels, Counter>,
    up: Family<CheckLabels, Gauge>,
    duration: Histograms<CheckLabels>,
    phases: Histograms<PhaseLabels>,
    queue_wait: Histogram,
    batch_size: Histogram,
    in_flight: Gauge,
    redelivered: Counter,
    classic: [(Kind, Classic); 4],
    series: Arc<Mutex<Series>>,
    pub(crate) vitals: Vitals,
}

/// Which series there are, so that they can leave with their monitor.
#[derive(Debug, Default)]
struct Series {
    /// What each monitor has series for.
    known: HashMap<MonitorId, Vec<CheckResultLabels>>,
    /// Monitors and targets that may have any; all when nobody has said.
    watched: Option<HashSet<(MonitorId, String)>>,
}

impl Series {
    fn is_watched(&self, monitor: &MonitorId, target: &str) -> bool {
        let pair = (monitor.clone(), target.to_owned());
        self.watched
            .as_ref()
            .is_none_or(|watched| watched.contains(&pair))
    }
}

/// Every label set that one kind of result led to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckResultLabels {
    check: CheckLabels,
    outcome: OutcomeLabels,
    target: String,
    kind: Kind,
}

/// Counts one check in flight while it lives.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl CheckerMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let classic = [
            (Kind::Http, "http"),
            (Kind::Tcp, "tcp"),
            (Kind::Icmp, "ping"),
            (Kind::Dns, "dns"),
        ];
        let metrics = Self {
            checks: Family::default(),
            up: Family::default(),
            duration: Family::new_with_constructor(Latency),
            phases: Family::new_with_constructor(Latency),
            queue_wait: Histogram::new(LATENCY_BUCKETS),
            batch_size: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]),
            in_flight: Gauge::default(),
            redelivered: Counter::default(),
            classic: classic.map(|(kind, name)| (kind, Classic::register(registry, name))),
            series: Arc::default(),
            vitals: Vitals::register(registry),
        };
        metrics.register_own(registry);
        metrics
    }

    fn register_own(&self, registry: &mut Registry) {
        registry.register(
            "sonde_checks",
            "Checks executed or missed here",
            self.checks.clone(),
        );
        registry.register(
            "sonde_check_up",
            "Whether the last check was ok or degraded",
            self.up.clone(),
        );
        registry.register_with_unit(
            "sonde_check_duration",
            "Duration of the last attempt of a check",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "sonde_check_phase",
            "Duration of one phase of the last attempt",
            Unit::Seconds,
            self.phases.clone(),
        );
        registry.register_with_unit(
            "sonde_checker_queue_wait",
            "From a task being dispatched to being taken",
            Unit::Seconds,
            self.queue_wait.clone(),
        );
        registry.register(
            "sonde_checker_batch_size",
            "Results published together",
            self.batch_size.clone(),
        );
        registry.register(
            "sonde_checker_in_flight",
            "Checks in flight",
            self.in_flight.clone(),
        );
        registry.register(
            "sonde_checker_redelivered_tasks",
            "Tasks that another checker had taken before",
            self.redelivered.clone(),
        );
    }

    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn redelivered(&self) {
        self.redelivered.inc();
    }

    pub(crate) fn batch(&self, results: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
        self.batch_size.observe(results as f64);
    }

    pub(crate) fn observe(&self, result: &CheckResult) {
        if let Some(wait) = result.queue_wait_us {
            self.queue_wait.observe(seconds(wait));
        }
        self.vitals.count(result);
        // Held to the end, so that a series cannot come back while its monitor leaves.
        let mut series = self.series();
        if !series.is_watched(&result.monitor, &result.target) {
            return;
        }
        let labels = CheckResultLabels::of(result);
        self.checks.get_or_create(&labels.outcome).inc();
        if result.outcome.is_executed() {
            let up = i64::from(result.outcome.is_up());
            self.up.get_or_create(&labels.check).set(up);
            if let Some(total) = result.total_us {
                let duration = self.duration.get_or_create(&labels.check);
                duration.observe(seconds(total));
            }
            for (phase, took) in result.phases_us.iter() {
                let phase = self.phases.get_or_create(&labels.phase(phase));
                phase.observe(seconds(took));
            }
        }
        if let Some((_, classic)) = self.classic.iter().find(|(kind, _)| *kind == result.kind) {
            classic.observe(result);
        }
        let known = series.known.entry(result.monitor.clone()).or_default();
        if !known.contains(&labels) {
            known.push(labels);
        }
    }

    /// From now on only these monitors, with these targets, have series; those of all others leave.
    pub fn watch_only(&self, watched: HashSet<(MonitorId, String)>) {
        let mut series = self.series();
        series.watched = Some(watched);
        let Series { known, watched } = &mut *series;
        let mut gone = Vec::new();
        known.retain(|monitor, labels| {
            gone.extend(labels.extract_if(.., |labels| {
                let pair = (monitor.clone(), labels.target.clone());
                watched
                    .as_ref()
                    .is_some_and(|watched| !watched.contains(&pair))
            }));
            !labels.is_empty()
        });
        for labels in &gone {
            let still_checked = known
                .values()
                .flatten()
                .any(|other| (&other.target, other.kind) == (&labels.target, labels.kind));
            self.remove(labels, still_checked);
        }
    }

    fn remove(&self, labels: &CheckResultLabels, target_stays: bool) {
        self.checks.remove(&labels.outcome);
        self.up.remove(&labels.check);
        self.duration.remove(&labels.check);
        for phase in sonde_core::Phase::ALL {
            self.phases.remove(&labels.phase(phase));
        }
        let classic = self.classic.iter().find(|(kind, _)| *kind == labels.kind);
        if let Some((_, classic)) = classic.filter(|_| !target_stays) {
            classic.remove(&labels.target);
        }
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        // Every change is complete before anything can panic, so a poisoned state is still a good one.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckResultLabels {
    fn of(result: &CheckResult) -> Self {
        let monitor = result.monitor.to_string();
        let region = result.region.to_string();
        let kind = result.kind.as_str();
        let reason = result.reason.map_or("", sonde_core::Reason::as_str);
        Self {
            check: CheckLabels {
                monitor: monitor.clone(),
                region: region.clone(),
                kind,
            },
            outcome: OutcomeLabels {
                monitor,
                region,
                kind,
                outcome: result.outcome.as_str(),
                reason,
            },
            target: result.target.clone(),
            kind: result.kind,
        }
    }

    fn phase(&self, phase: sonde_core::Phase) -> PhaseLabels {
        let CheckLabels {
            monitor, region, ..
        } = self.check.clone();
        PhaseLabels {
            monitor,
            region,
            phase: phase.as_str(),
        }
    }
}

/// The statuses that a check counts as in the classic families.
const CLASSIC_STATUSES: [&str; 2] = ["success", "failure"];

impl Classic {
    fn register(registry: &mut Registry, name: &str) -> Self {
        let classic = Self {
            checks: Family::default(),
            duration: Family::new_with_constructor(Latency),
        };
        registry.register(
            format!("{name}_health_check"),
            "Health checks performed",
            classic.checks.clone(),
        );
        registry.register_with_unit(
            format!("{name}_response_time"),
            "Response time of health checks that succeeded",
            Unit::Seconds,
            classic.duration.clone(),
        );
        classic
    }

    fn observe(&self, result: &CheckResult) {
        if !result.outcome.is_executed() {
            return;
        }
        let [success, failure] = CLASSIC_STATUSES;
        let target = result.target.clone();
        let status = if result.outcome.is_up() {
            success
        } else {
            failure
        };
        self.checks
            .get_or_create(&TargetStatusLabels {
                target: target.clone(),
                status,
            })
            .inc();
        if let (true, Some(total)) = (result.outcome.is_up(), result.total_us) {
            self.duration
                .get_or_create(&TargetLabels { target })
                .observe(seconds(total));
        }
    }

    fn remove(&self, target: &str) {
        for status in CLASSIC_STATUSES {
            self.checks.remove(&TargetStatusLabels {
                target: target.to_owned(),
                status,
            });
        }
        self.duration.remove(&TargetLabels {
            target: target.to_owned(),
        });
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
