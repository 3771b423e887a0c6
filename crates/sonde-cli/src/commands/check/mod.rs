//! `sonde check`: every monitor once, in parallel, as tests in CI.

mod runner;
mod select;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sonde_core::{CheckResult, Monitor, Outcome, Region, parse_duration};
use sonde_probe::{Egress, Prober, Settings};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::runner::{Runner, Wait};
use self::select::Selector;
use crate::configuration::{self, Files};
use crate::exit::{Error, Exit};
use crate::output::{Format, Report, Stdout, Summary};
use crate::progress::Progress;

/// Run every monitor once, in parallel
///
/// Retries are on. The exit code is 1 when a check failed, 3 when none failed but one could not be run, and 0
/// otherwise; degraded checks only count with --strict. Paused monitors and heartbeats are left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde check                                  All monitors of ./sonde.yaml
  sonde check --only 'shop-*' --only tag:prod  Some of them
  sonde check --wait 30s                       Wait for a server that is just starting
  sonde check --format junit > report.xml      For a CI server")]
pub(crate) struct Options {
    #[command(flatten)]
    files: Files,
    /// Run only monitors whose id matches, or that have the tag; may be repeated
    #[arg(long, value_name = "GLOB|tag:TAG")]
    only: Vec<Selector>,
    /// How results are written to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Pretty)]
    format: Format,
    /// Run what fails again until all pass, but for no longer than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Let degraded checks count as failed
    #[arg(long)]
    strict: bool,
    /// The region that results are labelled with
    #[arg(long, env = "SONDE_REGION", hide_env_values = true, default_value_t = Region::local())]
    region: Region,
    /// Allow monitors that run commands on this machine
    #[arg(long)]
    allow_exec: bool,
    /// A name server to use instead of the system's
    #[arg(long, value_name = "IP[:PORT]", value_parser = configuration::parse_resolver)]
    resolver: Option<std::net::SocketAddr>,
    /// Where the list of RDAP servers is, for checks of domains [default: at IANA's]
    #[arg(long, value_name = "URL", env = "SONDE_RDAP_BOOTSTRAP", value_parser = configuration::parse_rdap_bootstrap)]
    rdap_bootstrap: Option<url::Url>,
    /// Checks that run at the same time
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let queues = options.files.queue_settings()?;
    let reading = sonde_config::Options {
        check_interval: None,
        allow_exec: options.allow_exec,
        default_region: Some(options.region.clone()),
    };
    let config = options.files.load(&queues, reading)?;
    let monitors = select::select(config.monitors, &options.only)?;
    let prober = Prober::new(Settings {
        egress: Egress::open(),
        resolver: options.resolver,
        allow_exec: options.allow_exec,
        rdap_bootstrap: options.rdap_bootstrap,
        checker_id: configuration::checker_id(&options.region),
    })
    .context("cannot check anything from here")?;
    let started = Instant::now();
    let progress = Progress::start(monitors.len());
    let runner = Runner {
        prober,
        queues,
        region: options.region,
        permits: Semaphore::new(options.concurrency.into()),
        wait: options.wait.map(|time| Wait::until(started + time)),
        strict: options.strict,
        progress: progress.clone(),
    };

    let mut report = Report::new(options.format, monitors.iter().map(AsRef::as_ref));
    let results = run_all(runner, &monitors, &mut report).await?;
    progress.end();
    let summary = Summary::new(&results, started.elapsed());
    Stdout::new().write(&report.tail(&results, &summary)?)?;
    Ok(exit(&results, options.strict))
}

/// Runs all monitors and writes results as they come; returns them in the order of the monitors.
async fn run_all(
    runner: Runner,
    monitors: &[Arc<Monitor>],
    report: &mut Report,
) -> anyhow::Result<Vec<CheckResult>> {
    let mut out = Stdout::new();
    out.write(&report.head(monitors.len()))?;
    let runner = Arc::new(runner);
    // Dropped with this function, which aborts what still runs.
    let mut running = JoinSet::new();
    for (n, monitor) in monitors.iter().cloned().enumerate() {
        let runner = runner.clone();
        running.spawn(async move { (n, runner.settle(monitor).await) });
    }
    let mut results = Vec::new();
    while let Some(joined) = running.join_next().await {
        let (n, result) = joined.context("a check broke off")?;
        let text = report.result(&result)?;
        runner.progress.aside(|| out.write(&text))?;
        runner.progress.one_done();
        results.push((n, result));
    }
    results.sort_by_key(|(n, _)| *n);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// A check that nobody could run must not read as a success, nor as the target's failure.
pub(crate) fn exit(results: &[CheckResult], strict: bool) -> Exit {
    let any = |outcome| results.iter().any(|result| result.outcome == outcome);
    if any(Outcome::Failed) || (strict && any(Outcome::Degraded)) {
        Exit::Failed
    } else if any(Outcome::Missed) {
        Exit::CouldNotRun
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_a_failure_from_a_check_that_could_not_be_run() {
        use Outcome::{Degraded, Failed, Missed, Ok};
        let exit_of = |outcomes: &[Outcome], strict| {
            let result = |outcome: &Outcome| CheckResult::sample_executed(*outcome, Duration::ZERO);
            exit(&outcomes.iter().map(result).collect::<Vec<_>>(), strict)
        };
        assert_eq!(exit_of(&[Ok, Degraded], false), Exit::Ok);
        assert_eq!(exit_of(&[Ok, Degraded], true), Exit::Failed);
        assert_eq!(exit_of(&[Ok, Missed], false), Exit::CouldNotRun);
        assert_eq!(exit_of(&[Missed, Failed], false), Exit::Failed);
    }
}
