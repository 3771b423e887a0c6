//! One term: takes results, decides, writes down what was decided, and only then acknowledges. It consumes over the
//! connection that leadership hangs on, and the store takes nothing of a term that another one followed.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Check, CheckResult, RunId, Timestamp};
use sonde_notify::ChannelConfig;
use sonde_queue::{Leader, Outgoing, Queue, QueueName, Route, TaskMessage, Topic};
use sonde_store::{Calendar, Changes, IncidentChange, IncidentEventKind, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::engine::{Ask, Decision, Engine};
use crate::intake::{PREFETCH, Taken, intake};
use crate::lateness::Lateness;
use crate::routes::{self, Routes};
use crate::run::{Alerter, Known, TermError};

/// Messages of results that are decided about at once, at most.
const READ_AHEAD: usize = 256;
/// Monitors whose state is written down at once, at most: with their incidents and notices a few megabytes.
const MOST_AT_ONCE: usize = 500;
/// What nothing is heard of is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// Channels, and what people decided, are read anew so often without being told, because what tells may get lost.
const REREAD: Duration = Duration::from_secs(30);
/// Who decides does so twice a second. When it could not for so long, its store was away or the machine was asleep, and what
/// was to be heard meanwhile waits.
const ASLEEP: Duration = Duration::from_secs(10);
/// A result that comes so long after two intervals has waited in its queue.
const BEHIND: Duration = Duration::from_secs(30);
/// Who is behind says so as often: less than the shortest silence that means something.
const EXCUSE: Duration = Duration::from_secs(5);
/// Between two tries of what failed.
const RETRY: Duration = Duration::from_secs(1);

/// Why a term is over.
pub(crate) enum End {
    Stopped,
    FeedEnded,
    Lost,
    /// Somebody else wrote what this one was to write.
    Conflict,
}

pub(crate) struct Leading<'a> {
    alerter: &'a Alerter,
    engine: Engine,
    lateness: Lateness,
    routes: Routes,
    queue: Arc<dyn Queue>,
    waiting: mpsc::Receiver<Taken>,
    looks: Interval,
    rereads: Interval,
    excused: Timestamp,
    decided: Timestamp,
    /// Intakes and the courier, which end with the term.
    _tasks: JoinSet<()>,
}

/// What woke it up.
enum Wake {
    End(End),
    Changes(Changes),
    Results(Taken),
    /// Something may have changed at the store.
    Told,
    Look,
}

