//! What the ingester tells about itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Default)]
pub struct IngesterMetrics {
    pub(crate) rows: Counter,
    pub(crate) failures: Counter,
    pub(crate) dead: Counter,
    pub(crate) unreadable: Counter,
}

impl IngesterMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            ("sonde_ingester_rows", "Results stored", &metrics.rows),
            (
                "sonde_ingester_failures",
                "Inserts that the store refused",
                &metrics.failures,
            ),
            (
                "sonde_ingester_dead_letters",
                "Tasks that nobody executed",
                &metrics.dead,
            ),
            (
                "sonde_ingester_unreadable",
                "Results that could not be read",
                &metrics.unreadable,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}
