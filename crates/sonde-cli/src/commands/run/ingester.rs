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

    /// Its tasks wait until the store is there; a schema that is not this release's ends the process.
    pub(super) fn start(self, process: &Process, roles: &mut Roles) {
        let is_there = self.storing.subscribe();
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
        let results = Arc::clone(&self.results);
        roles.spawn(Stage::Storage, "ingester", |stop| async move {
            let Some(ready) = stop.run_until_cancelled(wait_for(&results)).await else {
                return Ok(());
            };
            ready?;
            ingester.storing.send_replace(true);
            ingester.run(stop).await.map_err(Into::into)
        });
        roles.spawn(Stage::Inflow, "rollups", |stop| {
            roll_up(self.results, is_there, stop)
        });
    }
}

/// The store is there and will not do, such as with another release's schema: starting again changes nothing.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Unfit(ResultsError);

/// An error of the roles, told apart by what a person can do about it.
pub(super) fn classify(error: anyhow::Error) -> Error {
    if error.is::<Unfit>() {
        Error::Usage(error)
    } else {
        error.into()
    }
}

async fn wait_for(results: &ClickhouseResults) -> Result<(), Unfit> {
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
            ready => return ready.map_err(Unfit),
        }
    }
}

/// Keeps rollups in step with rows. What fails is done at the next turn: nothing is forgotten.
async fn roll_up(
    results: Arc<ClickhouseResults>,
    mut is_there: watch::Receiver<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let there = is_there.wait_for(|is_there| *is_there);
    if stop.run_until_cancelled(there).await.is_none() {
        return Ok(());
    }
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
