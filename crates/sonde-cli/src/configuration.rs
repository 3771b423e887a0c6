//! From files, arguments and the environment to validated monitors; the only reader of configuration files.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sonde_config::{
    Config, DEFAULT_QUEUES, Inputs, Loaded, NO_REGION, Origin, Problems, parse_queues,
};
use sonde_core::{QueueSettings, Region};

use url::Url;

use crate::exit::Error;

/// Looked for, in this order, where no file is named.
const DEFAULT_FILES: [&str; 2] = ["sonde.yaml", "checkup.json"];

/// Which files a command reads, for commands that run once and need a configuration.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// The configuration; by default ./sonde.yaml, then ./checkup.json
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Frequencies and retries instead of the built-in ones
    #[arg(
        long,
        value_name = "FILE",
        env = "SONDE_QUEUES",
        hide_env_values = true
    )]
    queues: Option<PathBuf>,
}

impl Files {
    pub(crate) fn new(config: Option<PathBuf>, queues: Option<PathBuf>) -> Self {
        Self { config, queues }
    }

    pub(crate) fn queue_settings(&self) -> Result<QueueSettings, Error> {
        queue_settings(self.queues.as_deref())
    }

    /// Reads the configuration and tells its warnings; having none at all is an error here.
    pub(crate) fn load(
        &self,
        settings: &QueueSettings,
        options: sonde_config::Options,
    ) -> Result<Config, Error> {
        let file = self.config.clone().or_else(default_file).ok_or_else(|| {
            Error::usage(
                "there is no sonde.yaml or checkup.json here: name a file with -c, \
                 or look at one target with `sonde probe https://…`",
            )
        })?;
        let loaded = load(&file, settings, options)?;
        warn(&loaded);
        Ok(loaded.config)
    }
}

/// The configuration of the current folder, if there is one.
pub(crate) fn default_file() -> Option<PathBuf> {
    DEFAULT_FILES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// The `queues.toml` at `path`, or the built-in one.
pub(crate) fn queue_settings(path: Option<&Path>) -> Result<QueueSettings, Error> {
    let parsed = match path {
        Some(path) => parse_queues(&path.display().to_string(), &read(path)?),
        None => parse_queues("queues.toml", DEFAULT_QUEUES),
    };
    parsed.map_err(|problems| listed(&problems))
}

/// Reads and validates the configuration at `path`.
pub(crate) fn load(
    path: &Path,
    settings: &QueueSettings,
    options: sonde_config::Options,
) -> Result<Loaded, Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    load_text(
        &path.display().to_string(),
        &read(path)?,
        folder,
        settings,
        options,
    )
}

/// The same for a text that is in no file; files that it names are looked for in `folder`.
pub(crate) fn load_text(
    name: &str,
    text: &str,
    folder: &Path,
    settings: &QueueSettings,
    options: sonde_config::Options,
) -> Result<Loaded, Error> {
    let parsed = sonde_config::parse(&Inputs {
        name,
        text,
        origin: Origin::Machine {
            env: &|name| std::env::var(name).ok(),
            read_file: &|path| read_beside(folder, path),
        },
        queues: settings,
        options,
    });
    parsed.map_err(|problems| listed(&problems))
}

/// Tells what is accepted but may not do what its writer thinks.
pub(crate) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        anstream::eprintln!("warning: {warning}");
    }
}

/// What results of this process are marked with.
pub(crate) fn checker_id(region: &Region) -> String {
    format!("{region}-{}", std::process::id())
}

/// A name server's address, with or without a port; a name would need resolving itself.
pub(crate) fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    text.parse().or_else(|_| alone()).map_err(|_| {
        "a name server is an IP address, with or without a port: 192.0.2.53 or 192.0.2.53:5353"
            .to_owned()
    })
}

pub(crate) fn parse_rdap_bootstrap(text: &str) -> Result<Url, String> {
    let url = text.parse::<Url>().ok();
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http"));
    url.ok_or_else(|| "the list is at a URL such as https://data.iana.org/rdap/dns.json".to_owned())
}

/// A file that a configuration in `folder` names.
pub(crate) fn read_beside(folder: &Path, path: &Path) -> io::Result<Vec<u8>> {
    read_file(&folder.join(path))
}

/// Refuses what cannot be a configuration: reading a pipe might never end.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if found.len() > LARGEST_FILE {
        return Err(too_large());
    }
    std::fs::read(path)
}

/// Standard input to its end, as far as it can be a configuration.
pub(crate) fn read_standard_input() -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = io::stdin().take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    let text = read.and_then(|length| {
        if length as u64 > LARGEST_FILE {
            return Err(too_large());
        }
        text(bytes)
    });
    text.context("cannot read standard input")
        .map_err(Error::Usage)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

fn too_large() -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", LARGEST_FILE >> 20))
}

/// Configurations are written by people; what is larger is something else.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// A text file that the user named.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let text = read_file(path).and_then(text);
    let text = text.with_context(|| format!("cannot read {}", path.display()));
    text.map_err(Error::Usage)
}

/// The secret in a file of its own. Editors and `echo` end files with a line break that is not meant.
pub(crate) fn read_secret(path: &Path) -> Result<String, Error> {
    Ok(read(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) fn listed(problems: &Problems) -> Error {
    let mut lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    if problems.iter().any(|problem| problem.message == NO_REGION) {
        lines.push("--region names one for all that name none".to_owned());
    }
    Error::Configuration(lines)
}
