//! From one queue: takes deliveries, reads them, and hands them on together with what settles them.

use std::sync::Arc;
use std::time::Duration;

use sonde_queue::{Consumer, Delivery, Queue, QueueError, QueueName};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::IngesterMetrics;
use crate::read::Read;

/// Between two tries to subscribe again.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Intake {
    pub(crate) name: QueueName,
    pub(crate) consumer: Box<dyn Consumer>,
    pub(crate) prefetch: u16,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) metrics: IngesterMetrics,
}

/// A delivery that was read. Its payload is gone: what waits for the store is in memory once.
pub(crate) struct Taken<T> {
    pub(crate) content: Read<T>,
    pub(crate) delivery: Delivery,
}

impl Intake {
    /// Ends at `shutdown`, or when the queue has closed and is empty; what was fetched ahead goes back.
    pub(crate) async fn run<T>(
        mut self,
        read: fn(&IngesterMetrics, &Delivery) -> Read<T>,
        taken: mpsc::Sender<Taken<T>>,
        shutdown: CancellationToken,
    ) {
        loop {
            let received = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                received = self.consumer.receive() => received,
            };
            match received {
                Ok(mut delivery) => {
                    let content = read(&self.metrics, &delivery);
                    delivery.payload = Vec::new();
                    if taken.send(Taken { content, delivery }).await.is_err() {
                        break;
                    }
                }
                Err(QueueError::Closed) => break,
                Err(error) => {
                    tracing::warn!(
                        error = sonde_core::chain(&error),
                        queue.name = %self.name,
                        "cannot take results; subscribing again"
                    );
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => break,
                        () = sleep(RETRY) => {}
                    }
                    if let Ok(consumer) = self.queue.consume(&self.name, self.prefetch).await {
                        self.consumer = consumer;
                    }
                }
            }
        }
    }
}

/// What is to be written together.
pub(crate) struct Batch<T> {
    pub(crate) items: Vec<T>,
    /// What cannot be read, as it came.
    pub(crate) unreadable: Vec<Vec<u8>>,
    pub(crate) deliveries: Vec<Delivery>,
}

impl<T> Batch<T> {
    /// Waits for the first delivery, then for as many as come within `longest_wait` or make `most` items. `None` when
    /// there will be none any more. Not cancel safe.
    pub(crate) async fn collect(
        waiting: &mut mpsc::Receiver<Taken<T>>,
        most: usize,
        longest_wait: Duration,
        shutdown: &CancellationToken,
    ) -> Option<Self> {
        let mut batch = Self {
            items: Vec::new(),
            unreadable: Vec::new(),
            deliveries: Vec::new(),
        };
        batch.add(waiting.recv().await?);
        let deadline = Instant::now() + longest_wait;
        while batch.items.len() < most {
            // What is there already is taken even when nothing waits any more.
            let next = tokio::select! {
                biased;
                next = waiting.recv() => next,
                () = shutdown.cancelled() => None,
                () = sleep_until(deadline) => None,
            };
            let Some(taken) = next else { break };
            batch.add(taken);
        }
        Some(batch)
    }

    fn add(&mut self, taken: Taken<T>) {
        let Taken { content, delivery } = taken;
        self.items.extend(content.items);
        self.unreadable.extend(content.unreadable);
        self.deliveries.push(delivery);
    }

    /// It is written: none of it comes again.
    pub(crate) async fn acknowledge(self) {
        for delivery in self.deliveries {
            if let Err(error) = delivery.ack().await {
                tracing::warn!(
                    error = sonde_core::chain(&error),
                    "cannot acknowledge what is stored; it will be merged again"
                );
            }
        }
    }
}
