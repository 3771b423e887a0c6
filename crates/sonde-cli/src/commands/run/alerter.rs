//! The alerter role: results become incidents at the primary, and whoever leads tells people.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use sonde_alert::{Alerter, AlerterMetrics, Courier, Reporter};
use sonde_store::libsql::Replica;
use tokio::sync::{Notify, mpsc};

use super::configuration::Configuration;
use super::{Process, egress};
use crate::exit::Error;
use crate::feed::{self, Feed};
use crate::roles::{Roles, Stage};
use crate::{notices, services};

/// An alerter, and the configuration that it follows.
pub(super) struct Role {
    replica: Arc<Replica>,
    alerter: Alerter,
    /// Where there are results to add up.
    reporter: Option<Reporter>,
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
        let told = Arc::new(Notify::new());
        let public_url = settings.api.public_url.as_ref();
        let public_url = public_url.map(|url| url.expose().clone());
        let results = settings.clickhouse.url.as_ref();
        let results = results
            .map(|_| services::clickhouse(settings))
            .transpose()?;
        let reporter = results.map(|results| Reporter {
            configuration: Arc::clone(&configuration.replica) as _,
            store: Arc::clone(&store) as _,
            results: Arc::new(results),
            clock: Arc::clone(&process.clock),
            public_url: public_url.clone(),
            told: Arc::clone(&told),
        });
        let courier = Courier {
            store: Arc::clone(&store) as _,
            sender: notices::sender(
                settings.smtp.as_ref(),
                egress(settings),
                settings.alerter.allow_exec,
            )?,
            clock: Arc::clone(&process.clock),
            told,
        };
        let alerter = Alerter {
            election: Arc::new(process.broker.clone()),
            bus: Arc::new(process.broker.clone()),
            store,
            clock: Arc::clone(&process.clock),
            partitions: process.queues.partitions,
            queues: process.queues.clone(),
            task_keys: process.keys.clone(),
            public_url,
            courier: Arc::new(courier),
            // Screenshotters of a fleet look for themselves.
            opened: Arc::new(Notify::new()),
            metrics: AlerterMetrics::register(registry),
        };
        let replica = Arc::clone(&configuration.replica);
        Ok(Self {
            replica,
            alerter,
            reporter,
        })
    }

    pub(super) fn start(self, roles: &mut Roles) {
        let Self {
            replica,
            alerter,
            reporter,
        } = self;
        let (changes, told) = mpsc::channel(feed::WAITING);
        roles.spawn(Stage::Storage, "alerter's feed", |stop| async move {
            let touched = replica.status();
            let telling = Feed::new(replica, touched).tell(changes);
            stop.run_until_cancelled(telling).await;
            Ok(())
        });
        if let Some(reporter) = reporter {
            roles.spawn(Stage::Storage, "reporter", |stop| async move {
                reporter.run(stop).await;
                Ok(())
            });
        }
        roles.spawn(Stage::Storage, "alerter", |stop| async move {
            alerter.run(told, stop).await.map_err(Into::into)
        });
    }
}
