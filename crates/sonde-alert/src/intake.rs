//! From one queue: takes messages of results and reads them.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::{Consumer, Delivery, Queue, QueueError, QueueName, ResultsMessage};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Messages of one partition that are held at once, at most.
pub(crate) const PREFETCH: u16 = 200;
/// Between two tries to subscribe again.
const RETRY: Duration = Duration::from_secs(1);

/// A message that is read.
pub(crate) struct Taken {
    pub(crate) results: Vec<CheckResult>,
    pub(crate) delivery: Delivery,
}

/// Until the queue has closed, or nobody wants more.
pub(crate) async fn intake(
    queue: Arc<dyn Queue>,
    name: QueueName,
    mut consumer: Box<dyn Consumer>,
    taken: mpsc::Sender<Taken>,
) {
    loop {
        match consumer.receive().await {
            Ok(delivery) => {
                let results = read(&delivery);
                if taken.send(Taken { results, delivery }).await.is_err() {
                    return;
                }
            }
            Err(QueueError::Closed) => return,
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, queue.name = %name, "cannot take results; subscribing again");
                sleep(RETRY).await;
                if let Ok(again) = queue.consume(&name, PREFETCH).await {
                    consumer = again;
                }
            }
        }
    }
}

/// What is unreadable the ingester sets aside.
fn read(delivery: &Delivery) -> Vec<CheckResult> {
    match ResultsMessage::decode(&delivery.payload) {
        Ok(message) => message.results,
        Err(error) => {
            let error = sonde_core::chain(&error);
            tracing::error!(error, "a message of results is unreadable");
            Vec::new()
        }
    }
}
