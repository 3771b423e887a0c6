//! `sonde import`: a `sonde.yaml` from what people already have.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sonde_config::import::{self, Imported, Targets};
use sonde_config::{Inputs, Origin};
use sonde_core::Region;

use crate::configuration;
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// Turn the configuration of another tool into a sonde.yaml
///
/// Standard output has the sonde.yaml, standard error a line for everything that has no equivalent, with its place.
/// Passwords and tokens are written as they stand in FILE; its variables stay variables.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde import gatus config.yaml > sonde.yaml
  sonde import blackbox blackbox.yml --targets prometheus.yml
  sonde import blackbox blackbox.yml --targets hosts.yml --module http_2xx
  sonde import uptime-kuma - < backup.json")]
pub(crate) struct Options {
    /// Whose configuration it is
    #[arg(value_enum)]
    format: Format,
    /// The configuration; `-` is standard input
    file: PathBuf,
    /// For blackbox: whom to probe, a part of Prometheus' configuration or a list of `targets` in a file
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// For blackbox: the module of targets for which none is named
    #[arg(long, value_name = "NAME")]
    module: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    #[value(help = "Checkup's checkup.json")]
    Checkup,
    #[value(help = "Gatus's config.yaml")]
    Gatus,
    #[value(help = "blackbox.yml of Prometheus' blackbox_exporter, with --targets")]
    Blackbox,
    #[value(name = "openstatus", help = "openstatus.yaml of OpenStatus")]
    OpenStatus,
    #[value(help = "A backup that Uptime Kuma exported, JSON")]
    UptimeKuma,
}

impl From<Format> for import::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Checkup => Self::Checkup,
            Format::Gatus => Self::Gatus,
            Format::Blackbox => Self::Blackbox,
            Format::OpenStatus => Self::OpenStatus,
            Format::UptimeKuma => Self::UptimeKuma,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<Exit, Error> {
    if options.format != Format::Blackbox && (options.targets.is_some() || options.module.is_some())
    {
        return Err(Error::usage("--targets and --module are for blackbox"));
    }
    let imported = read(options)?;
    Stdout::new().write(imported.yaml())?;
    for note in &imported.notes {
        anstream::eprintln!("note: {note}");
    }
    let (monitors, notes) = (imported.monitors.len(), imported.notes.len());
    let monitors = counted(monitors, "monitor");
    anstream::eprintln!("imported {monitors}, with {}", counted(notes, "note"));
    Ok(Exit::Ok)
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn read(options: &Options) -> Result<Imported, Error> {
    let (name, text) = file(&options.file)?;
    let targets = match &options.targets {
        Some(path) if is_standard_input(path) && is_standard_input(&options.file) => {
            return Err(Error::usage(
                "standard input cannot be both FILE and --targets",
            ));
        }
        Some(path) => Some(file(path)?),
        None => None,
    };
    let folder = options.file.parent().unwrap_or(Path::new(""));
    let queues = configuration::queue_settings(None)?;
    let inputs = Inputs {
        name: &name,
        text: &text,
        origin: Origin::Machine {
            env: &|_| None,
            read_file: &|path| configuration::read_beside(folder, path),
        },
        queues: &queues,
        options: sonde_config::Options {
            check_interval: None,
            allow_exec: true,
            default_region: Some(Region::local()),
        },
    };
    let targets = Targets {
        file: targets
            .as_ref()
            .map(|(name, text)| (name.as_str(), text.as_str())),
        module: options.module.as_deref(),
    };
    let imported = import::import(options.format.into(), &inputs, targets);
    imported.map_err(|problems| configuration::listed(&problems))
}

/// The file's name for messages, and its text.
fn file(path: &Path) -> Result<(String, String), Error> {
    if is_standard_input(path) {
        return Ok(("-".to_owned(), configuration::read_standard_input()?));
    }
    Ok((path.display().to_string(), configuration::read(path)?))
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}
