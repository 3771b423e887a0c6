//! The configuration that the roles of a process share: one replica of the primary, kept in step.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sonde_core::Clock;
use sonde_queue::{Bus, Topic};
use sonde_store::libsql::{Replica, SyncStatus};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Process;
use crate::data::DataDirectory;
use crate::exit::Error;
use crate::readiness::Readiness;
use crate::roles::{Roles, Stage};
use crate::services;

/// Between two tries of a broker that cannot be listened to.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Configuration {
    /// Held for as long as the replica is kept in step: it has one owner.
    data: DataDirectory,
    pub(super) replica: Arc<Replica>,
}

impl Configuration {
    pub(super) async fn open(
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
        })
    }

    /// Keeps the replica in step with the primary.
    pub(super) fn start(self, process: &Process, roles: &mut Roles) {
        let nudge = Arc::new(Notify::new());
        let Self { data, replica } = self;
        let woken = Arc::clone(&nudge);
        roles.spawn(Stage::Inflow, "replica", |stop| async move {
            let _held = data;
            replica.run(&woken, &stop).await;
            Ok(())
        });
        let bus: Arc<dyn Bus> = Arc::new(process.broker.clone());
        roles.spawn(Stage::Inflow, "configuration listener", |stop| {
            listen(bus, nudge, stop)
        });
    }
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
