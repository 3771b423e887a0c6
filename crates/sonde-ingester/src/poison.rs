//! What nobody can read or store goes to a queue of its own, for a person to look at.

use sonde_queue::{Outgoing, QueueError, Route};
use tokio_util::sync::CancellationToken;

use crate::Ingester;
use crate::store::{GaveUp, Retry};

/// Of what is lost but for the log.
const SHOWN: usize = 2000;

impl Ingester {
    /// Returns when the queue has confirmed them, or has no place for them: then they are in the log at least.
    pub(crate) async fn set_aside(
        &self,
        payloads: Vec<Vec<u8>>,
        shutdown: &CancellationToken,
    ) -> Result<(), GaveUp> {
        if payloads.is_empty() {
            return Ok(());
        }
        self.metrics.poison.inc_by(payloads.len() as u64);
        let poison = |payload: &Vec<u8>| Outgoing {
            route: Route::Poison,
            payload: payload.clone(),
        };
        let messages: Vec<_> = payloads.iter().map(poison).collect();
        let mut retry = Retry::new(shutdown);
        loop {
            let Err(error) = self.queue.publish(messages.clone()).await else {
                return Ok(());
            };
            if matches!(error, QueueError::Unroutable { .. } | QueueError::Closed) {
                for payload in &payloads {
                    let text = String::from_utf8_lossy(payload);
                    let head: String = text.chars().take(SHOWN).collect();
                    tracing::error!(head, "set aside with no queue to keep it");
                }
                return Ok(());
            }
            retry
                .wait("cannot set aside what is unreadable", &error)
                .await?;
        }
    }
}
