//! One loop per queue: a permit, a task, a probe. What is held when the checker dies is delivered again.

use std::sync::Arc;

use sonde_core::{Check, Clock, FrequencyClass, Region};
use sonde_probe::Prober;
use sonde_queue::{Consumer, Delivery, Queue, QueueError, QueueName, TaskKeys, TaskMessage};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::CheckerMetrics;
use crate::batch::{self, Done};

/// On-demand tasks in flight: its own permits, so that a full schedule does not delay a person.
const NOW_PERMITS: u16 = 50;

#[derive(Debug, thiserror::Error)]
pub enum CheckerError {
    #[error("cannot consume {queue}")]
    Consume {
        queue: QueueName,
        #[source]
        source: QueueError,
    },
    #[error("cannot publish results")]
    Publish(#[source] QueueError),
}

/// The checker of one region.
pub struct Checker {
    pub queue: Arc<dyn Queue>,
    pub prober: Prober,
    pub clock: Arc<dyn Clock>,
    pub region: Region,
    pub frequencies: Vec<FrequencyClass>,
    /// Partitions of the results.
    pub partitions: u16,
    pub metrics: CheckerMetrics,
}

impl Checker {
    /// Consumes until `shutdown`, then finishes and settles what is in flight.
    ///
    /// Dropped before that, whatever was not acknowledged is delivered again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), CheckerError> {
        let (done, finished) = mpsc::channel(batch::CAPACITY);
        let worker = Arc::new(Worker {
            prober: self.prober,
            clock: self.clock,
            metrics: self.metrics.clone(),
            done,
        });
        let region = &self.region;
        let mut queues: Vec<_> = self
            .frequencies
            .iter()
            .map(|class| {
                let (frequency, region) = (class.name.clone(), region.clone());
                (QueueName::Checks { frequency, region }, class.prefetch)
            })
            .collect();
        queues.push((
            QueueName::Now {
                region: region.clone(),
            },
            NOW_PERMITS,
        ));

        let mut loops = JoinSet::new();
        for (name, permits) in queues {
            let consumer = self.queue.consume(&name, permits).await;
            let consumer = consumer.map_err(|source| CheckerError::Consume {
                queue: name.clone(),
                source,
            })?;
            // Ends with the others at shutdown; an error ends them all.
            loops.spawn(consume(
                name,
                consumer,
                permits,
                Arc::clone(&worker),
                shutdown.clone(),
            ));
        }
        drop(worker);
        let publisher = batch::publish(self.queue, self.partitions, finished, self.metrics);
        let consuming = async {
            while let Some(ended) = loops.join_next().await {
                ended.expect("a consumer loop does not panic")?;
            }
            Ok(())
        };
        let (consumed, published) = tokio::join!(consuming, publisher);
        consumed.and(published.map_err(CheckerError::Publish))
    }
}

struct Worker {
    prober: Prober,
    clock: Arc<dyn Clock>,
    metrics: CheckerMetrics,
    done: mpsc::Sender<Done>,
}

async fn consume(
    name: QueueName,
    mut consumer: Box<dyn Consumer>,
    permits: u16,
    worker: Arc<Worker>,
    shutdown: CancellationToken,
) -> Result<(), CheckerError> {
    let permits = Arc::new(Semaphore::new(usize::from(permits)));
    let in_flight = TaskTracker::new();
    let result = loop {
        // The permit first: no task is taken that cannot start at once.
        let permit = tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            permit = Arc::clone(&permits).acquire_owned() => {
                permit.expect("the semaphore is never closed")
            }
        };
        let delivery = tokio::select! {
            biased;
            () = shutdown.cancelled() => break Ok(()),
            received = consumer.receive() => match received {
                Ok(delivery) => delivery,
                Err(QueueError::Closed) => break Ok(()),
                Err(source) => break Err(CheckerError::Consume { queue: name, source }),
            },
        };
        let worker = Arc::clone(&worker);
        // A panic drops the delivery, which redelivers it, and the permit.
        in_flight.spawn(async move {
            worker.work(delivery).await;
            drop(permit);
        });
    };
    in_flight.close();
    in_flight.wait().await;
    result
}

impl Worker {
    async fn work(&self, delivery: Delivery) {
        let check = match TaskMessage::decode(&delivery.payload, &TaskKeys::none()) {
            Ok(check) => check,
            Err(error) => {
                tracing::error!(
                    error = sonde_core::chain(&error),
                    "a task is unreadable and goes to the dead letters"
                );
                if let Err(error) = delivery.reject().await {
                    tracing::warn!(error = sonde_core::chain(&error), "cannot reject a task");
                }
                return;
            }
        };
        if delivery.redeliveries > 0 {
            self.metrics.redelivered();
        }
        let result = self.probe(&check).await;
        // The publisher outlives every loop; without it the task is redelivered.
        let _ = self.done.send(Done { result, delivery }).await;
    }

    async fn probe(&self, check: &Check) -> sonde_core::CheckResult {
        let _in_flight = self.metrics.begin();
        let result = self.prober.run(check, &*self.clock).await;
        self.metrics.observe(&result);
        result
    }
}
