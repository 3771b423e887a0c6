//! `sonde apply`: makes a server's monitors what a file says, once or whenever the file changes.

mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use sonde_core::parse_duration;
use sonde_service::Plan;

use self::watch::Source;
use crate::client::{Client, ServerOptions};
use crate::desired::{Desired, DesiredOptions};
use crate::exit::{Error, Exit};
use crate::output::{Stdout, plan};

/// How often others may change the workspace between what is shown and what is applied.
const TRIES: usize = 5;

/// Make a server's monitors, channels and maintenance what sonde.yaml says
///
/// Shows what changes and asks first; nothing else is changed than what was shown. Whether a monitor is paused stays as
/// it is, and REDACTED means the secret that the server has. What is not in the file stays, unless --prune.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde apply                                           ./sonde.yaml, at a server on this machine
  sonde apply -c sonde.yaml --prune --yes               In CI, after a merge
  sonde apply --watch /etc/sonde/sonde.yaml             Follow a file, as a service
  sonde apply --watch https://git.example/raw/sonde.yaml --every 1m")]
pub(crate) struct Options {
    #[command(flatten)]
    desired: DesiredOptions,
    /// Apply without asking
    #[arg(short, long)]
    yes: bool,
    /// Follow this file, or what is at this URL: apply it now and whenever it changes, without asking
    ///
    /// What comes from a URL is taken at its word: variables do not expand, and files are not read. While it cannot be
    /// read or has a mistake, what was applied before stays.
    #[arg(long, value_name = "FILE|URL", conflicts_with = "config")]
    watch: Option<Source>,
    /// How often --watch looks
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "watch", value_parser = period)]
    every: Duration,
    #[command(flatten)]
    server: ServerOptions,
}

impl Options {
    /// Whether it runs until it is told to end.
    pub(crate) const fn is_watching(&self) -> bool {
        self.watch.is_some()
    }
}

fn period(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text).map_err(|error| error.to_string())?;
    if period < Duration::from_millis(100) {
        return Err("must be 100ms or more".to_owned());
    }
    Ok(period)
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    if let Some(source) = options.watch {
        return watch::run(source, options.every, &options.desired, &server).await;
    }
    if !options.yes && !io::stdin().is_terminal() {
        return Err(Error::usage(
            "there is no terminal to ask on: --yes applies without asking, `sonde plan` only shows",
        ));
    }
    let desired = options.desired.read()?;
    for _ in 0..TRIES {
        let planned = desired.plan(&server).await?;
        if planned.changes.is_empty() {
            anstream::eprintln!("nothing to change: {} as wanted", planned.unchanged);
            return Ok(Exit::Ok);
        }
        Stdout::new().write(&plan::changes(&planned, &desired.config.monitors))?;
        anstream::eprintln!("{}", plan::summary(&planned));
        if !options.yes && !agreed()? {
            anstream::eprintln!("nothing was changed");
            return Ok(Exit::Failed);
        }
        if let Some(applied) = apply(&desired, &planned, &server).await? {
            let [added, changed, removed] = plan::counts(&applied);
            anstream::eprintln!("applied: {added} added, {changed} changed, {removed} removed");
            return Ok(Exit::Ok);
        }
        anstream::eprintln!("the workspace was changed by somebody else meanwhile: planning again");
    }
    let busy =
        anyhow::anyhow!("the workspace is changed by others all the time: nothing was applied");
    Err(busy.into())
}

/// `None` when what was planned is not what would happen any more.
async fn apply(desired: &Desired, plan: &Plan, server: &Client) -> Result<Option<Plan>, Error> {
    match desired.apply(server, Some(plan.fingerprint())).await {
        Ok(applied) => Ok(Some(applied)),
        Err(error) if error.is_plan_changed() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Blocks: there is nothing else to do meanwhile.
fn agreed() -> anyhow::Result<bool> {
    let mut err = io::stderr();
    let asked = write!(err, "Apply these changes? [y/N] ").and_then(|()| err.flush());
    asked.context("cannot ask")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    let answer = answer.trim();
    Ok(["y", "yes"]
        .iter()
        .any(|yes| answer.eq_ignore_ascii_case(yes)))
}
