//! The dispatcher role: a replica of the configuration feeds the schedule, and whoever leads dispatches.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use prometheus_client::registry::Registry;
use sonde_api::{Cron, cron_router};
use sonde_dispatcher::{FleetDispatcher, FleetMetrics};
use sonde_store::libsql::Replica;
use sonde_store::{Changes, ConfigStore as _, Revision, StoreError};
use tokio::sync::mpsc;

use super::Process;
use super::configuration::Configuration;
use super::regions::Regions;
use super::topology::Queues;
use crate::roles::{Roles, Stage};

/// Changes that may wait for the dispatcher.
const FEED: usize = 16;
/// Between two tries of a replica that cannot be read, or a broker that cannot be listened to.
const RETRY: Duration = Duration::from_secs(1);

/// A dispatcher, and the configuration that it follows.
pub(super) struct Role {
    replica: Arc<Replica>,
    metrics: FleetMetrics,
}

impl Role {
    pub(super) fn new(
        process: &Process,
        configuration: &Configuration,
        registry: &mut Registry,
    ) -> Self {
        Self {
            replica: Arc::clone(&configuration.replica),
            metrics: FleetMetrics::register(registry, Arc::clone(&process.clock)),
        }
    }

    /// Its tasks wait until the configuration is there.
    pub(super) fn start(self, process: &Process, roles: &mut Roles) {
        let (changes, feed) = mpsc::channel(FEED);
        let replica = self.replica;
        let regions = Regions::start(Queues::of(process), roles);
        roles.spawn(Stage::Inflow, "configuration feed", |stop| async move {
            let telling = tell(&replica, regions, changes);
            stop.run_until_cancelled(telling).await;
            Ok(())
        });
        let dispatcher = FleetDispatcher {
            election: Arc::new(process.broker.clone()),
            bus: Arc::new(process.broker.clone()),
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

/// Tells every change of the configuration, beginning with all of it, for as long as somebody listens; new regions first.
async fn tell(replica: &Replica, mut regions: Regions, feed: mpsc::Sender<Changes>) {
    let mut status = replica.status();
    let mut known: Option<Revision> = None;
    loop {
        status.mark_unchanged();
        match replica.changes(known).await {
            Ok(changes) => {
                known = Some(changes.revision);
                if !changes.is_empty() {
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