impl<'a> Leading<'a> {
    /// Until the term is over. What was taken and not acknowledged by then the queue delivers again.
    pub(crate) async fn run(
        alerter: &'a Alerter,
        leader: Arc<dyn Leader>,
        known: &mut Known,
        feed: &mut mpsc::Receiver<Changes>,
        stop: &CancellationToken,
    ) -> Result<End, TermError> {
        let told = alerter.bus.listen(&[Topic::Config]).await;
        let mut told = told.map_err(TermError::Listen)?;
        let mut this = Self::begin(alerter, leader.queue(), known, stop).await?;
        loop {
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::End(End::Stopped),
                () = leader.lost() => Wake::End(End::Lost),
                changes = feed.recv() => changes.map_or(Wake::End(End::FeedEnded), Wake::Changes),
                Ok(_) = told.next() => Wake::Told,
                Some(taken) = this.waiting.recv() => Wake::Results(taken),
                _ = this.rereads.tick() => Wake::Told,
                _ = this.looks.tick() => Wake::Look,
            };
            let mut batch = Vec::new();
            match wake {
                // What is here already is decided still.
                Wake::End(End::Stopped) | Wake::Look => {}
                Wake::End(end) => return Ok(end),
                Wake::Changes(mut changes) => {
                    known.apply(&mut changes);
                    this.engine.follow(&changes, this.now());
                }
                Wake::Told => {
                    this.reread().await;
                    this.catch_up().await;
                }
                Wake::Results(taken) => batch.push(taken),
            }
            while batch.len() < READ_AHEAD
                && let Ok(more) = this.waiting.try_recv()
            {
                batch.push(more);
            }
            let nothing_waits = batch.is_empty();
            let results: Vec<&CheckResult> = batch.iter().flat_map(|it| &it.results).collect();
            alerter.metrics.results.inc_by(results.len() as u64);
            this.excuse_if_behind(&results);
            for result in results {
                this.engine.observe(result);
            }
            if let Some(end) = this.decide(&mut known.calendar, stop).await {
                return Ok(end);
            }
            acknowledge(batch).await;
            if nothing_waits {
                let (queue, now) = (&*this.queue, alerter.clock.now());
                let calendar = &mut known.calendar;
                this.lateness
                    .tell(&mut this.engine, queue, calendar, now)
                    .await;
            }
            if stop.is_cancelled() {
                return Ok(End::Stopped);
            }
        }
    }

    async fn begin(
        alerter: &'a Alerter,
        queue: Arc<dyn Queue>,
        known: &Known,
        stop: &CancellationToken,
    ) -> Result<Self, TermError> {
        let term = alerter.store.take_over().await?;
        let kept = alerter.store.alert_states().await?;
        let monitors = known.monitors.values().map(|it| Arc::new(it.unpack()));
        let engine = Engine::restored(monitors, kept, term, alerter.clock.now());
        let (taken, waiting) = mpsc::channel(READ_AHEAD);
        let mut tasks = JoinSet::new();
        for partition in 0..alerter.partitions {
            let name = QueueName::Alert { partition };
            let consumer = queue.consume(&name, PREFETCH).await;
            let consumer = consumer.map_err(|source| TermError::Consume {
                queue: name.clone(),
                source,
            })?;
            tasks.spawn(intake(Arc::clone(&queue), name, consumer, taken.clone()));
        }
        tasks.spawn(Arc::clone(&alerter.courier).run(stop.clone()));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut this = Self {
            alerter,
            engine,
            lateness: Lateness::new(alerter.partitions),
            routes: Routes::default(),
            queue,
            waiting,
            looks,
            rereads: interval_at(Instant::now() + REREAD, REREAD),
            excused: Timestamp::UNIX_EPOCH,
            decided: alerter.clock.now(),
            _tasks: tasks,
        };
        this.routes.public_url.clone_from(&alerter.public_url);
        this.reread().await;
        Ok(this)
    }

    /// While results of long ago come, those of now wait behind them.
    fn excuse_if_behind(&mut self, results: &[&CheckResult]) {
        let now = self.now();
        let is_old = |result: &&&CheckResult| {
            let interval = Duration::from_micros(result.interval_us);
            now.since(result.slot) > interval * 2 + BEHIND
        };
        let old = results.iter().filter(is_old).count();
        if old * 2 > results.len() && now.since(self.excused) > EXCUSE {
            self.excused = now;
            self.engine.excuse(now);
        }
    }

    fn now(&self) -> Timestamp {
        self.alerter.clock.now()
    }

    /// Writes down, part by part, whatever there is to decide; tells why that is not to be.
    async fn decide(&mut self, calendar: &mut Calendar, stop: &CancellationToken) -> Option<End> {
        loop {
            let now = self.now();
            if now.since(self.decided) > ASLEEP {
                self.engine.excuse(now);
            }
            self.decided = now;
            let routes = &self.routes;
            let decision = self.engine.decide(routes, calendar, now, MOST_AT_ONCE);
            if let Some(end) = self.write(&decision, stop).await {
                return Some(end);
            }
            self.ask(&decision.asks).await;
            self.engine.committed(decision);
            if !self.engine.has_more() {
                return None;
            }
        }
    }

    /// For as long as it takes: what is not written is not acknowledged.
    async fn write(&self, decision: &Decision, stop: &CancellationToken) -> Option<End> {
        if decision.is_empty() {
            return None;
        }
        loop {
            match self.alerter.store.decide(decision.change.clone()).await {
                Ok(()) => {
                    self.alerter.metrics.count(&decision.change);
                    if !decision.change.notices.is_empty() {
                        self.alerter.courier.told.notify_one();
                    }
                    let opened = |it: &IncidentChange| it.event == IncidentEventKind::Opened;
                    if decision.change.incidents.iter().any(opened) {
                        self.alerter.opened.notify_one();
                    }
                    return None;
                }
                Err(StoreError::Conflict) => return Some(End::Conflict),
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::error!(error, "cannot write down what was decided: trying again");
                }
            }
            if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
                return Some(End::Stopped);
            }
        }
    }

    /// Lets other regions look at what failed, now; what cannot be asked is confirmed by the next failures.
    async fn ask(&self, asks: &[Ask]) {
        let now = self.now();
        let messages = asks.iter().map(|ask| {
            let (monitor, region) = (Arc::clone(&ask.monitor), ask.region.clone());
            let route = Route::Now {
                region: region.clone(),
            };
            let (queues, run_id) = (&self.alerter.queues, RunId::random());
            let check = Check {
                slot: ask.slot,
                ..Check::on_demand(monitor, region, queues, run_id, now)
            };
            let payload = TaskMessage::encode(&check, &self.alerter.task_keys);
            Outgoing { route, payload }
        });
        let messages: Vec<Outgoing> = messages.collect();
        if messages.is_empty() {
            return;
        }
        if let Err(error) = self.queue.publish(messages).await {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot ask other regions about a failure");
        }
    }

    /// With what people decided meanwhile; while that cannot be read, the next write finds it out.
    async fn catch_up(&mut self) {
        match self.alerter.store.alert_states().await {
            Ok(kept) => self.engine.catch_up(kept, self.now()),
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, "cannot read what people decided meanwhile");
            }
        }
    }

    /// The channels as they are; while they cannot be read, those that were known stand.
    async fn reread(&mut self) {
        let channels = match self.alerter.store.channels().await {
            Ok(channels) => channels,
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, "cannot read the channels: those known before stand");
                return;
            }
        };
        self.routes.channels.clear();
        for (workspace, resource) in channels {
            match serde_json::from_str::<ChannelConfig>(&resource.body) {
                Ok(config) => {
                    let id = resource.id;
                    let channels = self.routes.channels.entry(workspace).or_default();
                    channels.push(routes::Route { id, config });
                }
                Err(error) => tracing::error!(
                    %error,
                    workspace.id = %workspace,
                    channel.id = resource.id,
                    "a channel is unreadable: nothing is told there"
                ),
            }
        }
    }
}

async fn acknowledge(batch: Vec<Taken>) {
    for taken in batch {
        if let Err(error) = taken.delivery.ack().await {
            let error = sonde_core::chain(&error);
            tracing::warn!(
                error,
                "cannot acknowledge a result: it will be looked at again"
            );
        }
    }
}
