//! What one dispatcher does while it leads: tick after tick, in the order that `fleet` argues for.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{Check, CheckResult, Reason, Region, Timestamp};
use sonde_queue::{
    Delivery, Leader, Outgoing, Queue, QueueError, Route, TaskMessage, WatermarkMessage,
    results_messages,
};
use sonde_store::Changes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::books::Books;
use super::classes::{Batch, Classes};
use super::saver::{Saved, Saver, Snapshot, hint};
use super::services::{ClockService, TRIGGERS, TriggerRequest, reject, take_triggers};
use super::{APPLY_HINT, FleetDispatcher, RETRY};

/// Slots within this time of each other share a publish; a tenth of the lateness that is allowed.
const TICK: Duration = Duration::from_millis(5);
/// The longest sleep, so that a clock that jumps is noticed and the watermark moves.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Tasks in one publish: enough to keep the broker busy, few enough that the first do not wait for the last.
const TASKS_PER_PUBLISH: usize = 1000;
/// For what is under way at shutdown to be confirmed and saved.
const GRACE: Duration = Duration::from_secs(5);
/// A broker that stays away, or a queue that is missing, is news so often.
const NEWS: Duration = Duration::from_mins(1);

/// Why leading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Shutdown,
    Lost,
    /// Another may be able to lead: a newer release, say.
    Unfit,
    FeedEnded,
}

pub(super) struct Leading<'a> {
    dispatcher: &'a FleetDispatcher,
    leader: Arc<dyn Leader>,
    queue: Arc<dyn Queue>,
    classes: &'a mut Classes,
    books: Books,
    snapshots: watch::Sender<Option<Snapshot>>,
    saved: watch::Receiver<Option<Saved>>,
    shutdown: &'a CancellationToken,
    /// When it was last told that no queue takes the tasks of a region.
    told: HashMap<Region, Timestamp>,
    told_failure: Option<Timestamp>,
}

impl<'a> Leading<'a> {
    pub(super) async fn run(
        dispatcher: &'a FleetDispatcher,
        leader: Arc<dyn Leader>,
        classes: &'a mut Classes,
        feed: &mut mpsc::Receiver<Changes>,
        shutdown: &'a CancellationToken,
    ) -> Stop {
        let queue = leader.queue();
        let (snapshots, to_save) = watch::channel(None);
        let (saved_sender, saved) = watch::channel(None);
        // All are aborted when leading ends; the saver is waited for at shutdown.
        let (mut services, mut savers) = (JoinSet::new(), JoinSet::new());
        let saver = Saver {
            leader: Arc::clone(&leader),
            queue: Arc::clone(&queue),
            metrics: dispatcher.metrics.clone(),
        };
        savers.spawn(saver.run(to_save, saved_sender));
        let clock_service = ClockService {
            bus: Arc::clone(&dispatcher.bus),
            clock: Arc::clone(&dispatcher.clock),
            metrics: dispatcher.metrics.clone(),
        };
        services.spawn(clock_service.run());
        let (trigger_sender, mut triggers) = mpsc::channel(usize::from(TRIGGERS));
        services.spawn(take_triggers(Arc::clone(&queue), trigger_sender));

        let mut leading = Self {
            dispatcher,
            leader,
            queue,
            classes,
            books: Books::default(),
            snapshots,
            saved,
            shutdown,
            told: HashMap::new(),
            told_failure: None,
        };
        let stop = match leading.resume().await {
            Ok(()) => leading.dispatch(feed, &mut triggers, &mut savers).await,
            Err(stop) => stop,
        };
        // Without its sender the saver ends after the last snapshot.
        drop(leading);
        if !matches!(stop, Stop::Lost | Stop::Unfit) {
            let last = tokio::time::timeout(GRACE, savers.join_next()).await;
            if last.is_err() {
                tracing::warn!(
                    "the last watermark was not saved: the next leader repeats a little"
                );
            }
        }
        stop
    }

    /// Reads where the leader before stopped.
    async fn resume(&mut self) -> Result<(), Stop> {
        let found = loop {
            match self.while_leading(self.leader.watermark()).await? {
                Ok(found) => break found,
                Err(error @ QueueError::Unreadable { .. }) => {
                    tracing::error!(
                        error = sonde_core::chain(&error),
                        "cannot go on from where dispatch has come, leaving it to others"
                    );
                    return Err(Stop::Unfit);
                }
                Err(error) => {
                    self.failed(&error, "read how far dispatch has come")
                        .await?;
                }
            }
        };
        let watermark = match found {
            Some(found) => found,
            None => self.begin().await?,
        };
        tracing::info!(
            dispatcher.id = self.dispatcher.id,
            watermark = %watermark.watermark,
            monitors = self.classes.len(),
            "leading"
        );
        let metrics = &self.dispatcher.metrics;
        metrics.watermark_is_saved(watermark.watermark);
        self.classes.resume(&watermark);
        self.books = Books::new(watermark.open);
        Ok(())
    }

