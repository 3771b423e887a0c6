//! The command line: which commands there are. Each command's own options stand in its module.

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::commands::{
    apply, check, completions, config, example_service, export, fleet, heartbeat, import,
    incidents, ledger, mcp, migrate, plan, probe, queues, run, up,
};
use crate::exit::{Error, Exit};
use crate::telemetry::LogOptions;

/// Checks that sites and services are up, and how fast they answer.
#[derive(Debug, Parser)]
#[command(name = "sonde", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sonde up                             Watch ./sonde.yaml, or an example service, on this machine
  sonde check --wait 30s               Run every monitor once; for CI, until all pass
  sonde probe https://shop.example     Look at one target, phase by phase
  sonde apply                          Make a server's monitors what ./sonde.yaml says
  sonde run --role checker             Play a part in a fleet of many machines

Exit codes:
  0  all is well     1  a check failed     2  usage or configuration     3  could not run";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Options),
    Check(check::Options),
    Probe(probe::Options),
    #[command(subcommand)]
    Config(config::Command),
    Import(import::Options),
    Plan(plan::Options),
    Apply(apply::Options),
    Export(export::Options),
    #[command(subcommand)]
    Incidents(incidents::Command),
    Heartbeat(heartbeat::Options),
    Mcp(mcp::Options),
    #[command(subcommand)]
    Queues(queues::Command),
    Run(run::Options),
    Migrate(migrate::Options),
    Fleet(fleet::Options),
    Ledger(ledger::Options),
    ExampleService(example_service::Options),
    Completions(completions::Options),
}

impl Command {
    /// What is logged unless the user asks for something else: long-running commands tell what they do.
    pub(crate) const fn log_level(&self) -> LevelFilter {
        match self {
            Self::Up(_) | Self::Run(_) | Self::ExampleService(_) => LevelFilter::INFO,
            Self::Apply(options) if options.is_watching() => LevelFilter::INFO,
            _ => LevelFilter::WARN,
        }
    }

    pub(crate) async fn run(self) -> Result<Exit, Error> {
        match self {
            Self::Up(options) => up::run(options).await,
            Self::Check(options) => check::run(options).await,
            Self::Probe(options) => probe::run(options).await,
            Self::Config(command) => config::run(command).await,
            Self::Import(options) => import::run(&options),
            Self::Plan(options) => plan::run(options).await,
            Self::Apply(options) => apply::run(options).await,
            Self::Export(options) => export::run(options).await,
            Self::Incidents(command) => incidents::run(command).await,
            Self::Heartbeat(options) => heartbeat::run(options).await,
            Self::Mcp(options) => mcp::run(options).await,
            Self::Queues(command) => queues::run(command).await,
            Self::Run(options) => run::run(options).await,
            Self::Migrate(options) => migrate::run(options).await,
            Self::Fleet(options) => fleet::run(options).await,
            Self::Ledger(options) => ledger::run(options).await,
            Self::ExampleService(options) => example_service::run(options).await,
            Self::Completions(options) => completions::run(options.shell),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_says_what_there_is() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }

    /// What `-h` says of a command.
    fn help(path: &[&str]) -> String {
        let mut all = Cli::command().term_width(100);
        all.build();
        let command = path
            .iter()
            .try_fold(&mut all, |command, name| command.find_subcommand_mut(name));
        let help = command.unwrap().render_help();
        let path = path.join(" ");
        ["$ sonde ", &path, " -h\n", &help.to_string(), "\n"].concat()
    }

    #[test]
    fn help_of_the_fleets_commands_says_what_they_take() {
        let paths = [
            &["queues"][..],
            &["queues", "apply"],
            &["migrate"],
            &["fleet"],
            &["ledger"],
            &["config", "load"],
        ];
        insta::assert_snapshot!(paths.map(help).concat());
    }

    #[test]
    fn help_of_the_clients_of_a_server_says_what_they_take() {
        let paths = [&["plan"][..], &["apply"], &["export"], &["mcp"]];
        insta::assert_snapshot!(paths.map(help).concat());
    }

    #[test]
    fn help_of_incidents_says_what_people_can_do() {
        let commands = ["list", "show", "ack", "resolve", "comment"];
        let all = commands.map(|command| help(&["incidents", command]));
        insta::assert_snapshot!(help(&["incidents"]) + &all.concat());
    }

    #[test]
    fn help_of_import_says_what_can_be_read() {
        insta::assert_snapshot!(help(&["import"]));
    }
}
