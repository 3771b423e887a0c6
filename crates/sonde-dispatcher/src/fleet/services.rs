//! What the leader does beside dispatching: it tells checkers the time, and hears triggers from outside.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Clock, Frequency};
use sonde_queue::fleet::{ClockAnswer, ClockQuestion, decode, encode};
use sonde_queue::{
    Announcement, Bus, CronMessage, Delivery, Listener, Queue, QueueError, QueueName, Topic,
};
use tokio::sync::mpsc;

use super::saver::hint;
use crate::FleetMetrics;

/// Between two tries of what is not there.
const PAUSE: Duration = Duration::from_secs(5);
/// Triggers that may wait for the next tick.
pub(super) const TRIGGERS: u16 = 16;

/// Someone else's clock says that a class is due; acknowledged when it is dispatched.
pub(super) struct TriggerRequest {
    pub(super) frequency: Frequency,
    pub(super) delivery: Delivery,
}

pub(super) struct ClockService {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: FleetMetrics,
}

impl ClockService {
    /// Answers until it is dropped.
    pub(super) async fn run(self) {
        let mut was_heard = true;
        loop {
            let heard = match self.bus.listen(&[Topic::ClockQuestion]).await {
                Ok(listener) => self.answer(listener).await,
                Err(error) => error,
            };
            if std::mem::take(&mut was_heard) {
                tracing::warn!(
                    error = sonde_core::chain(&heard),
                    "checkers cannot ask for the time"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(&self, mut listener: Box<dyn Listener>) -> QueueError {
        loop {
            let announcement = match listener.next().await {
                Ok(announcement) => announcement,
                Err(error) => return error,
            };
            let received_at = self.clock.now();
            let question: ClockQuestion = match decode(&announcement.payload) {
                Ok(question) => question,
                Err(error) => {
                    tracing::debug!(
                        error = sonde_core::chain(&error),
                        "a clock question is unreadable"
                    );
                    continue;
                }
            };
            let answer = ClockAnswer::new(&question, received_at, self.clock.now());
            let announced = self.bus.announce(Announcement {
                topic: Topic::ClockAnswer {
                    checker: question.checker,
                },
                payload: encode(&answer),
            });
            if let Err(error) = announced.await {
                return error;
            }
            self.metrics.clock_answers.inc();
        }
    }
}

/// Takes triggers until leadership is lost.
pub(super) async fn take_triggers(queue: Arc<dyn Queue>, triggers: mpsc::Sender<TriggerRequest>) {
    let mut was_heard = true;
    loop {
        let error = match queue.consume(&QueueName::Cron, TRIGGERS).await {
            Ok(mut consumer) => loop {
                match consumer.receive().await {
                    Ok(delivery) => {
                        if forward(delivery, &triggers).await.is_none() {
                            return;
                        }
                    }
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        if matches!(error, QueueError::Closed) {
            return;
        }
        if std::mem::take(&mut was_heard) {
            tracing::warn!(
                error = sonde_core::chain(&error),
                "triggers from outside are not heard{}",
                hint(&error)
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// None when nobody leads any more.
async fn forward(delivery: Delivery, triggers: &mpsc::Sender<TriggerRequest>) -> Option<()> {
    match CronMessage::decode(&delivery.payload) {
        Ok(message) => {
            let request = TriggerRequest {
                frequency: message.frequency,
                delivery,
            };
            triggers.send(request).await.ok()
        }
        Err(error) => {
            tracing::warn!(
                error = sonde_core::chain(&error),
                "a trigger from outside is unreadable"
            );
            reject(delivery).await;
            Some(())
        }
    }
}

/// A broker that is away forgets who held it: it comes again.
pub(super) async fn reject(delivery: Delivery) {
    if let Err(error) = delivery.reject().await {
        tracing::debug!(
            error = sonde_core::chain(&error),
            "a trigger could not be settled"
        );
    }
}
