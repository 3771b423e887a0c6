//! The checker of one region: starts its loops, and ends when they end or one of them fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use sonde_core::{Clock, FrequencyClass, Monitor, Region};
use sonde_probe::Prober;
use sonde_queue::{Bus, Queue, QueueError, QueueName, SealingKeys};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::batch::{self, Done, PublishError, Publisher};
use crate::clock::Exchange;
use crate::consume::Intake;
use crate::shared::Shared;
use crate::worker::Worker;
use crate::{CheckerMetrics, TaskHandle, watch};

/// On-demand tasks in flight: its own permits, so that a full schedule does not delay a person.
const NOW_PERMITS: u16 = 50;
/// Tasks by HTTP in flight.
const HANDED_IN_PERMITS: usize = 50;
/// How long the first tasks wait for the leader's time. Without a leader there is nothing to be wrong against.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

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
    #[error("a loop of the checker panicked")]
    Panicked(#[source] JoinError),
}

/// What a checker needs.
pub struct CheckerParts {
    pub queue: Arc<dyn Queue>,
    pub bus: Arc<dyn Bus>,
    /// Open the tasks' secrets.
    pub keys: SealingKeys,
    /// Names this process in the fleet.
    pub id: String,
    pub prober: Prober,
    /// The machine's; times in results are corrected by what it is behind the leader's.
    pub clock: Arc<dyn Clock>,
    pub region: Region,
    pub frequencies: Vec<FrequencyClass>,
    /// Partitions of the results.
    pub partitions: u16,
    pub options: CheckerOptions,
    pub metrics: CheckerMetrics,
}

#[derive(Debug, Clone, Default)]
pub struct CheckerOptions {
    /// Ends `run` when there was nothing to do for so long.
    pub idle: Option<Duration>,
    /// What must be reachable from here: a checker that cannot reach it doubts itself.
    pub canary: Option<Monitor>,
    /// Ask the leader for the time. Of no use where dispatcher and checker have one clock.
    pub asks_time: bool,
}

/// The checker of one region.
pub struct Checker {
    parts: CheckerParts,
    worker: Arc<Worker>,
    publisher: Arc<Publisher>,
    handed_in: Arc<Semaphore>,
}

/// Loops that end only with the checker.
type Background = JoinSet<()>;

impl Checker {
    pub fn new(parts: CheckerParts) -> Self {
        let classes = parts.frequencies.iter();
        let permits = classes.map(|class| u32::from(class.prefetch)).sum::<u32>();
        let shared = Shared::new(
            parts.id.clone(),
            parts.region.clone(),
            permits + u32::from(NOW_PERMITS),
            Arc::clone(&parts.clock),
            parts.metrics.clone(),
        );
        let publisher = Publisher {
            queue: Arc::clone(&parts.queue),
            bus: Arc::clone(&parts.bus),
            partitions: parts.partitions,
            draining: shared.draining.clone(),
            metrics: parts.metrics.clone(),
        };
        let worker = Worker {
            shared: Arc::new(shared),
            prober: parts.prober.clone(),
            keys: parts.keys.clone(),
        };
        Self {
            parts,
            worker: Arc::new(worker),
            publisher: Arc::new(publisher),
            handed_in: Arc::new(Semaphore::new(HANDED_IN_PERMITS)),
        }
    }

    /// Executes tasks that come by another way than the queues, while `run` runs.
    pub fn tasks(&self) -> TaskHandle {
        TaskHandle {
            worker: Arc::clone(&self.worker),
            publisher: Arc::clone(&self.publisher),
            permits: Arc::clone(&self.handed_in),
        }
    }

    /// Cancelled once tasks are taken; cancelling it does nothing.
    pub fn ready(&self) -> CancellationToken {
        self.worker.shared.ready.child_token()
    }

