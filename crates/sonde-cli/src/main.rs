//! The `sonde` binary: the only place that reads arguments and the environment, and that decides exit codes.

mod cli;
mod commands;
mod configuration;
mod data;
mod example;
mod exit;
mod lifecycle;
mod limits;
mod output;
mod progress;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // Fails only when a provider is already installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    telemetry::start(&cli.log, cli.command.log_level());
    let exit = cli.command.run().await.unwrap_or_else(|error| {
        error.report();
        error.exit()
    });
    exit.into()
}
