//! The alerter role: results become incidents at the primary, and whoever leads tells people.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use sonde_alert::{Alerter, AlerterMetrics, Courier};
use sonde_store::libsql::Replica;
use tokio::sync::{Notify, mpsc};

use super::configuration::Configuration;
use super::{Process, egress};
use crate::exit::Error;
use crate::feed::{self, Feed};
use crate::roles::{Roles, Stage};

/// An alerter, and the configuration that it follows.
pub(super) struct Role {
    replica: Arc<Replica>,
    alerter: Alerter,
}

impl Role {
    pub(super) fn new(
        process: &Process,
        configuration: &Configuration,
        registry: &mut Registry,
    ) -> Result<Self, Error> {
        if !process.queues.alerting {
            return Err(Error::usage(
                "an alerter gets no results: `alerting` in [results] of queues.toml is false",
            ));
        }
        let settings = &process.settings;
        let store = Arc::new(configuration.replica.primary().clone());
        let courier = Courier {
            store: Arc::clone(&store) as _,
            sender: crate::services::sender(egress(settings), settings.alerter.allow_exec)?,
            clock: Arc::clone(&process.clock),
            told: Arc::new(Notify::new()),
        };
        let public_url = settings.api.public_url.as_ref();
        let alerter = Alerter {
            election: Arc::new(process.broker.clone()),
            bus: Arc::new(process.broker.clone()),
            store,
            clock: Arc::clone(&process.clock),
            partitions: process.queues.partitions,
            queues: process.queues.clone(),
            task_keys: process.keys.clone(),
            public_url: public_url.map(|url| url.expose().clone()),
            courier: Arc::new(courier),
            metrics: AlerterMetrics::register(registry),
        };
        let replica = Arc::clone(&configuration.replica);
        Ok(Self { replica, alerter })
    }

    pub(super) fn start(self, roles: &mut Roles) {
        let Self { replica, alerter } = self;
        let (changes, told) = mpsc::channel(feed::WAITING);
        roles.spawn(Stage::Storage, "alerter's feed", |stop| async move {
            let touched = replica.status();
            let telling = Feed::new(replica, touched).tell(changes);
            stop.run_until_cancelled(telling).await;
            Ok(())
        });
        roles.spawn(Stage::Storage, "alerter", |stop| async move {
            alerter.run(told, stop).await.map_err(Into::into)
        });
    }
}
