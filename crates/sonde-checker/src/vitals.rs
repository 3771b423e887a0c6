//! How the checker itself is, as metrics: its clock, its doubts, and what it could not do.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sonde_core::{CheckResult, Reason};

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Few, however many monitors there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Vitals {
    results: Family<ResultLabels, Counter>,
    expired: Counter,
    suspect: Counter,
    pub(crate) panicked: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) unwell: Gauge,
    pub(crate) clock_offset: Seconds,
    pub(crate) clock_unanswered: Seconds,
}

impl Vitals {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let vitals = Self::default();
        for (name, help, counter) in [
            (
                "sonde_checker_expired_tasks",
                "Tasks that came too late to be executed",
                &vitals.expired,
            ),
            (
                "sonde_checker_suspect_results",
                "Results taken while something here was not as it should be",
                &vitals.suspect,
            ),
            (
                "sonde_checker_panics",
                "Tasks that were given back because the checker failed",
                &vitals.panicked,
            ),
            (
                "sonde_checker_unreadable_tasks",
                "Tasks that could not be read or opened and were rejected",
                &vitals.unreadable,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "sonde_checker_unwell",
            "Whether results are marked suspect now",
            vitals.unwell.clone(),
        );
        registry.register_with_unit(
            "sonde_checker_clock_offset",
            "What the machine's clock is behind the leader's, corrected for",
            Unit::Seconds,
            vitals.clock_offset.clone(),
        );
        registry.register_with_unit(
            "sonde_checker_clock_unanswered",
            "Since the leader last told the time",
            Unit::Seconds,
            vitals.clock_unanswered.clone(),
        );
        registry.register(
            "sonde_checker_results",
            "Results of all monitors",
            vitals.results.clone(),
        );
        vitals
    }

    pub(crate) fn count(&self, result: &CheckResult) {
        let labels = ResultLabels {
            kind: result.kind.as_str(),
            outcome: result.outcome.as_str(),
        };
        self.results.get_or_create(&labels).inc();
        if result.suspect {
            self.suspect.inc();
        }
        if result.reason == Some(Reason::Expired) {
            self.expired.inc();
        }
    }
}
