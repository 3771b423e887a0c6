//! What the alerter tells about itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sonde_store::{AlertChange, IncidentEventKind};

#[derive(Debug, Clone, Default)]
pub struct AlerterMetrics {
    pub(crate) leading: Gauge,
    pub(crate) results: Counter,
    opened: Counter,
    resolved: Counter,
    notices: Counter,
}

impl AlerterMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "sonde_alerter_leading",
            "1 where this process decides",
            metrics.leading.clone(),
        );
        for (name, help, counter) in [
            (
                "sonde_alerter_results",
                "Results looked at",
                &metrics.results,
            ),
            (
                "sonde_alerter_incidents_opened",
                "Incidents opened",
                &metrics.opened,
            ),
            (
                "sonde_alerter_incidents_resolved",
                "Incidents that ended",
                &metrics.resolved,
            ),
            (
                "sonde_alerter_notices",
                "Notices written down to be told",
                &metrics.notices,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }

    /// It is written down.
    pub(crate) fn count(&self, change: &AlertChange) {
        let events = |kind| {
            let events = change.incidents.iter().filter(|it| it.event == kind);
            events.count() as u64
        };
        self.opened.inc_by(events(IncidentEventKind::Opened));
        self.resolved.inc_by(events(IncidentEventKind::Resolved));
        self.notices.inc_by(change.notices.len() as u64);
    }
}
