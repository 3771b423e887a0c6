//! `sonde config`: is the configuration right, what does it come to, and into the fleet with it.

mod load;

use sonde_config::Config;
use sonde_core::{Kind, Monitor, Region};

use crate::configuration::Files;
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// Look at the configuration: check it, show what it comes to, print its schema; load it into a fleet
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Tell all problems of the configuration, each with file, line and column
    Check(Files),
    /// Show every monitor with all its settings, defaults included
    Show(Files),
    Load(load::Load),
    /// Print the JSON Schema of sonde.yaml, for editors
    #[command(after_help = "\
Example, as the first line of sonde.yaml:
  # yaml-language-server: $schema=./sonde.schema.json")]
    Schema,
}

pub(crate) async fn run(command: Command) -> Result<Exit, Error> {
    let text = match command {
        Command::Check(files) => {
            let config = load(&files)?;
            let count = config.monitors.len();
            let monitors = if count == 1 { "monitor" } else { "monitors" };
            anstream::eprintln!("the configuration is right: {count} {monitors}");
            let runs_commands = |monitor: &&Monitor| monitor.spec.kind() == Kind::Exec;
            if let Some(monitor) = config.monitors.iter().find(runs_commands) {
                let id = &monitor.id;
                anstream::eprintln!("`{id}` runs a command: `check` and `up` need --allow-exec");
            }
            return Ok(Exit::Ok);
        }
        Command::Load(load) => return load::run(load).await,
        Command::Show(files) => sonde_config::render(&load(&files)?),
        Command::Schema => format!("{:#}\n", sonde_config::schema()),
    };
    Stdout::new().write(&text)?;
    Ok(Exit::Ok)
}

/// Reading runs nothing: commands may stand in the file whether or not they are allowed here.
fn load(files: &Files) -> Result<Config, Error> {
    let options = sonde_config::Options {
        check_interval: None,
        allow_exec: true,
        default_region: Some(Region::local()),
    };
    files.load(&files.queue_settings()?, options)
}
