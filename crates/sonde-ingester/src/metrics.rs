//! What the ingester tells about itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a lonely row to the largest insert.
const BATCH_BUCKETS: [f64; 8] = [
    1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0,
];

#[derive(Debug, Clone)]
pub struct IngesterMetrics {
    pub(crate) rows: Counter,
    pub(crate) failures: Counter,
    pub(crate) dead: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) refused: Counter,
    pub(crate) poison: Counter,
    pub(crate) ledger_entries: Counter,
    pub(crate) storing: Gauge,
    batch_rows: Histogram,
}

impl IngesterMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            rows: Counter::default(),
            failures: Counter::default(),
            dead: Counter::default(),
            unreadable: Counter::default(),
            refused: Counter::default(),
            poison: Counter::default(),
            ledger_entries: Counter::default(),
            storing: Gauge::default(),
            batch_rows: Histogram::new(BATCH_BUCKETS),
        };
        for (name, help, counter) in [
            ("sonde_ingester_rows", "Results stored", &metrics.rows),
            (
                "sonde_ingester_failures",
                "Inserts that failed and were tried again",
                &metrics.failures,
            ),
            (
                "sonde_ingester_dead_letters",
                "Tasks that nobody executed",
                &metrics.dead,
            ),
            (
                "sonde_ingester_unreadable",
                "Messages and results that could not be read",
                &metrics.unreadable,
            ),
            (
                "sonde_ingester_refused",
                "Rows that the store would not take",
                &metrics.refused,
            ),
            (
                "sonde_ingester_poison",
                "What was set aside, unreadable or refused",
                &metrics.poison,
            ),
            (
                "sonde_ingester_ledger_entries",
                "Entries of the ledger taken down",
                &metrics.ledger_entries,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "sonde_ingester_storing",
            "Whether the store took what it was last given",
            metrics.storing.clone(),
        );
        registry.register(
            "sonde_ingester_batch_rows",
            "Results in one insert",
            metrics.batch_rows.clone(),
        );
        metrics
    }

    pub(crate) fn stored(&self, rows: usize) {
        self.rows.inc_by(rows as u64);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 rows")]
        self.batch_rows.observe(rows as f64);
    }
}