    /// Where the first leader ever begins is saved before anything is published: its successor must begin there too.
    async fn begin(&mut self) -> Result<WatermarkMessage, Stop> {
        let now = self.dispatcher.clock.now();
        let watermark = WatermarkMessage::new(now, Vec::new());
        loop {
            let saved = self.leader.save_watermark(&watermark);
            match self.while_leading(saved).await? {
                Ok(()) => return Ok(watermark),
                Err(error) => self.failed(&error, "save where dispatch begins").await?,
            }
        }
    }

    async fn dispatch(
        &mut self,
        feed: &mut mpsc::Receiver<Changes>,
        triggers: &mut mpsc::Receiver<TriggerRequest>,
        savers: &mut JoinSet<Result<(), QueueError>>,
    ) -> Stop {
        let mut is_behind = true;
        // Their classes are being dispatched.
        let mut triggered = Vec::new();
        loop {
            if is_behind {
                tokio::task::yield_now().await; // a backlog leaves room for the saver and for the clock
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Stop::Shutdown,
                () = self.leader.lost() => return Stop::Lost,
                _ = savers.join_next() => return Stop::Lost,
                changes = feed.recv(), if !is_behind => {
                    let Some(changes) = changes else { return Stop::FeedEnded };
                    // What is new has no slots before now, neither old nor planned.
                    let since = self.dispatcher.clock.now().max(self.classes.furthest());
                    self.dispatcher.apply(self.classes, changes, since);
                }
                Some(trigger) = triggers.recv(), if !is_behind => {
                    triggered.extend(self.trigger(trigger).await);
                }
                () = tokio::time::sleep(self.wait(is_behind)) => {}
            }
            is_behind = match self.tick().await {
                Ok(is_behind) => is_behind,
                Err(stop) => return stop,
            };
            if !is_behind {
                for trigger in triggered.drain(..) {
                    settle(trigger).await;
                }
            }
        }
    }

    fn wait(&self, is_behind: bool) -> Duration {
        if is_behind {
            return Duration::ZERO;
        }
        let next = self.classes.next(self.dispatcher.internal_clock);
        let wait = next.map(|next| next.since(self.dispatcher.clock.now()));
        wait.unwrap_or(LONGEST_SLEEP).clamp(TICK, LONGEST_SLEEP)
    }

    async fn trigger(&mut self, trigger: TriggerRequest) -> Option<Delivery> {
        let now = self.dispatcher.clock.now();
        if self.classes.trigger(&trigger.frequency, now) {
            Some(trigger.delivery)
        } else {
            tracing::warn!(frequency = %trigger.frequency, "a trigger names no class of queues.toml");
            reject(trigger.delivery).await;
            None
        }
    }

    /// One step of what is due; true when there is more.
    async fn tick(&mut self) -> Result<bool, Stop> {
        let now = self.dispatcher.clock.now();
        for (class, from) in self.classes.set_back_to(now) {
            tracing::warn!(frequency = %class, %now, "the clock was set back: going on from this minute");
            self.books.begin_again(&class, from);
        }
        let batch = self.classes.plan(now, self.dispatcher.internal_clock);
        let (is_behind, has_gap) = (batch.is_behind, batch.gap.is_some());
        self.carry_out(batch).await?;
        if let Some(saved) = *self.saved.borrow_and_update() {
            self.books.acknowledge(saved.last_number);
        }
        self.books
            .close(|frequency| self.classes.watermark_of(frequency));
        let page = self.books.page();
        let number = page.last_number;
        self.snapshots.send_replace(Some(Snapshot {
            watermark: self.classes.watermark(),
            page,
        }));
        if has_gap {
            self.until_saved(number).await?;
        }
        Ok(is_behind)
    }

