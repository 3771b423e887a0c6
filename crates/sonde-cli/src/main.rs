//! The `sonde` binary: the only place that reads arguments and the environment, and that decides exit codes.

mod cli;
mod client;
mod commands;
mod configuration;
mod data;
mod desired;
mod example;
mod exit;
mod exposition;
mod feed;
mod lifecycle;
mod limits;
mod listen;
mod notices;
mod outcomes;
mod output;
mod pictures;
mod progress;
mod readiness;
mod roles;
mod services;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use tokio::runtime::Runtime;

/// How long what blocks in the background may hold up the end: a disk that is gone does for ever.
const LAST_BLOCKING: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    telemetry::start(&cli.log, cli.command.log_level());
    let exit = match Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(cli.command.run());
            runtime.shutdown_timeout(LAST_BLOCKING);
            exit
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot start").into()),
    };
    let exit = exit.unwrap_or_else(|error| {
        error.report();
        error.exit()
    });
    exit.into()
}
