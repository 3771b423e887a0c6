//! The dispatcher role: a replica of the configuration feeds the schedule, and whoever leads dispatches.

use std::sync::Arc;

use axum::Router;
use prometheus_client::registry::Registry;
use sonde_api::{Cron, cron_router};
use sonde_dispatcher::{FleetDispatcher, FleetMetrics};
use sonde_store::libsql::Replica;
use tokio::sync::mpsc;

use super::Process;
use super::configuration::Configuration;
use super::regions::Regions;
use super::topology::Queues;
use crate::feed::{self, Feed};
use crate::roles::{Roles, Stage};

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
        let (changes, told) = mpsc::channel(feed::WAITING);
        let replica = self.replica;
        let mut regions = Regions::start(Queues::of(process), roles);
        roles.spawn(Stage::Inflow, "configuration feed", |stop| async move {
            let touched = replica.status();
            let mut feed = Feed::new(replica, touched);
            let telling = async {
                loop {
                    let told = feed.next().await;
                    regions.learn(&told).await;
                    if changes.send(told).await.is_err() {
                        return;
                    }
                }
            };
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
            dispatcher.run(told, stop).await.map_err(Into::into)
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
