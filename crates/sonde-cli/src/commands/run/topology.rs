//! The queues that a process needs are there, as they should be, before its roles start.

use std::time::Duration;

use anyhow::Context as _;
use sonde_config::settings::Role;
use sonde_core::{QueueSettings, Region};
use sonde_queue::amqp::{Amqp, TopologyProblem};
use sonde_queue::{Queue as _, QueueError, Topology};
use tokio::time::Instant;

use super::Process;
use crate::exit::Error;

/// Between two tries of a broker that comes and goes.
const RETRY: Duration = Duration::from_secs(1);
/// That it stays away, or answers too late, is news so often.
const NEWS: Duration = Duration::from_mins(1);

/// The broker's queues, and what they should be.
pub(super) struct Queues {
    broker: Amqp,
    settings: QueueSettings,
    /// Missing ones are declared.
    pub(super) may_declare: bool,
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

    /// Tries once to declare the queues of a region that the configuration names, or tells what is missing or different:
    /// its checks cannot be dispatched, and others can.
    pub(super) async fn see_to(&self, region: &Region) -> Result<(), QueueError> {
        let region = std::slice::from_ref(region);
        let topology = Topology::of_regions(&self.settings, region);
        if self.may_declare {
            return self.broker.declare(&topology).await;
        }
        for problem in self.broker.verify(&topology).await? {
            let command = command(region);
            tracing::error!("{problem}: checks there are missed until `{command}` has declared it");
        }
        Ok(())
    }

    async fn verify(&self, regions: &[Region]) -> anyhow::Result<Vec<TopologyProblem>> {
        let topology = self.topology(regions);
        at_last("cannot look at the broker's queues", || {
            self.broker.verify(&topology)
        })
        .await
    }

    async fn declare(&self, regions: &[Region]) -> anyhow::Result<()> {
        let topology = self.topology(regions);
        at_last("cannot declare the queues", || {
            self.broker.declare(&topology)
        })
        .await
    }

    fn topology(&self, regions: &[Region]) -> Topology {
        Topology::new(&self.settings, regions, self.settings.partitions)
    }
}

/// Tries until the broker can be asked.
async fn at_last<T, F>(failure: &'static str, attempt: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, QueueError>>,
{
    let mut told = None;
    loop {
        match attempt().await {
            Err(error @ QueueError::Unavailable { .. }) => {
                if told.is_none_or(|told: Instant| told.elapsed() >= NEWS) {
                    told = Some(Instant::now());
                    tracing::error!(error = sonde_core::chain(&error), "{failure}: trying again");
                }
                tokio::time::sleep(RETRY).await;
            }
            done => return done.context(failure),
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            log.extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_is_tried_on_and_told_of_once_a_minute() {
        let (log, tries) = (Log::default(), AtomicU64::new(0));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let begin = Instant::now();
        let found = at_last("cannot look", async || {
            if tries.fetch_add(1, Ordering::Relaxed) < 150 {
                return Err(QueueError::Unavailable {
                    backend: "test",
                    source: "timed out".into(),
                });
            }
            Ok("queues")
        });
        assert_eq!(found.await.unwrap(), "queues");
        drop(logging);
        assert_eq!(begin.elapsed(), RETRY * 150);
        let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
        let log = String::from_utf8_lossy(&log);
        assert_eq!(log.matches("cannot look: trying again").count(), 3, "{log}");
        assert!(log.contains("test queue unavailable: timed out"), "{log}");
    }
}