    /// A gap is durable before anything that comes after it: a successor that knew nothing of it would begin another, over
    /// what was published meanwhile.
    async fn until_saved(&self, number: u64) -> Result<(), Stop> {
        let mut saved = self.saved.clone();
        let done = saved.wait_for(|saved| saved.is_some_and(|saved| saved.last_number >= number));
        match self.while_leading(done).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(Stop::Lost),
        }
    }

    /// Publishes, then counts.
    async fn carry_out(&mut self, batch: Batch) -> Result<(), Stop> {
        let Batch {
            mut tasks, missed, ..
        } = batch;
        let unroutable = self.publish_tasks(&mut tasks).await?;
        let rows = missed.iter().chain(unroutable.iter().map(|at| &tasks[*at]));
        let rows: Vec<_> = rows
            .map(|check| CheckResult::missed(check, Reason::NotDispatched))
            .collect();
        let missed_rows = rows.len() as u64;
        self.publish_rows(rows).await?;
        for check in tasks.iter().chain(&missed) {
            self.books.count(check);
        }
        if let Some(gap) = batch.gap {
            tracing::warn!(gap.from = %gap.from, gap.to = %gap.to, "nothing was dispatched for a while");
            self.books.add_gap(gap);
        }
        let metrics = &self.dispatcher.metrics;
        let dispatched = tasks.len() - unroutable.len();
        metrics.dispatcher.dispatched.inc_by(dispatched as u64);
        metrics.dispatcher.missed.inc_by(missed_rows);
        metrics.unroutable.inc_by(unroutable.len() as u64);
        Ok(())
    }

    /// Returns the places of those that no queue takes, ascending.
    async fn publish_tasks(&mut self, tasks: &mut [Check]) -> Result<Vec<usize>, Stop> {
        let mut unroutable = Vec::new();
        for (number, chunk) in tasks.chunks_mut(TASKS_PER_PUBLISH).enumerate() {
            for place in self.publish_chunk(chunk).await? {
                self.tell_unroutable(&chunk[place].region);
                unroutable.push(number * TASKS_PER_PUBLISH + place);
            }
            let now = self.dispatcher.clock.now();
            for task in chunk {
                let lag = now.since(task.slot).as_secs_f64();
                self.dispatcher.metrics.dispatcher.lag.observe(lag);
            }
        }
        Ok(unroutable)
    }

    async fn publish_chunk(&mut self, tasks: &mut [Check]) -> Result<Vec<usize>, Stop> {
        loop {
            let now = self.dispatcher.clock.now();
            let messages = tasks.iter_mut().map(|task| {
                task.dispatched_at = now;
                Outgoing {
                    route: Route::Checks {
                        frequency: task.frequency.clone(),
                        region: task.region.clone(),
                    },
                    payload: TaskMessage::encode(task, &self.dispatcher.keys),
                }
            });
            let published = self.queue.publish(messages.collect());
            let confirmed = self.dispatcher.metrics.timed(published);
            match self.while_leading(confirmed).await? {
                Ok(()) => return Ok(Vec::new()),
                Err(QueueError::Unroutable { indexes, .. }) => return Ok(indexes),
                Err(error) => self.failed(&error, "publish tasks").await?,
            }
        }
    }

    async fn publish_rows(&mut self, rows: Vec<CheckResult>) -> Result<(), Stop> {
        if rows.is_empty() {
            return Ok(());
        }
        let messages = results_messages(rows, self.dispatcher.partitions);
        loop {
            match self
                .while_leading(self.queue.publish(messages.clone()))
                .await?
            {
                Ok(()) => return Ok(()),
                Err(error) => self.failed(&error, "publish missed checks").await?,
            }
        }
    }

    /// Waits before the next try, unless there is none.
    async fn failed(&mut self, error: &QueueError, what: &str) -> Result<(), Stop> {
        if matches!(error, QueueError::Closed) {
            return Err(Stop::Lost);
        }
        let now = self.dispatcher.clock.now();
        if self.told_failure.is_none_or(|told| now.since(told) >= NEWS) {
            self.told_failure = Some(now);
            tracing::error!(
                error = sonde_core::chain(error),
                "cannot {what}{}",
                hint(error)
            );
        }
        self.while_leading(tokio::time::sleep(RETRY)).await
    }

    fn tell_unroutable(&mut self, region: &Region) {
        let now = self.dispatcher.clock.now();
        let told = self.told.get(region);
        if told.is_none_or(|told| now.since(*told) >= NEWS) {
            self.told.insert(region.clone(), now);
            tracing::warn!(%region, "checks of a region are missed, no queue takes them{APPLY_HINT}");
        }
    }

    /// The work's outcome, unless leadership is lost or shutdown does not wait for it any longer.
    async fn while_leading<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let too_late = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.leader.lost() => Err(Stop::Lost),
            () = too_late => Err(Stop::Shutdown),
        }
    }
}

/// A broker that is away forgets who held it: it comes again, which changes nothing.
async fn settle(trigger: Delivery) {
    if let Err(error) = trigger.ack().await {
        tracing::debug!(
            error = sonde_core::chain(&error),
            "a trigger could not be settled"
        );
    }
}
