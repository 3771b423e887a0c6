//! The dispatcher role: a replica of the configuration feeds the schedule, and whoever leads dispatches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sonde_api::{Cron, cron_router};
use sonde_core::Clock;
use sonde_dispatcher::{FleetDispatcher, FleetMetrics};
use sonde_queue::{Bus, Topic};
use sonde_store::libsql::{Replica, SyncStatus};
use sonde_store::{Changes, ConfigStore as _, Revision, StoreError};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Process;
use super::regions::Regions;
use super::topology::Queues;
use crate::data::DataDirectory;
use crate::exit::Error;
use crate::readiness::Readiness;
use crate::roles::{Roles, Stage};
use crate::services;

/// Changes that may wait for the dispatcher.
const FEED: usize = 16;
/// Between two tries of a replica that cannot be read, or a broker that cannot be listened to.
const RETRY: Duration = Duration::from_secs(1);

/// A dispatcher, and the configuration that it follows.
pub(super) struct Role {
    /// Held for as long as the process lives: a replica has one owner.
    data: DataDirectory,
    replica: Arc<Replica>,
    metrics: FleetMetrics,
}

impl Role {
    pub(super) async fn new(
        process: &Process,
        registry: &mut Registry,
        readiness: &mut Readiness,
    ) -> Result<Self, Error> {
        let libsql = &process.settings.libsql;
        let data = DataDirectory::lock(&process.settings.run.data)?;
        let primary = services::primary(&process.settings)?;
        let (file, keys) = (data.replica(), services::secret_keys(&process.settings)?);
        let replica = Replica::open(&file, &primary, keys, Arc::clone(&process.clock)).await;
        let replica = replica
            .context("cannot open the replica of the configuration")?
            .every(libsql.sync_interval);
        let status = replica.status();
        let clock = Arc::clone(&process.clock);
        registry.register_collector(Box::new(Staleness { status, clock }));
        let status = replica.status();
        readiness.require("configuration", move || obstacle(&status.borrow()));
        Ok(Self {
            data,
            replica: Arc::new(replica),
            metrics: FleetMetrics::register(registry, Arc::clone(&process.clock)),
        })
    }

    /// Its tasks wait until the configuration is there.
    pub(super) fn start(self, process: &Process, roles: &mut Roles) {
        let nudge = Arc::new(Notify::new());
        let (replica, woken) = (Arc::clone(&self.replica), Arc::clone(&nudge));
        roles.spawn(Stage::Inflow, "replica", |stop| async move {
            replica.run(&woken, &stop).await;
            Ok(())
        });
        let bus: Arc<dyn Bus> = Arc::new(process.broker.clone());
        roles.spawn(Stage::Inflow, "configuration listener", |stop| {
            listen(Arc::clone(&bus), nudge, stop)
        });

        let (changes, feed) = mpsc::channel(FEED);
        let (replica, data) = (self.replica, self.data);
        let regions = Regions::start(Queues::of(process), roles);
        roles.spawn(Stage::Inflow, "configuration feed", |stop| async move {
            let _held = data;
            let telling = tell(&replica, regions, changes);
            stop.run_until_cancelled(telling).await;
            Ok(())
        });
        let dispatcher = FleetDispatcher {
            election: Arc::new(process.broker.clone()),
            bus,
            clock: Arc::clone(&process.clock),
            settings: process.queues.clone(),
            partitions: process.queues.partitions,
            keys: process.keys.clone(),
            metrics: self.metrics,
            id: process.id.clone(),
            internal_clock: process.settings.dispatcher.internal_clock,
        };
        roles.spawn(Stage::Inflow, "dispatcher", |stop| async move {
            dispatcher.run(feed, stop).await.map_err(Into::into)
        });
    }
}

/// `/v1/cron/{frequency}`, where there is a token for it.
pub(super) fn router(process: &Process) -> Option<Router> {
    let token = process.settings.dispatcher.cron_token.as_ref()?;
    let cron = Cron {
        queue: Arc::new(process.broker.clone()),
        settings: Arc::new(process.queues.clone()),
    };
    Some(cron_router(cron, token.expose().into()))
}

fn obstacle(status: &SyncStatus) -> Option<String> {
    if status.is_readable {
        return None;
    }
    let state = match status.synced_at {
        Some(_) => "damaged, and not synced anew yet",
        None => "never synced",
    };
    Some(match &status.error {
        Some(error) => format!("{state}: {error}"),
        None => state.to_owned(),
    })
}

/// Tells every change of the configuration, beginning with all of it, for as long as somebody listens; new regions first.
async fn tell(replica: &Replica, mut regions: Regions, feed: mpsc::Sender<Changes>) {
    let mut status = replica.status();
    let mut known: Option<Revision> = None;
    loop {
        status.mark_unchanged();
        match replica.changes(known).await {
            Ok(changes) => {
                known = Some(changes.revision);
                let news = changes.complete
                    || !changes.changed.is_empty()
                    || !changes.removed.is_empty()
                    || !changes.unreadable.is_empty();
                if news {
                    regions.learn(&changes).await;
                    if feed.send(changes).await.is_err() {
                        return;
                    }
                }
            }
            // Every sync changes the status, also one that fails.
            Err(StoreError::Unsynced) => {}
            Err(error) => {
                tracing::warn!(
                    error = sonde_core::chain(&error),
                    "cannot read the configuration: what is known of it stands"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Syncs at once when somebody says that the configuration changed.
async fn listen(
    bus: Arc<dyn Bus>,
    nudge: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listening = async {
        loop {
            match bus.listen(&[Topic::Config]).await {
                Ok(mut listener) => {
                    while listener.next().await.is_ok() {
                        nudge.notify_one();
                    }
                }
                // Without nudges the replica syncs by its own clock.
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        () = listening => Ok(()),
    }
}

/// How old the replica is when somebody asks.
struct Staleness {
    status: watch::Receiver<SyncStatus>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staleness").finish_non_exhaustive()
    }
}

impl Collector for Staleness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(synced_at) = self.status.borrow().synced_at else {
            return Ok(());
        };
        let age = ConstGauge::new(self.clock.now().since(synced_at).as_secs_f64());
        let name = "sonde_replica_staleness";
        let help = "Time since the configuration was last in step with its primary";
        let metric =
            encoder.encode_descriptor(name, help, Some(&Unit::Seconds), age.metric_type())?;
        age.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::{ManualClock, Timestamp};

    use super::*;

    #[track_caller]
    fn check(status: SyncStatus, expected: Option<&str>, staleness: Option<&str>) {
        assert_eq!(obstacle(&status).as_deref(), expected);
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(90_500_000)));
        let (_sender, status) = watch::channel(status);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Staleness { status, clock }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut lines = text.lines();
        let sample = lines.find_map(|line| line.strip_prefix("sonde_replica_staleness_seconds "));
        assert_eq!(sample, staleness, "{text}");
    }

    #[test]
    fn a_replica_that_is_healed_is_not_ready_and_grows_stale() {
        let synced_at = Some(Timestamp::from_micros(60_000_000));
        let never = SyncStatus::default();
        check(never.clone(), Some("never synced"), None);
        let error = Some("no route to host".to_owned());
        let refused = SyncStatus { error, ..never };
        let obstacle = "never synced: no route to host";
        check(refused.clone(), Some(obstacle), None);
        let damaged = SyncStatus {
            synced_at,
            ..refused
        };
        let obstacle = "damaged, and not synced anew yet: no route to host";
        check(damaged.clone(), Some(obstacle), Some("30.5"));
        let readable = SyncStatus {
            is_readable: true,
            ..damaged
        };
        check(readable, None, Some("30.5"));
    }
}
