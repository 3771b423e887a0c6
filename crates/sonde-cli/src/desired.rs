//! What a file wants a server to have.

use serde::Serialize;
use serde_json::{Map, Value};
use sonde_config::{Config, Named};
use sonde_core::{Monitor, Region};
use sonde_service::Plan;

use crate::client::{ApiError, Client};
use crate::configuration::Files;
use crate::exit::Error;

/// Which file, and how it is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DesiredOptions {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    meaning: Meaning,
}

/// How a file is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Meaning {
    /// Where monitors run that name no region
    #[arg(
        long,
        value_name = "NAME",
        env = "SONDE_REGION",
        hide_env_values = true
    )]
    pub(crate) region: Option<Region>,
    /// Remove what is not in the file: monitors; channels and maintenance where it has that section
    #[arg(long)]
    prune: bool,
    /// Let --prune remove all monitors, channels or maintenance where the file has an empty section
    #[arg(long, requires = "prune")]
    allow_empty: bool,
}

/// What is to be, as a server is told of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Desired {
    pub(crate) config: Config,
    prune: bool,
}

#[derive(Serialize)]
struct Request<'a> {
    monitors: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maintenance: Option<Map<String, Value>>,
    prune: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
}

impl DesiredOptions {
    /// Reads the file; tells its warnings.
    pub(crate) fn read(&self) -> Result<Desired, Error> {
        let queues = self.files.queue_settings()?;
        let config = self.files.load(&queues, self.meaning.reading())?;
        self.meaning.desired(config)
    }

    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) const fn meaning(&self) -> &Meaning {
        &self.meaning
    }
}

impl Meaning {
    /// What may run is for the server to say.
    pub(crate) fn reading(&self) -> sonde_config::Options {
        sonde_config::Options {
            check_interval: None,
            allow_exec: true,
            default_region: self.region.clone(),
        }
    }

    pub(crate) fn desired(&self, config: Config) -> Result<Desired, Error> {
        let (channels, maintenance) = (&config.channels, &config.maintenance);
        let empty = [
            ("monitors", config.monitors.is_empty()),
            ("channels", channels.as_ref().is_some_and(Vec::is_empty)),
            (
                "maintenance",
                maintenance.as_ref().is_some_and(Vec::is_empty),
            ),
        ];
        if let Some((what, _)) = empty.iter().find(|(_, is_empty)| *is_empty)
            && self.prune
            && !self.allow_empty
        {
            return Err(Error::usage(format!(
                "the file has no {what}, and --prune would remove all of the server's: \
                 --allow-empty does so",
            )));
        }
        let prune = self.prune;
        Ok(Desired { config, prune })
    }
}

impl Desired {
    /// What it would change.
    pub(crate) async fn plan(&self, server: &Client) -> Result<Plan, ApiError> {
        server.post("v1/plan", &self.request(None)).await
    }

    /// Changes it, and tells what. With the fingerprint of a plan nothing else is changed than what that showed.
    pub(crate) async fn apply(
        &self,
        server: &Client,
        fingerprint: Option<&str>,
    ) -> Result<Plan, ApiError> {
        server.post("v1/apply", &self.request(fingerprint)).await
    }

    fn request<'a>(&self, fingerprint: Option<&'a str>) -> Request<'a> {
        let entry = |monitor: &Monitor| {
            let config = sonde_config::monitor_to_json(monitor);
            (monitor.id.to_string(), config)
        };
        Request {
            monitors: self.config.monitors.iter().map(entry).collect(),
            channels: self.config.channels.as_ref().map(section),
            maintenance: self.config.maintenance.as_ref().map(section),
            prune: self.prune,
            fingerprint,
        }
    }
}

/// As it is read, with its secrets.
fn section<T: Serialize>(named: &Named<T>) -> Map<String, Value> {
    let entries = named.iter();
    let entries = entries.map(|(id, value)| {
        let value = serde_json::to_value(value);
        (id.clone(), value.expect("it has only string keys"))
    });
    entries.collect()
}
