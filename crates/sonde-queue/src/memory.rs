//! The in-process backend, for one machine and for tests. It has no background task: time limits are applied by whoever
//! looks, and the consumer of the dead letters wakes for the next expiry anywhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::{
    Consumer, Death, Delivery, Depth, Outgoing, Queue, QueueDeclaration, QueueError, QueueName,
    Result, Route, Settle, Topology,
};

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
        let dead = Buffer::new(None, None);
        let state = State {
            queues: BTreeMap::from([(QueueName::Dead, dead)]),
            bindings: HashMap::new(),
            next_place: 0,
            closed: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// From now on publishing fails with [`QueueError::Closed`], and receiving does when the queue is empty.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
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

struct State {
    queues: BTreeMap<QueueName, Buffer>,
    bindings: HashMap<Route, Vec<QueueName>>,
    /// Where the next message goes; never used twice.
    next_place: u64,
    closed: bool,
}

struct Buffer {
    /// By place, so that a message that comes back stands where it stood, and the first is always the next to expire.
    ready: BTreeMap<u64, Message>,
    time_to_live: Option<Duration>,
    delivery_limit: Option<u32>,
    /// Told of everything that a waiting consumer may have waited for.
    changed: Arc<Notify>,
    /// Cloned by every consumer.
    consumers: Arc<()>,
}

struct Message {
    payload: Vec<u8>,
    redeliveries: u32,
    death: Option<Death>,
    expires_at: Option<Instant>,
}

impl Buffer {
    fn new(time_to_live: Option<Duration>, delivery_limit: Option<u32>) -> Self {
        Self {
            ready: BTreeMap::new(),
            time_to_live,
            delivery_limit,
            changed: Arc::new(Notify::new()),
            consumers: Arc::new(()),
        }
    }

    fn insert(&mut self, place: u64, message: Message) {
        self.ready.insert(place, message);
        self.changed.notify_waiters();
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.ready.first_key_value()?.1.expires_at
    }
}

impl State {
    fn buffer(&mut self, name: &QueueName) -> Result<&mut Buffer> {
        self.queues
            .get_mut(name)
            .ok_or_else(|| QueueError::NotDeclared(name.clone()))
    }

    fn declare(&mut self, declaration: &QueueDeclaration) {
        let QueueDeclaration {
            name,
            bound_to,
            time_to_live,
            delivery_limit,
            ..
        } = declaration;
        if self.queues.contains_key(name) {
            return;
        }
        let buffer = Buffer::new(*time_to_live, *delivery_limit);
        self.queues.insert(name.clone(), buffer);
        if let Some(route) = bound_to {
            let bound = self.bindings.entry(route.clone()).or_default();
            bound.push(name.clone());
        }
    }

    fn publish(&mut self, messages: Vec<Outgoing>) -> Result<()> {
        if self.closed {
            return Err(QueueError::Closed);
        }
        let now = Instant::now();
        let mut unroutable: Option<(Route, Vec<usize>)> = None;
        for (index, Outgoing { route, payload }) in messages.into_iter().enumerate() {
            let Some(names) = self.bindings.get(&route).cloned() else {
                let (_, indexes) = unroutable.get_or_insert((route, Vec::new()));
                indexes.push(index);
                continue;
            };
            for name in names {
                self.push(&name, payload.clone(), None, now);
            }
        }
        match unroutable {
            Some((route, indexes)) => Err(QueueError::Unroutable { route, indexes }),
            None => Ok(()),
        }
    }

    /// Appends a message that is new to the queue.
    fn push(&mut self, name: &QueueName, payload: Vec<u8>, death: Option<Death>, now: Instant) {
        let place = self.next_place;
        self.next_place += 1;
        let Some(buffer) = self.queues.get_mut(name) else {
            return; // queues are never removed
        };
        let first_to_expire = buffer.ready.is_empty() && buffer.time_to_live.is_some();
        let message = Message {
            payload,
            redeliveries: 0,
            death,
            expires_at: buffer.time_to_live.map(|limit| now + limit),
        };
        buffer.insert(place, message);
        if first_to_expire {
            self.wake_dead();
        }
    }

    fn take(&mut self, name: &QueueName) -> Option<(u64, Message)> {
        self.queues.get_mut(name)?.ready.pop_first()
    }

    /// Takes back a message that was handed out.
    fn give_back(&mut self, name: &QueueName, place: u64, mut message: Message) {
        let Some(buffer) = self.queues.get_mut(name) else {
            return; // queues are never removed
        };
        message.redeliveries += 1;
        if buffer
            .delivery_limit
            .is_some_and(|limit| message.redeliveries > limit)
        {
            self.bury(name, message.payload, Death::DeliveryLimit);
        } else {
            buffer.insert(place, message);
            self.wake_dead();
        }
    }

    fn bury(&mut self, name: &QueueName, payload: Vec<u8>, death: Death) {
        if *name == QueueName::Dead {
            // As on a broker, where the dead letters have no dead letters of their own.
            tracing::warn!(queue.name = %name, "a dead letter was rejected and is gone");
        } else {
            self.push(&QueueName::Dead, payload, Some(death), Instant::now());
        }
    }

    fn expire(&mut self, now: Instant) {
        let mut expired = Vec::new();
        for (name, buffer) in &mut self.queues {
            while buffer.next_expiry().is_some_and(|at| at <= now) {
                let taken = buffer.ready.pop_first();
                expired.extend(taken.map(|(_, message)| (name.clone(), message.payload)));
            }
        }
        for (name, payload) in expired {
            self.bury(&name, payload, Death::Expired);
        }
    }

    fn next_expiry(&self) -> Option<Instant> {
        self.queues.values().filter_map(Buffer::next_expiry).min()
    }

    /// The consumer of the dead letters has to look again when the next expiry may have moved.
    fn wake_dead(&self) {
        if let Some(dead) = self.queues.get(&QueueName::Dead) {
            dead.changed.notify_waiters();
        }
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

#[cfg(test)]
mod tests {
    use sonde_core::Region;
    use tokio::time::timeout;

    use super::*;

    crate::queue_conformance!(memory, async { crate::memory::MemoryQueue::new() });

    const TIME_TO_LIVE: Duration = Duration::from_mins(1);

    async fn queue_of_now() -> (MemoryQueue, QueueName, Route) {
        let region = Region::local();
        let name = QueueName::Now {
            region: region.clone(),
        };
        let route = Route::Now { region };
        let queue = MemoryQueue::new();
        let declaration = QueueDeclaration {
            time_to_live: Some(TIME_TO_LIVE),
            ..QueueDeclaration::unbounded(name.clone(), Some(route.clone()))
        };
        let queues = vec![declaration];
        queue.declare(&Topology { queues }).await.unwrap();
        (queue, name, route)
    }

    fn message(route: &Route, payload: &str) -> Vec<Outgoing> {
        let (route, payload) = (route.clone(), payload.into());
        vec![Outgoing { route, payload }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_letter_arrives_at_the_very_instant_of_its_expiry() {
        let (queue, _, route) = queue_of_now().await;
        let mut dead = queue.consume(&QueueName::Dead, 1).await.unwrap();
        let start = Instant::now();
        let waiting = timeout(TIME_TO_LIVE * 2, dead.receive());
        let (delivery, published) = tokio::join!(waiting, queue.publish(message(&route, "1")));
        published.unwrap();
        let delivery = delivery.expect("the expiry went unnoticed").unwrap();
        assert_eq!(delivery.death, Some(Death::Expired));
        assert_eq!(start.elapsed(), TIME_TO_LIVE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_does_not_expire_until_it_is_given_back() {
        let (queue, name, route) = queue_of_now().await;
        queue.publish(message(&route, "1")).await.unwrap();
        let mut consumer = queue.consume(&name, 1).await.unwrap();
        let held = consumer.receive().await.unwrap();
        tokio::time::advance(TIME_TO_LIVE * 2).await;
        assert_eq!(queue.depth(&QueueName::Dead).await.unwrap().ready, 0);
        drop(held);
        assert_eq!(queue.depth(&QueueName::Dead).await.unwrap().ready, 1);
    }

    #[tokio::test]
    async fn what_comes_back_stands_before_what_came_later() {
        let (queue, name, route) = queue_of_now().await;
        for payload in ["1", "2", "3"] {
            queue.publish(message(&route, payload)).await.unwrap();
        }
        let mut consumer = queue.consume(&name, 3).await.unwrap();
        let first = consumer.receive().await.unwrap();
        let second = consumer.receive().await.unwrap();
        drop(first);
        drop(second);
        for expected in ["1", "2", "3"] {
            let delivery = consumer.receive().await.unwrap();
            assert_eq!(delivery.payload, expected.as_bytes());
            delivery.ack().await.unwrap();
        }
    }

    #[tokio::test]
    async fn closing_ends_waiting_and_publishing_but_not_settling() {
        let (queue, name, route) = queue_of_now().await;
        queue.publish(message(&route, "1")).await.unwrap();
        let mut consumer = queue.consume(&name, 2).await.unwrap();
        let held = consumer.receive().await.unwrap();
        let close = async { queue.close() };
        let waiting = timeout(TIME_TO_LIVE, consumer.receive());
        let (received, ()) = tokio::join!(waiting, close);
        assert!(matches!(received, Ok(Err(QueueError::Closed))));
        let published = queue.publish(message(&route, "2")).await;
        assert!(matches!(published, Err(QueueError::Closed)));
        held.ack().await.unwrap();
    }
}
