//! What is watched: a file, or the example service when there is none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sonde_config::Config;
use sonde_core::{QueueSettings, Region};

use super::Options;
use crate::configuration;
use crate::example::{self, ExampleService};
use crate::exit::Error;

/// Where the monitors come from, each time they are loaded.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) file: Option<PathBuf>,
    /// The text that stands for the file when there is none.
    text: String,
    region: Region,
    options: sonde_config::Options,
}

/// The named file, the default file, or the example service, which is started then.
pub(super) async fn source(options: &Options) -> Result<(Source, Option<ExampleService>), Error> {
    let file = options.config.clone().or_else(configuration::default_file);
    let mut source = Source {
        file,
        text: String::new(),
        region: options.region.clone(),
        options: options.parse_options(),
    };
    if source.file.is_some() {
        return Ok((source, None));
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let service = ExampleService::start(&example::Options {
        http: any,
        https: any,
        tcp: any,
        dns: any,
        notes: options.data.join("notes.txt"),
    })
    .await?;
    source.text = example::monitors(service.addresses());
    Ok((source, Some(service)))
}

impl Source {
    /// Who keeps these monitors, for people.
    pub(super) fn name(&self) -> String {
        match &self.file {
            Some(file) => file.display().to_string(),
            None => "example".to_owned(),
        }
    }

    /// Reads everything anew. On one machine every monitor runs here, whatever regions the fleet would use.
    pub(super) fn load(&self, settings: &QueueSettings) -> Result<Config, Error> {
        let options = self.options.clone();
        let loaded = match &self.file {
            Some(file) => configuration::load(file, settings, options)?,
            None => {
                configuration::load_text("example", &self.text, Path::new(""), settings, options)?
            }
        };
        configuration::warn(&loaded);
        let mut config = loaded.config;
        for monitor in &mut config.monitors {
            if monitor.spec.heartbeat().is_none() {
                monitor.regions = vec![self.region.clone()];
            }
        }
        Ok(config)
    }
}
