//! A broker that fails when it is told to, and remembers everything; and a clock that follows tokio's paused time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sonde_core::{
    Check, CheckResult, Clock, Frequency, LedgerEntry, MonitorId, QueueSettings, Region, Timestamp,
};
use sonde_queue::memory::MemoryQueue;
use sonde_queue::{
    Announcement, Bus, Consumer, Depth, Election, Leader, LedgerMessage, Listener, Office,
    Outgoing, Queue, QueueDeclaration, QueueError, QueueName, Result, ResultsMessage, Route,
    SealingKeys, TaskMessage, Topic, Topology, WatermarkMessage,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The first minute ends between two times at which open minutes are told, so that its last counts are told but once.
pub(super) const START: Timestamp = Timestamp::from_micros(1_763_640_022_000_000);
const MINUTE: Duration = Duration::from_mins(1);

pub(super) struct PausedClock {
    origin: Instant,
    shift: AtomicI64,
}

impl PausedClock {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            shift: AtomicI64::new(0),
        }
    }

    /// Sets it forth or back.
    pub(super) fn shift(&self, seconds: i64) {
        self.shift.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let now = (START + self.origin.elapsed()).as_micros();
        Timestamp::from_micros(now + self.shift.load(Ordering::Relaxed))
    }
}

/// What becomes of one step: a publish, or a watermark read or saved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// Steps that succeed before.
    pub(super) after: usize,
    /// Percent of the messages that were taken all the same; a watermark is taken at 100.
    pub(super) taken: usize,
    /// The leader is gone with it; else it may try again.
    pub(super) is_crash: bool,
}

#[derive(Clone)]
pub(super) struct Broker {
    state: Arc<Mutex<State>>,
    leadership: Arc<Semaphore>,
    /// From one leader to the next.
    outage: Duration,
    triggers: MemoryQueue,
    bus: broadcast::Sender<Announcement>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) tasks: Vec<Check>,
    pub(super) rows: Vec<CheckResult>,
    pub(super) ledger: Vec<LedgerMessage>,
    pub(super) watermark: Option<WatermarkMessage>,
    /// Where the first leader ever began.
    pub(super) begin: Option<Timestamp>,
    pub(super) terms: usize,
    pub(super) steps: usize,
    pub(super) closed_region: Option<Region>,
    failures: VecDeque<Failure>,
}

type Account = (Frequency, Region, Timestamp);

impl Broker {
    pub(super) async fn new(outage: Duration, failures: Vec<Failure>) -> Self {
        let triggers = MemoryQueue::new();
        let cron = QueueDeclaration::unbounded(QueueName::Cron, Some(Route::Cron));
        let queues = vec![cron];
        triggers.declare(&Topology { queues }).await.unwrap();
        Self {
            state: Arc::new(Mutex::new(State {
                failures: failures.into(),
                ..State::default()
            })),
            leadership: Arc::new(Semaphore::new(1)),
            outage,
            triggers,
            bus: broadcast::channel(16).0,
        }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    pub(super) fn triggers(&self) -> &MemoryQueue {
        &self.triggers
    }
}

impl State {
    fn next_failure(&mut self) -> Option<Failure> {
        self.steps += 1;
        let next = self.failures.front_mut()?;
        if next.after > 0 {
            next.after -= 1;
            return None;
        }
        self.failures.pop_front()
    }

    /// After those that were told before.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failures.push_back(failure);
    }

    fn take(&mut self, message: &Outgoing) {
        match &message.route {
            Route::Checks { .. } => {
                let task = TaskMessage::decode(&message.payload, &SealingKeys::none()).unwrap();
                self.tasks.push(task);
            }
            Route::Results { .. } => {
                let rows = ResultsMessage::decode(&message.payload).unwrap().results;
                self.rows.extend(rows);
            }
            Route::Ledger => {
                let ledger = LedgerMessage::decode(&message.payload).unwrap();
                self.ledger.push(ledger);
            }
            other => panic!("nothing goes to {other}"),
        }
    }

    /// The different checks that were published, in whatever way.
    pub(super) fn published(
        &self,
        settings: &QueueSettings,
    ) -> BTreeMap<Account, BTreeSet<(MonitorId, Timestamp)>> {
        let tasks = self.tasks.iter().map(|task| {
            let monitor = &task.monitor;
            (monitor.interval, &task.region, task.slot, &monitor.id)
        });
        let rows = self.rows.iter().map(|row| {
            let interval = Duration::from_micros(row.interval_us);
            (interval, &row.region, row.slot, &row.monitor)
        });
        let mut published: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (interval, region, slot, monitor) in tasks.chain(rows) {
            let frequency = settings.class_of(interval).name.clone();
            let account = (frequency, region.clone(), slot.floor(MINUTE));
            let checks = published.entry(account).or_default();
            checks.insert((monitor.clone(), slot));
        }
        published
    }

