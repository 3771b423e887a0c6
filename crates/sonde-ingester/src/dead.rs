//! Dead letters: tasks that nobody executed become missed rows, so that nothing is lost silently.

use sonde_core::{CheckResult, Reason};
use sonde_queue::{Death, Delivery, TaskMessage};

use crate::IngesterMetrics;

/// The row of a dead task.
pub(crate) fn read(metrics: &IngesterMetrics, delivery: &Delivery) -> Vec<CheckResult> {
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
            vec![CheckResult::missed(&check, reason)]
        }
        Err(error) => {
            metrics.unreadable.inc();
            let head: String = String::from_utf8_lossy(&delivery.payload)
                .chars()
                .take(200)
                .collect();
            tracing::error!(
                error = sonde_core::chain(&error),
                head,
                "a dead letter is unreadable and is set aside"
            );
            Vec::new()
        }
    }
}
