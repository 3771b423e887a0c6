//! Results leave in batches; a task is acknowledged when its result is confirmed, never before.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::CheckResult;
use sonde_queue::{Delivery, Queue, QueueError, RESULTS_PER_MESSAGE, results_messages};
use tokio::sync::mpsc;

use crate::CheckerMetrics;

/// How long a result may wait for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Results that may wait for the publisher; beyond, probes wait with their permits.
pub(crate) const CAPACITY: usize = 1000;
/// Between two tries of a broker that fails.
const RETRY: Duration = Duration::from_secs(1);

/// A finished check and the task that it settles.
pub(crate) struct Done {
    pub(crate) result: CheckResult,
    pub(crate) delivery: Delivery,
}

/// Publishes until every sender is gone. Fails only when the queue has closed: then tasks are redelivered.
pub(crate) async fn publish(
    queue: Arc<dyn Queue>,
    partitions: u16,
    mut finished: mpsc::Receiver<Done>,
    metrics: CheckerMetrics,
) -> Result<(), QueueError> {
    while let Some(first) = finished.recv().await {
        let batch = collect(first, &mut finished).await;
        metrics.batch(batch.len());
        let (results, deliveries): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|done| (done.result, done.delivery))
            .unzip();
        let messages = results_messages(results, partitions);
        while let Err(error) = queue.publish(messages.clone()).await {
            if matches!(error, QueueError::Closed) {
                return Err(error);
            }
            tracing::warn!(
                error = sonde_core::chain(&error),
                "cannot publish results; trying again"
            );
            tokio::time::sleep(RETRY).await;
        }
        for delivery in deliveries {
            if let Err(error) = delivery.ack().await {
                tracing::warn!(
                    error = sonde_core::chain(&error),
                    "cannot acknowledge a task; it will run again"
                );
            }
        }
    }
    Ok(())
}

async fn collect(first: Done, finished: &mut mpsc::Receiver<Done>) -> Vec<Done> {
    let mut batch = vec![first];
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    while batch.len() < RESULTS_PER_MESSAGE {
        match tokio::time::timeout_at(deadline, finished.recv()).await {
            Ok(Some(done)) => batch.push(done),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use prometheus_client::registry::Registry;
    use sonde_core::{Check, Monitor, QueueSettings, Region, Timestamp};
    use sonde_queue::memory::MemoryQueue;
    use sonde_queue::{
        Consumer, Depth, Outgoing, QueueName, ResultsMessage, Route, TaskKeys, TaskMessage,
        Topology,
    };

    use super::*;

    /// A queue that refuses the first `failures` batches of results.
    struct Unwell {
        queue: MemoryQueue,
        failures: AtomicU32,
    }

    #[async_trait]
    impl Queue for Unwell {
        async fn declare(&self, topology: &Topology) -> Result<(), QueueError> {
            self.queue.declare(topology).await
        }

        async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
            let left = self.failures.load(Ordering::Relaxed);
            if left > 0 {
                self.failures.store(left - 1, Ordering::Relaxed);
                return Err(QueueError::Unavailable {
                    backend: "test",
                    source: "no".into(),
                });
            }
            self.queue.publish(messages).await
        }

        async fn consume(
            &self,
            queue: &QueueName,
            prefetch: u16,
        ) -> Result<Box<dyn Consumer>, QueueError> {
            self.queue.consume(queue, prefetch).await
        }

        async fn depth(&self, queue: &QueueName) -> Result<Depth, QueueError> {
            self.queue.depth(queue).await
        }
    }

    const STORE: QueueName = QueueName::Store { partition: 0 };

    async fn task(queue: &Unwell) -> Done {
        let check = Check::sample(Timestamp::UNIX_EPOCH);
        let (name, route) = (
            QueueName::Now {
                region: Region::local(),
            },
            Route::Now {
                region: Region::local(),
            },
        );
        let task = Outgoing {
            route,
            payload: TaskMessage::encode(&check, &TaskKeys::none()),
        };
        queue.queue.publish(vec![task]).await.unwrap();
        let mut consumer = queue.consume(&name, 1).await.unwrap();
        let delivery = consumer.receive().await.unwrap();
        Done {
            result: CheckResult::sample(),
            delivery,
        }
    }

    async fn start(failures: u32) -> Arc<Unwell> {
        let settings = QueueSettings {
            retry: Monitor::sample().retry,
            delivery_limit: 3,
            frequencies: Vec::new(),
        };
        let queue = Unwell {
            queue: MemoryQueue::new(),
            failures: AtomicU32::new(failures),
        };
        queue
            .declare(&Topology::new(&settings, &[Region::local()], 1))
            .await
            .unwrap();
        Arc::new(queue)
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_away_delays_results_but_loses_none() {
        let queue = start(3).await;
        let (done, finished) = mpsc::channel(CAPACITY);
        done.send(task(&queue).await).await.unwrap();
        drop(done);
        let metrics = CheckerMetrics::register(&mut Registry::default());
        publish(Arc::clone(&queue) as _, 1, finished, metrics)
            .await
            .unwrap();
        let message = queue
            .consume(&STORE, 1)
            .await
            .unwrap()
            .receive()
            .await
            .unwrap();
        assert_eq!(
            ResultsMessage::decode(&message.payload)
                .unwrap()
                .results
                .len(),
            1
        );
        let left = queue
            .depth(&QueueName::Now {
                region: Region::local(),
            })
            .await
            .unwrap();
        assert_eq!(left.ready, 0, "acknowledged");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_result_was_not_confirmed_is_delivered_again() {
        let queue = start(u32::MAX).await;
        let (done, finished) = mpsc::channel(CAPACITY);
        done.send(task(&queue).await).await.unwrap();
        let metrics = CheckerMetrics::register(&mut Registry::default());
        let publishing = publish(Arc::clone(&queue) as _, 1, finished, metrics);
        // The checker dies while the broker still refuses.
        let died = tokio::time::timeout(Duration::from_secs(10), publishing).await;
        assert!(died.is_err());
        let left = queue
            .depth(&QueueName::Now {
                region: Region::local(),
            })
            .await
            .unwrap();
        assert_eq!(left.ready, 1, "back in the queue");
    }
}
