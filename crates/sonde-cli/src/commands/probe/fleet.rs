//! `sonde probe --regions`: the same look at a target, from other places, through the fleet's queues.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sonde_core::{
    Check, CheckResult, Clock as _, Monitor, QueueSettings, Region, RunId, SystemClock,
};
use sonde_queue::{
    Bus, Listener, Outgoing, Queue, QueueError, ResultsMessage, Route, SealingKeys, TaskMessage,
    Topic,
};
use tokio::time::{Instant, timeout_at};

use super::{Format, Options};
use sonde_service::fleet;

use crate::commands::check;
use crate::exit::{Error, Exit};
use crate::output::{Stdout, answers, json};
use crate::services;

/// Beyond the check's own time: the queue, and batches of results.
const GRACE: Duration = Duration::from_secs(5);
/// How long checkers have to say where they are.
const ROLL_CALL: Duration = Duration::from_millis(1500);

/// One target, asked for in several regions at once.
struct Question<'a> {
    queue: &'a dyn Queue,
    bus: &'a dyn Bus,
    queues: &'a QueueSettings,
    keys: SealingKeys,
    monitor: Arc<Monitor>,
    regions: BTreeSet<Region>,
}

/// What came of it in time.
#[derive(Debug)]
struct Answers {
    results: Vec<CheckResult>,
    unanswered: BTreeSet<Region>,
    waited: Duration,
}

pub(super) async fn run(options: &Options, mut monitor: Monitor) -> Result<Exit, Error> {
    let settings = options.services.settings()?;
    let queues = services::queue_settings(&settings)?;
    let keys = services::task_keys(&settings)?;
    let regions: BTreeSet<Region> = options.regions.iter().cloned().collect();
    monitor.regions = regions.iter().cloned().collect();
    let broker = services::broker(&settings, "sonde probe").await?;
    let question = Question {
        queue: &broker,
        bus: &broker,
        queues: &queues,
        keys,
        monitor: Arc::new(monitor),
        regions,
    };
    let mut out = Stdout::new();
    let answers = question
        .ask(|result| out.write(&shown(options.format, result)?))
        .await;
    let answers = match answers {
        Ok(answers) => answers,
        Err(Unasked::Nowhere(regions)) => {
            let known = match settings.libsql.location {
                Some(_) => services::regions(&settings).await?.into_iter().collect(),
                None => fleet::regions_heard(&broker, ROLL_CALL)
                    .await
                    .context("cannot ask which regions there are")?,
            };
            return Err(nowhere(&regions, &known));
        }
        Err(Unasked::Other(error)) => return Err(error.into()),
    };
    broker.close().await;
    out.write(&ending(options.format, &answers)?)?;
    if !answers.unanswered.is_empty() {
        anstream::eprintln!("hint: `sonde fleet` tells which regions have checkers");
    }
    Ok(exit(&answers))
}

/// Why nothing could be asked.
#[derive(Debug)]
enum Unasked {
    /// These regions have no queue.
    Nowhere(BTreeSet<Region>),
    Other(anyhow::Error),
}

impl Question<'_> {
    /// Calls `each` with every region's first result, as it comes.
    async fn ask(
        self,
        mut each: impl FnMut(&CheckResult) -> anyhow::Result<()>,
    ) -> Result<Answers, Unasked> {
        let other = |error: anyhow::Error| Unasked::Other(error);
        let run_id = RunId::random();
        // Before asking: an answer may come before the confirmation of the question.
        let listener = self.bus.listen(&[Topic::Run { run_id }]).await;
        let mut listener = listener
            .context("cannot listen for answers")
            .map_err(other)?;
        let started = Instant::now();
        let longest = self.publish(run_id).await?;
        let waited = longest + GRACE;
        let mut unanswered = self.regions;
        let mut results = Vec::new();
        while !unanswered.is_empty() {
            let next = timeout_at(started + waited, next(&mut *listener)).await;
            let Ok(batch) = next else { break };
            for result in batch.context("cannot hear the answers").map_err(other)? {
                if result.run_id == run_id && unanswered.remove(&result.region) {
                    each(&result).map_err(other)?;
                    results.push(result);
                }
            }
        }
        Ok(Answers {
            results,
            unanswered,
            waited,
        })
    }

    /// Returns how long the check may take.
    async fn publish(&self, run_id: RunId) -> Result<Duration, Unasked> {
        let now = SystemClock.now();
        let regions: Vec<&Region> = self.regions.iter().collect();
        let messages = regions.iter().map(|region| {
            let (monitor, region) = (Arc::clone(&self.monitor), (*region).clone());
            let check = Check::on_demand(monitor, region.clone(), self.queues, run_id, now);
            Outgoing {
                route: Route::Now { region },
                payload: TaskMessage::encode(&check, &self.keys),
            }
        });
        match self.queue.publish(messages.collect()).await {
            Ok(()) => Ok(self.monitor.longest_execution()),
            Err(QueueError::Unroutable { indexes, .. }) => {
                let nowhere = indexes.iter().filter_map(|&index| regions.get(index));
                Err(Unasked::Nowhere(
                    nowhere.map(|region| (*region).clone()).collect(),
                ))
            }
            Err(error) => {
                let error = anyhow::Error::from(error).context("cannot ask the fleet");
                Err(Unasked::Other(error))
            }
        }
    }
}

/// What cannot be read is told and left out.
async fn next(listener: &mut dyn Listener) -> anyhow::Result<Vec<CheckResult>> {
    let announcement = listener.next().await?;
    match ResultsMessage::decode(&announcement.payload) {
        Ok(message) => {
            for unreadable in &message.unreadable {
                tracing::warn!(error = unreadable.error, "a result is unreadable");
            }
            Ok(message.results)
        }
        Err(error) => {
            tracing::warn!(error = sonde_core::chain(&error), "an answer is unreadable");
            Ok(Vec::new())
        }
    }
}

fn nowhere(regions: &BTreeSet<Region>, known: &BTreeSet<Region>) -> Error {
    let list = |regions: &BTreeSet<Region>| {
        let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
        names.join(", ")
    };
    let there_are = if known.is_empty() {
        "no checker answers in any other either".to_owned()
    } else {
        format!("there are {}", list(known))
    };
    Error::usage(format!(
        "no queue of the broker leads to {}: {there_are} (`sonde queues apply` declares a new region)",
        list(regions)
    ))
}

/// One result as it comes; nothing where all stand in one document.
fn shown(format: Format, result: &CheckResult) -> anyhow::Result<String> {
    match format {
        Format::Pretty => Ok(answers::answer(result, SystemClock.now())),
        Format::Json => Ok(String::new()),
        Format::Ndjson => json::line(result),
    }
}

fn ending(format: Format, answers: &Answers) -> anyhow::Result<String> {
    let Answers {
        results,
        unanswered,
        waited,
    } = answers;
    match format {
        Format::Pretty => Ok(answers::ending(results, unanswered, *waited)),
        Format::Json => answers::document(results, unanswered),
        Format::Ndjson => Ok(String::new()),
    }
}

/// A region that did not answer is no success.
fn exit(answers: &Answers) -> Exit {
    match check::exit(&answers.results, false) {
        Exit::Ok if !answers.unanswered.is_empty() => Exit::CouldNotRun,
        exit => exit,
    }
}
