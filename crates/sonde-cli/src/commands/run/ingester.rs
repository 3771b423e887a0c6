//! The ingester role: results into ClickHouse, and rollups of what they touched.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use sonde_ingester::{Ingester, IngesterMetrics, IngesterOptions};
use sonde_results::ResultsError;
use sonde_results::clickhouse::ClickhouseResults;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::Process;
use crate::exit::Error;
use crate::readiness::Readiness;
use crate::roles::{Roles, Stage};
use crate::services;

/// Between two tries of a store that is away.
const RETRY: Duration = Duration::from_secs(1);
/// How old rollups may be: what is younger than a day is read from rows anyway.
const ROLL_UP_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Role {
    results: Arc<ClickhouseResults>,
    storing: watch::Sender<bool>,
    metrics: IngesterMetrics,
}

impl Role {
    pub(super) fn new(
        process: &Process,
        registry: &mut Registry,
        readiness: &mut Readiness,
    ) -> Result<Self, Error> {
        let storing = watch::Sender::new(false);
        let is_storing = storing.subscribe();
        readiness.require("results store", move || {
            let why = "it takes no results: they wait in the queues";
            (!*is_storing.borrow()).then(|| why.to_owned())
        });
        Ok(Self {
            results: Arc::new(services::clickhouse(&process.settings)?),
            storing,
            metrics: IngesterMetrics::register(registry),
        })
    }

    /// Waits until the store is there; a schema that is not this release's ends the process.
    pub(super) async fn start(self, process: &Process, roles: &mut Roles) -> Result<(), Error> {
        wait_for(&self.results).await?;
        self.storing.send_replace(true);
        let ingester = Ingester {
            queue: Arc::new(process.broker.clone()),
            results: Arc::clone(&self.results) as _,
            partitions: process.queues.partitions,
            options: IngesterOptions::REMOTE,
            // Nobody listens here: who waits for a result hears it from the checker.
            stored: broadcast::Sender::new(1),
            storing: self.storing,
            metrics: self.metrics,
        };
        roles.spawn(Stage::Storage, "ingester", |stop| async {
            ingester.run(stop).await.map_err(Into::into)
        });
        let results = self.results;
        roles.spawn(Stage::Inflow, "rollups", |stop| roll_up(results, stop));
        Ok(())
    }
}

async fn wait_for(results: &ClickhouseResults) -> Result<(), Error> {
    let mut told = false;
    loop {
        match results.ready().await {
            Err(ResultsError::Unavailable(error)) => {
                if !told {
                    let error = sonde_core::chain(&*error);
                    tracing::warn!(error, "still waiting for the results store");
                    told = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            ready => return ready.map_err(|error| Error::Usage(error.into())),
        }
    }
}

/// Keeps rollups in step with rows. What fails is done at the next turn: nothing is forgotten.
async fn roll_up(results: Arc<ClickhouseResults>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut turns = tokio::time::interval(ROLL_UP_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = turns.tick() => match results.roll_up().await {
                Ok(buckets) => tracing::debug!(buckets, "rolled up"),
                Err(error) => {
                    let error = sonde_core::chain(&error);
                    tracing::warn!(error, "cannot roll up: trying again");
                }
            },
        }
    }
}
