//! One loop per queue: a permit, a task, a probe. What is held when the checker dies is delivered again.

use std::sync::Arc;
use std::time::Duration;

use sonde_queue::{Consumer, Delivery, Queue, QueueError, QueueName};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use crate::batch::Done;
use crate::worker::Worker;

/// Between two tries to subscribe again.
const RETRY: Duration = Duration::from_secs(1);

/// Takes the tasks of one queue.
pub(crate) struct Intake {
    pub(crate) name: QueueName,
    pub(crate) consumer: Box<dyn Consumer>,
    pub(crate) permits: u16,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) done: mpsc::Sender<Done>,
}

impl Intake {
    /// Ends when the checker drains, or the queue has closed, and every task taken has its result handed on.
    pub(crate) async fn run(mut self) {
        let permits = Arc::new(Semaphore::new(usize::from(self.permits)));
        let mut in_flight = JoinSet::new();
        let draining = self.worker.shared.draining.clone();
        loop {
            let next = async {
                // The permit first: no task is taken that cannot start at once.
                let permit = Arc::clone(&permits).acquire_owned().await;
                let permit = permit.expect("the semaphore is never closed");
                let delivery = self.receive().await?;
                Some((permit, delivery))
            };
            let (permit, delivery) = tokio::select! {
                biased;
                () = draining.cancelled() => break,
                Some(ended) = in_flight.join_next(), if !in_flight.is_empty() => {
                    notice(&self.worker, ended);
                    continue;
                }
                next = next => match next {
                    Some(next) => next,
                    None => break,
                },
            };
            let (worker, done, prefetch) =
                (Arc::clone(&self.worker), self.done.clone(), self.permits);
            // A panic drops the delivery, which redelivers it, and the permit.
            in_flight.spawn(async move {
                work(&worker, delivery, prefetch, &done).await;
                drop(permit);
            });
        }
        // What was fetched ahead goes back now, not when the last check has finished.
        drop(self.consumer);
        while let Some(ended) = in_flight.join_next().await {
            notice(&self.worker, ended);
        }
    }

    /// The next task; `None` when there will be none any more. Cancel safe.
    async fn receive(&mut self) -> Option<Delivery> {
        loop {
            let error = match self.consumer.receive().await {
                Ok(delivery) => return Some(delivery),
                Err(QueueError::Closed) => return None,
                Err(error) => error,
            };
            tracing::warn!(
                error = sonde_core::chain(&error),
                queue.name = %self.name,
                "cannot take tasks; subscribing again"
            );
            tokio::time::sleep(RETRY).await;
            if let Ok(consumer) = self.queue.consume(&self.name, self.permits).await {
                self.consumer = consumer;
            }
        }
    }
}

/// Tasks of this loop end with their result handed on; one that panicked goes back to the queue.
fn notice(worker: &Worker, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        worker.shared.metrics.vitals.panicked.inc();
        tracing::error!(
            error = sonde_core::chain(&error),
            "a check panicked; its task is delivered again"
        );
    }
}

async fn work(worker: &Worker, mut delivery: Delivery, prefetch: u16, done: &mpsc::Sender<Done>) {
    let check = match worker.read(&delivery.payload) {
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
    // A thousand checks in flight need not hold their messages, too.
    delivery.payload = Vec::new();
    if delivery.redeliveries > 0 {
        worker.shared.metrics.redelivered();
    }
    let result = worker.execute(&check).await;
    let finished = Done {
        result,
        delivery,
        prefetch,
    };
    // The publisher outlives every loop; without it the task is redelivered.
    let _ = done.send(finished).await;
}
