//! The queues that a process needs are there, as they should be, before its roles start.

use std::time::Duration;

use anyhow::Context as _;
use sonde_config::settings::Role;
use sonde_core::{QueueSettings, Region};
use sonde_queue::amqp::{Amqp, TopologyProblem};
use sonde_queue::{Queue as _, QueueError, Topology};

use super::Process;
use crate::exit::Error;

/// Between two tries of a broker that comes and goes.
const RETRY: Duration = Duration::from_secs(1);

/// The broker's queues, and what they should be.
pub(super) struct Queues {
    broker: Amqp,
    settings: QueueSettings,
    /// Missing ones are declared.
    may_declare: bool,
}

/// Verifies what every role needs and the queues of this checker's region; declares them where the process may.
pub(super) async fn ensure(process: &Process) -> Result<(), Error> {
    let region = process.settings.checker.region.clone();
    let regions: Vec<_> = region
        .filter(|_| process.plays(Role::Checker))
        .into_iter()
        .collect();
    let queues = Queues::of(process);
    if queues.may_declare {
        return Ok(queues.declare(&regions).await?);
    }
    let problems = queues.verify(&regions).await?;
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| format!("  {problem}"))
        .collect();
    Err(Error::usage(format!(
        "the broker's queues are not what this release needs:\n{}\nrun `{}` first, or start with --apply-topology",
        problems.join("\n"),
        command(&regions)
    )))
}

impl Queues {
    pub(super) fn of(process: &Process) -> Self {
        Self {
            broker: process.broker.clone(),
            settings: process.queues.clone(),
            may_declare: process.apply_topology,
        }
    }

    /// Declares the queues of `regions`, which the configuration names, or tells what is missing or different: their
    /// checks cannot be dispatched, and others can.
    pub(super) async fn see_to(&self, regions: &[Region]) -> anyhow::Result<()> {
        if self.may_declare {
            return self.declare(regions).await;
        }
        for problem in self.verify(regions).await? {
            let command = command(regions);
            tracing::error!("{problem}: checks there are missed until `{command}` has declared it");
        }
        Ok(())
    }

    async fn verify(&self, regions: &[Region]) -> anyhow::Result<Vec<TopologyProblem>> {
        let topology = self.topology(regions);
        loop {
            match self.broker.verify(&topology).await {
                Err(QueueError::Unavailable { .. }) => tokio::time::sleep(RETRY).await,
                verified => return verified.context("cannot look at the broker's queues"),
            }
        }
    }

    async fn declare(&self, regions: &[Region]) -> anyhow::Result<()> {
        let topology = self.topology(regions);
        loop {
            match self.broker.declare(&topology).await {
                Err(QueueError::Unavailable { .. }) if !*self.broker.connected().borrow() => {
                    tokio::time::sleep(RETRY).await;
                }
                declared => return declared.context("cannot declare the queues"),
            }
        }
    }

    fn topology(&self, regions: &[Region]) -> Topology {
        Topology::new(&self.settings, regions, self.settings.partitions)
    }
}

fn command(regions: &[Region]) -> String {
    let names: Vec<_> = regions.iter().map(Region::as_str).collect();
    if names.is_empty() {
        "sonde queues apply".to_owned()
    } else {
        format!("sonde queues apply --regions {}", names.join(","))
    }
}
