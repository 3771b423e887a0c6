//! From files, arguments and the environment to validated monitors; the only reader of configuration files.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sonde_config::{Config, DEFAULT_QUEUES, Inputs, Problems, parse_queues};
use sonde_core::QueueSettings;

use crate::exit::Error;

/// Looked for, in this order, where no file is named.
const DEFAULT_FILES: [&str; 2] = ["sonde.yaml", "checkup.json"];

/// Where the configuration is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// The configuration; by default ./sonde.yaml, then ./checkup.json
    #[arg(short, long = "config", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A queues.toml to use instead of the built-in one (frequencies, retries)
    #[arg(
        long,
        value_name = "FILE",
        env = "SONDE_QUEUES",
        hide_env_values = true
    )]
    pub(crate) queues: Option<PathBuf>,
}

impl Files {
    /// The file that was named, or the one that is there; `None` when nothing is.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let default = || {
            DEFAULT_FILES
                .iter()
                .map(PathBuf::from)
                .find(|path| path.is_file())
        };
        self.config.clone().or_else(default)
    }

    /// As [`Files::find`], for commands that need one.
    pub(crate) fn require(&self) -> Result<PathBuf, Error> {
        self.find().ok_or_else(|| {
            Error::usage(
                "there is no sonde.yaml or checkup.json here: name a file with -c, \
                 or look at one target with `sonde probe https://…`",
            )
        })
    }

    pub(crate) fn queues(&self) -> Result<QueueSettings, Error> {
        let parsed = match &self.queues {
            Some(path) => parse_queues(&path.display().to_string(), &read(path)?),
            None => parse_queues("queues.toml", DEFAULT_QUEUES),
        };
        parsed.map_err(listed)
    }
}

/// Reads and validates the file at `path`; what is accepted but may surprise is told on standard error.
pub(crate) fn load(
    path: &Path,
    queues: &QueueSettings,
    options: sonde_config::Options,
) -> Result<Config, Error> {
    let text = read(path)?;
    let name = path.display().to_string();
    parse(
        &name,
        &text,
        path.parent().unwrap_or(Path::new("")),
        queues,
        options,
    )
}

/// The same for a text that is not in a file; files that it names are looked for in `folder`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    folder: &Path,
    queues: &QueueSettings,
    options: sonde_config::Options,
) -> Result<Config, Error> {
    let loaded = sonde_config::parse(&Inputs {
        name,
        text,
        env: &|name| std::env::var(name).ok(),
        read_file: &|path| read_beside(folder, path),
        queues,
        options,
    });
    let loaded = loaded.map_err(listed)?;
    for warning in &loaded.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    Ok(loaded.config)
}

fn read_beside(folder: &Path, path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(folder.join(path))
}

fn read(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()));
    text.map_err(Error::Usage)
}

fn listed(problems: Problems) -> Error {
    Error::Configuration(problems.iter().map(ToString::to_string).collect())
}
