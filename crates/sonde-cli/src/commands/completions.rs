//! `sonde completions`: the script that completes commands and options in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde completions bash > /etc/bash_completion.d/sonde
  sonde completions fish > ~/.config/fish/completions/sonde.fish")]
pub(crate) struct Options {
    pub(crate) shell: Shell,
}

pub(crate) fn run(shell: Shell) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sonde", &mut script);
    Stdout::new().write(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