    /// Consumes until `shutdown`, then gives back what was fetched ahead, finishes and settles what is in flight.
    ///
    /// Ends by itself when there is nothing to do for as long as the options say, or when the queue has closed. Dropped
    /// before that, whatever was not acknowledged is delivered again.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), CheckerError> {
        let shared = Arc::clone(&self.worker.shared);
        let mut background = Background::new();
        self.watch_itself(&mut background);
        if self.parts.options.asks_time {
            let answered = self.ask_time(&mut background);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                failed = failure(&mut background) => return Err(failed),
                () = first_answer(answered) => {}
            }
        }
        let working = self.work();
        tokio::pin!(working);
        loop {
            tokio::select! {
                biased;
                worked = &mut working => return worked,
                failed = failure(&mut background) => return Err(failed),
                () = shutdown.cancelled(), if !shared.draining.is_cancelled() => {
                    shared.draining.cancel();
                }
                () = self.idle(), if !shared.draining.is_cancelled() => {
                    tracing::info!("there was nothing to do for long enough: ending");
                    shared.draining.cancel();
                }
            }
        }
    }

    fn watch_itself(&self, background: &mut Background) {
        let shared = &self.worker.shared;
        background.spawn(watch::beat(Arc::clone(shared)));
        background.spawn(watch::heartbeat(
            Arc::clone(&self.parts.bus),
            Arc::clone(shared),
        ));
        if let Some(canary) = &self.parts.options.canary {
            let prober = self.parts.prober.clone();
            let canary = Arc::new(canary.clone());
            background.spawn(watch::canary(canary, prober, Arc::clone(shared)));
        }
    }

    /// Starts to keep the clock corrected; what is returned is cancelled by the first answer.
    fn ask_time(&self, background: &mut Background) -> CancellationToken {
        let shared = &self.worker.shared;
        let exchange = Exchange {
            bus: Arc::clone(&self.parts.bus),
            checker: shared.id.clone(),
            clock: Arc::clone(&shared.clock),
            doubt: Arc::clone(&shared.doubt),
            vitals: shared.metrics.vitals.clone(),
            known: shared.clock_offset.clone(),
        };
        let answered = CancellationToken::new();
        background.spawn(exchange.run(answered.clone()));
        answered
    }

    async fn work(&self) -> Result<(), CheckerError> {
        let (done, finished) = mpsc::channel(batch::CAPACITY);
        let intakes = self.queues().into_iter();
        let intakes = intakes.map(|(name, permits)| self.subscribe(name, permits, done.clone()));
        let intakes = try_join_all(intakes).await?;
        drop(done);
        let mut loops = JoinSet::new();
        loops.spawn(Arc::clone(&self.publisher).run(finished));
        for intake in intakes {
            loops.spawn(async {
                intake.run().await;
                Ok(())
            });
        }
        self.worker.shared.ready.cancel();
        // The publisher ends when every intake has; one that fails ends them all.
        while let Some(ended) = loops.join_next().await {
            ended
                .map_err(CheckerError::Panicked)?
                .map_err(CheckerError::from)?;
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        name: QueueName,
        permits: u16,
        done: mpsc::Sender<Done>,
    ) -> Result<Intake, CheckerError> {
        let consumer = self.parts.queue.consume(&name, permits).await;
        let consumer = consumer.map_err(|source| CheckerError::Consume {
            queue: name.clone(),
            source,
        })?;
        Ok(Intake {
            name,
            consumer,
            permits,
            queue: Arc::clone(&self.parts.queue),
            worker: Arc::clone(&self.worker),
            done,
        })
    }

    fn queues(&self) -> Vec<(QueueName, u16)> {
        let region = &self.parts.region;
        let classes = self.parts.frequencies.iter().map(|class| {
            let (frequency, region) = (class.name.clone(), region.clone());
            (QueueName::Checks { frequency, region }, class.prefetch)
        });
        let region = region.clone();
        let now = (QueueName::Now { region }, NOW_PERMITS);
        classes.chain([now]).collect()
    }

    async fn idle(&self) {
        match self.parts.options.idle {
            Some(limit) => watch::idle(limit, &self.worker.shared).await,
            None => std::future::pending().await,
        }
    }
}

async fn first_answer(answered: CancellationToken) {
    if timeout(FIRST_ANSWER, answered.cancelled()).await.is_err() {
        tracing::warn!("no leader tells the time yet; going on by the machine's clock");
    }
}

/// Resolves when a loop fails that should never end.
async fn failure(background: &mut Background) -> CheckerError {
    loop {
        match background.join_next().await {
            Some(Err(error)) => return CheckerError::Panicked(error),
            Some(Ok(())) => {}
            None => std::future::pending().await,
        }
    }
}

impl From<PublishError> for CheckerError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Queue(source) => Self::Publish(source),
            PublishError::Panicked(source) => Self::Panicked(source),
        }
    }
}
