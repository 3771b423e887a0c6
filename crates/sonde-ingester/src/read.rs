//! What deliveries hold. What cannot be read is set aside alone: never a reason to lose the others.

use sonde_core::{CheckResult, Reason};
use sonde_queue::{Death, Delivery, LedgerMessage, ResultsMessage, TaskMessage};

use crate::IngesterMetrics;

/// What one delivery holds.
pub(crate) struct Read<T> {
    pub(crate) items: Vec<T>,
    /// As it came.
    pub(crate) unreadable: Vec<Vec<u8>>,
}

impl<T> Read<T> {
    fn items(items: Vec<T>) -> Self {
        let unreadable = Vec::new();
        Self { items, unreadable }
    }

    fn unreadable(metrics: &IngesterMetrics, delivery: &Delivery, what: &str, why: &str) -> Self {
        metrics.unreadable.inc();
        tracing::error!(error = why, "{what} is unreadable and is set aside");
        Self {
            items: Vec::new(),
            unreadable: vec![delivery.payload.clone()],
        }
    }
}

pub(crate) fn results(metrics: &IngesterMetrics, delivery: &Delivery) -> Read<CheckResult> {
    let message = match ResultsMessage::decode(&delivery.payload) {
        Ok(message) => message,
        Err(error) => {
            let why = sonde_core::chain(&error);
            return Read::unreadable(metrics, delivery, "a message of results", &why);
        }
    };
    let mut read = Read::items(message.results);
    for unreadable in message.unreadable {
        metrics.unreadable.inc();
        tracing::error!(
            error = unreadable.error,
            "a result is unreadable and is set aside"
        );
        read.unreadable.push(unreadable.element.into_bytes());
    }
    read
}

/// Tasks that nobody executed become missed rows, so that nothing is lost silently.
pub(crate) fn dead_letter(metrics: &IngesterMetrics, delivery: &Delivery) -> Read<CheckResult> {
    metrics.dead.inc();
    let reason = match delivery.death {
        Some(Death::Expired) => Reason::Expired,
        Some(Death::DeliveryLimit) => Reason::Unprocessed,
        Some(Death::Rejected) | None => Reason::Internal,
    };
    match TaskMessage::outline(&delivery.payload) {
        Ok(check) => {
            let (monitor, region) = (&check.monitor.id, &check.region);
            tracing::warn!(monitor.id = %monitor, %region, %reason, "a check was not executed");
            Read::items(vec![CheckResult::missed(&check, reason)])
        }
        Err(error) => {
            let why = sonde_core::chain(&error);
            Read::unreadable(metrics, delivery, "a dead letter", &why)
        }
    }
}

/// A message of the ledger stays one item, so that one that cannot be stored can be set aside as it came.
pub(crate) fn ledger(metrics: &IngesterMetrics, delivery: &Delivery) -> Read<LedgerMessage> {
    match LedgerMessage::decode(&delivery.payload) {
        Ok(message) => Read::items(vec![message]),
        Err(error) => {
            let why = sonde_core::chain(&error);
            Read::unreadable(metrics, delivery, "a message of the ledger", &why)
        }
    }
}
