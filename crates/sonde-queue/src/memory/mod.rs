//! The in-process backend, for one machine and for tests. It has no background task: time limits are applied by whoever
//! looks, and the consumer of the dead letters wakes for the next expiry anywhere.

mod bus;
mod election;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use self::state::{Message, State};
use crate::{
    Consumer, Death, Delivery, Depth, Outgoing, Queue, QueueError, QueueName, Result, Settle,
    Topology,
};

pub use election::MemoryElection;

/// A handle; clones share the same queues. The dead letters exist from the start.
#[derive(Clone)]
pub struct MemoryQueue {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryQueue {
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new())),
        }
    }

    /// From now on publishing fails with [`QueueError::Closed`], receiving does when the queue is empty, and nothing is
    /// announced any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.announcements = None;
        for queue in state.queues.values() {
            queue.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can panic, so a poisoned state is still a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn declare(&self, topology: &Topology) -> Result<()> {
        let mut state = self.lock();
        for declaration in &topology.queues {
            state.declare(declaration);
        }
        Ok(())
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        self.lock().publish(messages)
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        let (changed, counted) = {
            let mut state = self.lock();
            let buffer = state.buffer(queue)?;
            (buffer.changed.clone(), buffer.consumers.clone())
        };
        Ok(Box::new(MemoryConsumer {
            _counted: counted,
            queue: self.clone(),
            name: queue.clone(),
            changed,
            permits: Arc::new(Semaphore::new(usize::from(prefetch.max(1)))),
        }))
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        let mut state = self.lock();
        state.expire(Instant::now());
        let buffer = state.buffer(queue)?;
        Ok(Depth {
            ready: u64::try_from(buffer.ready.len()).unwrap_or(u64::MAX),
            consumers: u32::try_from(Arc::strong_count(&buffer.consumers) - 1).unwrap_or(u32::MAX),
        })
    }
}

struct MemoryConsumer {
    queue: MemoryQueue,
    name: QueueName,
    changed: Arc<Notify>,
    _counted: Arc<()>,
    /// One per message that may be unsettled.
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn receive(&mut self) -> Result<Delivery> {
        let permit = self.permits.clone().acquire_owned().await;
        let mut permit = Some(permit.map_err(|_| QueueError::Closed)?);
        loop {
            // Made before looking, so that no change between looking and waiting goes unnoticed.
            let changed = self.changed.notified();
            let next_expiry = {
                let mut state = self.queue.lock();
                state.expire(Instant::now());
                if let Some((place, message)) = state.take(&self.name) {
                    return Ok(self.deliver(place, message, permit.take()));
                }
                if state.closed {
                    return Err(QueueError::Closed);
                }
                state.next_expiry()
            };
            match next_expiry.filter(|_| self.name == QueueName::Dead) {
                Some(at) => timeout_at(at, changed).await.unwrap_or_default(),
                None => changed.await,
            }
        }
    }
}

impl MemoryConsumer {
    fn deliver(
        &self,
        place: u64,
        message: Message,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Delivery {
        let (payload, redeliveries) = (message.payload.clone(), message.redeliveries);
        let death = message.death;
        let settle = MemorySettle {
            queue: self.queue.clone(),
            name: self.name.clone(),
            held: Some((place, message)),
            _permit: permit,
        };
        Delivery::new(payload, redeliveries, death, Box::new(settle))
    }
}

struct MemorySettle {
    queue: MemoryQueue,
    name: QueueName,
    /// Taken when settled; what is left on drop goes back.
    held: Option<(u64, Message)>,
    _permit: Option<OwnedSemaphorePermit>,
}

#[async_trait]
impl Settle for MemorySettle {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        self.held = None;
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<()> {
        Ok(()) // `drop` gives it back
    }

    async fn reject(mut self: Box<Self>) -> Result<()> {
        if let Some((_, message)) = self.held.take() {
            let mut state = self.queue.lock();
            state.bury(&self.name, message.payload, Death::Rejected);
        }
        Ok(())
    }
}

impl Drop for MemorySettle {
    fn drop(&mut self) {
        if let Some((place, message)) = self.held.take() {
            self.queue.lock().give_back(&self.name, place, message);
        }
    }
}
