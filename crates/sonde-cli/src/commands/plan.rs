//! `sonde plan`: what applying a file would change at a server.

use anyhow::Context as _;
use clap::ValueEnum;

use crate::client::{Client, ServerOptions};
use crate::desired::DesiredOptions;
use crate::exit::{Error, Exit};
use crate::output::{Stdout, plan};

/// Show what applying sonde.yaml would change at a server
///
/// The file is read here, with this environment and the files that it names. Exit code 1 says that there is something
/// to change. Secrets are never shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde plan                                            ./sonde.yaml, at a server on this machine
  sonde plan -c sonde.yaml --prune --url https://sonde.example
  sonde plan --format json > plan.json                  For a pull request's comment")]
pub(crate) struct Options {
    #[command(flatten)]
    desired: DesiredOptions,
    /// How the plan is written to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Pretty)]
    format: Format,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Pretty,
    /// One document with a fingerprint and all changes
    Json,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let desired = options.desired.read()?;
    let server = Client::new(&options.server)?;
    let plan = desired.plan(&server).await?;
    let text = match options.format {
        Format::Pretty => plan::changes(&plan, &desired.config.monitors),
        Format::Json => {
            let json = serde_json::to_string_pretty(&plan);
            json.context("a plan is JSON")? + "\n"
        }
    };
    Stdout::new().write(&text)?;
    anstream::eprintln!("{}", plan::summary(&plan));
    Ok(if plan.changes.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}
