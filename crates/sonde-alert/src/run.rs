//! The alerter: takes results, decides, writes down what was decided, and only then acknowledges.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{CheckResult, Clock, Monitor};
use sonde_notify::ChannelConfig;
use sonde_queue::{Bus, Delivery, Queue, QueueError, QueueName, ResultsMessage, Topic};
use sonde_store::{AlertStore, IncidentChange, IncidentEventKind, StoreError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::engine::{Decision, Engine};
use crate::routes::{Route, Routes};

/// Messages of results of one partition that are decided about at once, at most.
const PREFETCH: u16 = 200;
const READ_AHEAD: usize = 256;
/// What nothing is heard of is looked at so often.
const LOOK: Duration = Duration::from_millis(500);
/// Between two tries of what failed.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum AlerterError {
    #[error("cannot consume {queue}")]
    Consume {
        queue: QueueName,
        #[source]
        source: QueueError,
    },
    #[error("cannot hear of changes of the configuration")]
    Listen(#[source] QueueError),
    #[error("cannot read what was decided before")]
    Store(#[from] StoreError),
}

/// Decides about all monitors; of two that do, one has to give way.
pub struct Alerter {
    pub queue: Arc<dyn Queue>,
    /// Tells that the configuration changed.
    pub bus: Arc<dyn Bus>,
    pub store: Arc<dyn AlertStore>,
    pub clock: Arc<dyn Clock>,
    pub partitions: u16,
    /// Where people look at incidents.
    pub public_url: Option<Url>,
    /// Rung when there is something to tell.
    pub told: Arc<Notify>,
    /// Rung when an incident was opened.
    pub opened: Arc<Notify>,
}

/// A message that is read.
struct Taken {
    results: Vec<CheckResult>,
    delivery: Delivery,
}

impl Alerter {
    /// Until `stop`; what is not decided by then comes again.
    pub async fn run(
        self,
        mut monitors: watch::Receiver<Arc<[Arc<Monitor>]>>,
        stop: CancellationToken,
    ) -> Result<(), AlerterError> {
        let (taken, mut waiting) = mpsc::channel(READ_AHEAD);
        let mut intakes = JoinSet::new();
        for partition in 0..self.partitions {
            let intake = intake(Arc::clone(&self.queue), partition, taken.clone());
            intakes.spawn(intake.await?);
        }
        drop(taken);
        let changes = self.bus.listen(&[Topic::Config]).await;
        let mut changes = changes.map_err(AlerterError::Listen)?;
        let first = monitors.borrow_and_update().clone();
        let mut engine = self.begin(&first).await?;
        let mut routes = self.routes().await.unwrap_or_default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                // What is here already is decided still.
                () = stop.cancelled() => {}
                Ok(()) = monitors.changed() => {
                    let monitors = monitors.borrow_and_update().clone();
                    engine.watch_only(&monitors, self.clock.now());
                }
                // While they cannot be read, those that were known stand.
                Ok(_) = changes.next() => if let Some(now) = self.routes().await {
                    routes = now;
                },
                Some(first) = waiting.recv() => batch.push(first),
                _ = looks.tick() => {}
            }
            while batch.len() < READ_AHEAD
                && let Ok(more) = waiting.try_recv()
            {
                batch.push(more);
            }
            for result in batch.iter().flat_map(|taken| &taken.results) {
                engine.observe(result);
            }
            match self.decide(&mut engine, &routes, &stop).await {
                Written::Yes => acknowledge(batch).await,
                Written::Conflict => {
                    tracing::warn!("somebody else decided meanwhile: beginning anew from that");
                    let monitors = monitors.borrow().clone();
                    // Dropped unsettled, the queue delivers the batch again.
                    engine = self.begin(&monitors).await?;
                }
                Written::Stopped => return Ok(()),
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn decide(
        &self,
        engine: &mut Engine,
        routes: &Routes,
        stop: &CancellationToken,
    ) -> Written {
        let decision = engine.decide(routes, self.clock.now());
        let written = self.write(&decision, stop).await;
        if matches!(written, Written::Yes) {
            engine.committed(decision);
        }
        written
    }

    /// From what was written down.
    async fn begin(&self, monitors: &[Arc<Monitor>]) -> Result<Engine, StoreError> {
        let kept = self.store.alert_states().await?;
        let monitors = monitors.iter().map(Arc::clone);
        Ok(Engine::restored(monitors, kept, self.clock.now()))
    }

    /// The channels as they are; none when they cannot be read.
    async fn routes(&self) -> Option<Routes> {
        let channels = self.store.channels().await;
        let channels = channels.inspect_err(|error| {
            let error = sonde_core::chain(error);
            tracing::warn!(error, "cannot read the channels: those known before stand");
        });
        let mut routes = Routes {
            public_url: self.public_url.clone(),
            ..Routes::default()
        };
        for (workspace, resource) in channels.ok()? {
            match serde_json::from_str::<ChannelConfig>(&resource.body) {
                Ok(config) => {
                    let id = resource.id;
                    let channels = routes.channels.entry(workspace).or_default();
                    channels.push(Route { id, config });
                }
                Err(error) => tracing::error!(
                    %error,
                    workspace.id = %workspace,
                    channel.id = resource.id,
                    "a channel is unreadable: nothing is told there"
                ),
            }
        }
        Some(routes)
    }

    /// For as long as it takes: what is not written is not acknowledged.
    async fn write(&self, decision: &Decision, stop: &CancellationToken) -> Written {
        if decision.is_empty() {
            return Written::Yes;
        }
        loop {
            match self.store.decide(decision.change.clone()).await {
                Ok(()) => {
                    if !decision.change.notices.is_empty() {
                        self.told.notify_one();
                    }
                    let opened = |it: &IncidentChange| it.event == IncidentEventKind::Opened;
                    if decision.change.incidents.iter().any(opened) {
                        self.opened.notify_one();
                    }
                    return Written::Yes;
                }
                Err(StoreError::Conflict) => return Written::Conflict,
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::error!(error, "cannot write down what was decided: trying again");
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Written::Stopped,
                () = sleep(RETRY) => {}
            }
        }
    }
}

enum Written {
    Yes,
    Conflict,
    Stopped,
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

/// Takes results of one partition until the queue has closed.
async fn intake(
    queue: Arc<dyn Queue>,
    partition: u16,
    taken: mpsc::Sender<Taken>,
) -> Result<impl Future<Output = ()> + Send + 'static, AlerterError> {
    let name = QueueName::Alert { partition };
    let consumer = queue.consume(&name, PREFETCH).await;
    let mut consumer = consumer.map_err(|source| AlerterError::Consume {
        queue: name.clone(),
        source,
    })?;
    Ok(async move {
        loop {
            match consumer.receive().await {
                Ok(delivery) => {
                    let results = read(&delivery);
                    if taken.send(Taken { results, delivery }).await.is_err() {
                        return;
                    }
                }
                Err(QueueError::Closed) => return,
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::warn!(error, queue.name = %name, "cannot take results; subscribing again");
                    sleep(RETRY).await;
                    if let Ok(again) = queue.consume(&name, PREFETCH).await {
                        consumer = again;
                    }
                }
            }
        }
    })
}

/// What is unreadable the ingester sets aside.
fn read(delivery: &Delivery) -> Vec<CheckResult> {
    match ResultsMessage::decode(&delivery.payload) {
        Ok(message) => message.results,
        Err(error) => {
            let error = sonde_core::chain(&error);
            tracing::error!(error, "a message of results is unreadable");
            Vec::new()
        }
    }
}
