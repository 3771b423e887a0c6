//! Dead letters: tasks that nobody executed become missed rows, so that nothing is lost silently.

use sonde_core::{CheckResult, Reason};
use sonde_queue::{Death, Delivery, QueueName, TaskMessage};
use tokio_util::sync::CancellationToken;

use crate::store::acknowledge;
use crate::{Ingester, IngesterError, PREFETCH, next};

impl Ingester {
    pub(crate) async fn bury(&self, shutdown: CancellationToken) -> Result<(), IngesterError> {
        let failed = |source| IngesterError {
            queue: QueueName::Dead,
            source,
        };
        let mut consumer = self
            .queue
            .consume(&QueueName::Dead, PREFETCH)
            .await
            .map_err(failed)?;
        while let Some(delivery) = next(&mut *consumer, &shutdown).await.map_err(failed)? {
            let rows: Vec<_> = self.missed(&delivery).into_iter().collect();
            if self.store_at_last(rows, &shutdown).await {
                acknowledge(vec![delivery]).await;
            }
        }
        Ok(())
    }

    fn missed(&self, delivery: &Delivery) -> Option<CheckResult> {
        self.metrics.dead.inc();
        let reason = match delivery.death {
            Some(Death::Expired) => Reason::Expired,
            Some(Death::DeliveryLimit) => Reason::Unprocessed,
            Some(Death::Rejected) | None => Reason::Internal,
        };
        match TaskMessage::decode(&delivery.payload) {
            Ok(check) => {
                let (monitor, region) = (&check.monitor.id, &check.region);
                tracing::warn!(monitor.id = %monitor, %region, %reason, "a check was not executed");
                Some(CheckResult::missed(&check, reason))
            }
            Err(error) => {
                self.metrics.unreadable.inc();
                let head: String = String::from_utf8_lossy(&delivery.payload)
                    .chars()
                    .take(200)
                    .collect();
                tracing::error!(
                    error = sonde_core::chain(&error),
                    head,
                    "a dead letter is unreadable and is set aside"
                );
                None
            }
        }
    }
}
