//! The queues that a process needs are there, as they should be, before its roles start.

use std::time::Duration;

use anyhow::Context as _;
use sonde_config::settings::Role;
use sonde_core::Region;
use sonde_queue::amqp::TopologyProblem;
use sonde_queue::{Queue as _, QueueError, Topology};

use super::Process;
use crate::exit::Error;

/// Between two tries of a broker that comes and goes.
const RETRY: Duration = Duration::from_secs(1);

/// Verifies what every role needs and the queues of this checker's region; declares them where the process may.
pub(super) async fn ensure(process: &Process) -> Result<(), Error> {
    let region = process.settings.checker.region.clone();
    let regions: Vec<_> = region
        .filter(|_| process.plays(Role::Checker))
        .into_iter()
        .collect();
    let topology = Topology::new(&process.queues, &regions, process.queues.partitions);
    if process.apply_topology {
        return declare(process, &topology).await;
    }
    let problems = verify(process, &topology).await?;
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

/// What is missing or different among the queues of `regions`, which the configuration names: their checks cannot be
/// dispatched, and others can.
pub(super) async fn warn_of_regions(process: &Process, regions: &[Region]) -> Result<(), Error> {
    let topology = Topology::new(&process.queues, regions, process.queues.partitions);
    if process.apply_topology {
        return declare(process, &topology).await;
    }
    for problem in verify(process, &topology).await? {
        let command = command(regions);
        tracing::error!("{problem}: checks there are missed until `{command}` has declared it");
    }
    Ok(())
}

fn command(regions: &[Region]) -> String {
    let names: Vec<_> = regions.iter().map(Region::as_str).collect();
    if names.is_empty() {
        "sonde queues apply".to_owned()
    } else {
        format!("sonde queues apply --regions {}", names.join(","))
    }
}

async fn verify(process: &Process, topology: &Topology) -> Result<Vec<TopologyProblem>, Error> {
    loop {
        match process.broker.verify(topology).await {
            Err(QueueError::Unavailable { .. }) => tokio::time::sleep(RETRY).await,
            verified => return Ok(verified.context("cannot look at the broker's queues")?),
        }
    }
}

async fn declare(process: &Process, topology: &Topology) -> Result<(), Error> {
    loop {
        match process.broker.declare(topology).await {
            Err(QueueError::Unavailable { .. }) if !*process.broker.connected().borrow() => {
                tokio::time::sleep(RETRY).await;
            }
            declared => return Ok(declared.context("cannot declare the queues")?),
        }
    }
}
