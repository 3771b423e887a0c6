//! The buffers behind the in-process queue, and what happens in them. Plain data under the queue's lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::{
    Announcement, DeadLetters, Death, Outgoing, QueueDeclaration, QueueError, QueueName, Result,
    Route, Topic,
};

/// What a slow listener can be behind.
const BACKLOG: usize = 1000;

pub(super) struct State {
    pub(super) queues: BTreeMap<QueueName, Buffer>,
    bindings: HashMap<Route, Vec<QueueName>>,
    /// Where the next message goes; never used twice.
    next_place: u64,
    pub(super) closed: bool,
    /// None when closed.
    pub(super) announcements: Option<broadcast::Sender<Announcement>>,
}

pub(super) struct Buffer {
    /// By place, so that a message that comes back stands where it stood, and the first is always the next to expire.
    pub(super) ready: BTreeMap<u64, Message>,
    time_to_live: Option<Duration>,
    delivery_limit: Option<u32>,
    max_length: Option<u32>,
    dead_letters: DeadLetters,
    /// Told of everything that a waiting consumer may have waited for.
    pub(super) changed: Arc<Notify>,
    /// Cloned by every consumer.
    pub(super) consumers: Arc<()>,
}

pub(super) struct Message {
    pub(super) payload: Vec<u8>,
    pub(super) redeliveries: u32,
    pub(super) death: Option<Death>,
    expires_at: Option<Instant>,
}

impl Buffer {
    fn new(declaration: &QueueDeclaration) -> Self {
        Self {
            ready: BTreeMap::new(),
            time_to_live: declaration.time_to_live,
            delivery_limit: declaration.delivery_limit,
            max_length: declaration.max_length,
            dead_letters: declaration.dead_letters,
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
    /// With the dead letters only.
    pub(super) fn new() -> Self {
        let dead = QueueDeclaration::unbounded(QueueName::Dead, None);
        Self {
            queues: BTreeMap::from([(QueueName::Dead, Buffer::new(&dead))]),
            bindings: HashMap::new(),
            next_place: 0,
            closed: false,
            announcements: Some(broadcast::Sender::new(BACKLOG)),
        }
    }

    pub(super) fn buffer(&mut self, name: &QueueName) -> Result<&mut Buffer> {
        self.queues
            .get_mut(name)
            .ok_or_else(|| QueueError::NotDeclared(name.clone()))
    }

    pub(super) fn declare(&mut self, declaration: &QueueDeclaration) {
        let QueueDeclaration { name, bound_to, .. } = declaration;
        if self.queues.contains_key(name) {
            return;
        }
        self.queues.insert(name.clone(), Buffer::new(declaration));
        if let Some(route) = bound_to {
            let bound = self.bindings.entry(route.clone()).or_default();
            bound.push(name.clone());
        }
    }

    pub(super) fn publish(&mut self, messages: Vec<Outgoing>) -> Result<()> {
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
            self.tell(&route, payload);
        }
        match unroutable {
            Some((route, indexes)) => Err(QueueError::Unroutable { route, indexes }),
            None => Ok(()),
        }
    }

    /// To whoever listens beside the queues.
    fn tell(&self, route: &Route, payload: Vec<u8>) {
        if let (Route::Results { partition }, Some(announcements)) = (route, &self.announcements) {
            let topic = Topic::Results {
                partition: *partition,
            };
            // An error means that nobody listens, which is fine.
            let _ = announcements.send(Announcement { topic, payload });
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
        let limit = buffer.max_length.and_then(|it| usize::try_from(it).ok());
        if limit.is_some_and(|limit| buffer.ready.len() > limit) {
            buffer.ready.pop_first();
        }
        if first_to_expire {
            self.wake_dead();
        }
    }

    pub(super) fn take(&mut self, name: &QueueName) -> Option<(u64, Message)> {
        self.queues.get_mut(name)?.ready.pop_first()
    }

    /// Takes back a message that was handed out.
    pub(super) fn give_back(&mut self, name: &QueueName, place: u64, mut message: Message) {
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

    pub(super) fn bury(&mut self, name: &QueueName, payload: Vec<u8>, death: Death) {
        let dead_letters = self.queues.get(name).map(|buffer| buffer.dead_letters);
        let target = match dead_letters {
            Some(DeadLetters::Dead) => QueueName::Dead,
            Some(DeadLetters::Notifications) => QueueName::Notifications,
            Some(DeadLetters::Dropped) | None => {
                tracing::warn!(queue.name = %name, ?death, "a message died and is gone");
                return;
            }
        };
        self.push(&target, payload, Some(death), Instant::now());
    }

    pub(super) fn expire(&mut self, now: Instant) {
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

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.queues.values().filter_map(Buffer::next_expiry).min()
    }

    /// The consumer of the dead letters has to look again when the next expiry may have moved.
    fn wake_dead(&self) {
        if let Some(dead) = self.queues.get(&QueueName::Dead) {
            dead.changed.notify_waiters();
        }
    }
}