    /// What a store has of the ledger.
    pub(super) fn stored_ledger(&self) -> BTreeMap<Account, u64> {
        let mut stored = BTreeMap::new();
        for entry in self.ledger.iter().flat_map(|message| &message.entries) {
            let highest = stored.entry(account(entry)).or_insert(0);
            *highest = entry.scheduled.max(*highest);
        }
        stored
    }
}

pub(super) fn account(entry: &LedgerEntry) -> Account {
    (entry.frequency.clone(), entry.region.clone(), entry.minute)
}

#[async_trait]
impl Election for Broker {
    async fn lead(&self, _office: Office) -> Result<Arc<dyn Leader>> {
        let permit = self.leadership.clone().acquire_owned().await.unwrap();
        if self.with(|state| state.terms) > 0 {
            tokio::time::sleep(self.outage).await;
        }
        self.with(|state| state.terms += 1);
        Ok(Arc::new(Term {
            broker: self.clone(),
            lost: CancellationToken::new(),
            _permit: Arc::new(permit),
        }))
    }
}

#[derive(Clone)]
struct Term {
    broker: Broker,
    lost: CancellationToken,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Term {
    /// Some time, and then perhaps a failure.
    async fn step(&self) -> Result<Option<Failure>> {
        let steps = self.broker.with(|state| state.steps);
        tokio::time::sleep(Duration::from_millis(steps as u64 * 7 % 11)).await;
        if self.lost.is_cancelled() {
            return Err(QueueError::Closed);
        }
        Ok(self.broker.with(State::next_failure))
    }

    fn fail(&self, failure: Failure) -> QueueError {
        if failure.is_crash {
            self.lost.cancel();
            return QueueError::Closed;
        }
        QueueError::Unavailable {
            backend: "failing",
            source: "as told".into(),
        }
    }
}

#[async_trait]
impl Leader for Term {
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.clone())
    }

    async fn watermark(&self) -> Result<Option<WatermarkMessage>> {
        match self.step().await? {
            Some(failure) => Err(self.fail(failure)),
            None => Ok(self.broker.with(|state| state.watermark.clone())),
        }
    }

    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()> {
        let failure = self.step().await?;
        if failure.is_none_or(|failure| failure.taken == 100) {
            // As on the wire.
            let read = WatermarkMessage::decode(&watermark.encode()).unwrap();
            self.broker.with(|state| {
                state.begin.get_or_insert(read.watermark);
                state.watermark = Some(read);
            });
        }
        failure.map_or(Ok(()), |failure| Err(self.fail(failure)))
    }

    async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

#[async_trait]
impl Queue for Term {
    async fn declare(&self, _: &Topology) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        let failure = self.step().await?;
        let share = failure.map_or(100, |failure| failure.taken);
        let taken = messages.len() * share / 100;
        let mut unroutable: Option<(Route, Vec<usize>)> = None;
        self.broker.with(|state| {
            let closed = state.closed_region.clone();
            for (index, message) in messages.iter().take(taken).enumerate() {
                match &message.route {
                    Route::Checks { region, .. } if Some(region) == closed.as_ref() => {
                        let route = message.route.clone();
                        let (_, indexes) = unroutable.get_or_insert((route, Vec::new()));
                        indexes.push(index);
                    }
                    _ => state.take(message),
                }
            }
        });
        match (failure, unroutable) {
            (Some(failure), _) => Err(self.fail(failure)),
            (None, Some((route, indexes))) => Err(QueueError::Unroutable { route, indexes }),
            (None, None) => Ok(()),
        }
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        self.broker.triggers.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.broker.triggers.depth(queue).await
    }
}

#[async_trait]
impl Bus for Broker {
    async fn announce(&self, announcement: Announcement) -> Result<()> {
        self.bus.send(announcement).ok();
        Ok(())
    }

    async fn listen(&self, topics: &[Topic]) -> Result<Box<dyn Listener>> {
        Ok(Box::new(Heard {
            topics: topics.to_vec(),
            bus: self.bus.subscribe(),
        }))
    }
}

struct Heard {
    topics: Vec<Topic>,
    bus: broadcast::Receiver<Announcement>,
}

#[async_trait]
impl Listener for Heard {
    async fn next(&mut self) -> Result<Announcement> {
        loop {
            match self.bus.recv().await {
                Ok(it) if self.topics.contains(&it.topic) => return Ok(it),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Err(QueueError::Closed),
            }
        }
    }
}
