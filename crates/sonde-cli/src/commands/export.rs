//! `sonde export`: what a server has as a file that `sonde apply` changes nothing with.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sonde_config::{Config, Inputs, Origin};

use crate::client::{ApiError, Client, ServerOptions};
use crate::configuration;
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// As much as a server gives at a time.
const PAGE: &str = "500";

/// Write a server's monitors, channels and maintenance as a sonde.yaml
///
/// Secrets are written as REDACTED, which means the secret that the server has to whoever applies the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sonde export > sonde.yaml                             From a server on this machine
  sonde export --url https://sonde.example -o sonde.yaml")]
pub(crate) struct Options {
    /// What to write
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Yaml)]
    format: Format,
    /// Where to write it instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    /// The same, which is read as well
    Json,
}

/// A page of a listing; a newer server says more.
#[derive(Deserialize)]
struct Page {
    next_cursor: Option<String>,
    #[serde(flatten)]
    sections: Map<String, Value>,
}

/// By id, in the server's order.
type Section = Vec<(String, Value)>;

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    let monitors = entries(&server, "monitors").await?;
    let channels = within_reach(entries(&server, "channels").await, "channels")?;
    let maintenance = within_reach(entries(&server, "maintenance").await, "maintenance")?;
    let count = monitors.len();
    let config = config(monitors, channels, maintenance, &server)?;
    let text = match options.format {
        Format::Yaml => head(&server) + &sonde_config::render(&config),
        Format::Json => format!("{:#}\n", sonde_config::render_json(&config)),
    };
    match &options.output {
        Some(path) => {
            let written = std::fs::write(path, text);
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => Stdout::new().write(&text)?,
    }
    let plural = if count == 1 { "" } else { "s" };
    anstream::eprintln!("exported {count} monitor{plural}");
    Ok(Exit::Ok)
}

/// What a key is not for is left out, and so stays as it is when the file is applied.
fn within_reach(section: Result<Section, ApiError>, name: &str) -> Result<Option<Section>, Error> {
    match section {
        Ok(section) => Ok(Some(section)),
        Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {
            anstream::eprintln!("the key is not for {name}: they are left out");
            Ok(None)
        }
        // Older servers know none.
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All pages.
async fn entries(server: &Client, section: &str) -> Result<Section, ApiError> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page: Page = server.get(&format!("v1/{section}"), &query).await?;
        let found = page.sections.get_mut(section).and_then(Value::as_array_mut);
        entries.extend(found.into_iter().flatten().filter_map(entry));
        let next = page
            .next_cursor
            .filter(|next| cursor.as_ref() != Some(next));
        let Some(next) = next else {
            return Ok(entries);
        };
        cursor = Some(next);
    }
}

/// Its id, and what stands below that in `sonde.yaml`: its `config`, or of maintenance three of its keys.
fn entry(entry: &mut Value) -> Option<(String, Value)> {
    let id = entry["id"].as_str()?.to_owned();
    if entry.get("config").is_some() {
        return Some((id, entry["config"].take()));
    }
    let keys = ["title", "monitors", "schedule"].into_iter();
    let keys = keys.map(|key| (key.to_owned(), entry[key].take()));
    Some((id, Value::Object(keys.collect())))
}

/// Read as everything of a server is: at its word.
fn config(
    monitors: Section,
    channels: Option<Section>,
    maintenance: Option<Section>,
    server: &Client,
) -> Result<Config, Error> {
    let order = monitors.iter().map(|(id, _)| id.clone()).zip(0..);
    let order: HashMap<String, usize> = order.collect();
    let section = |section: Section| Value::Object(section.into_iter().collect());
    let mut text = json!({ "monitors": section(monitors) });
    for (name, beside) in [("channels", channels), ("maintenance", maintenance)] {
        if let Some(beside) = beside {
            text[name] = section(beside);
        }
    }
    let text = text.to_string();
    let loaded = sonde_config::parse(&Inputs {
        name: server.url().as_str(),
        text: &text,
        origin: Origin::Network {
            has_monitor: &|_| true,
        },
        queues: &configuration::queue_settings(None)?,
        options: sonde_config::Options {
            check_interval: None,
            allow_exec: true,
            default_region: None,
        },
    });
    let loaded = loaded.map_err(|problems| {
        let newer = "what the server has is not all known here: is its release a newer one?";
        anyhow::Error::new(problems).context(newer)
    });
    let mut config = loaded?.config;
    config
        .monitors
        .sort_by_key(|monitor| order.get(monitor.id.as_str()).copied());
    Ok(config)
}

fn head(server: &Client) -> String {
    let url = server.url();
    format!(
        "# All that {url} has: applying this file there changes nothing.\n\
         # REDACTED stands for a secret that the server has. Leave it to keep the secret, or write a new one instead.\n"
    )
}
