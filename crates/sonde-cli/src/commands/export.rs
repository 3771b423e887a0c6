//! `sonde export`: a server's monitors as a file that `sonde apply` changes nothing with.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sonde_config::{Config, Inputs, Origin};

use crate::client::{Client, ServerOptions};
use crate::configuration;
use crate::exit::{Error, Exit};
use crate::output::Stdout;

/// As many monitors as a server gives at a time.
const PAGE: &str = "500";

/// Write a server's monitors as a sonde.yaml
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

#[derive(Deserialize)]
struct Page {
    monitors: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    config: Value,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    let entries = entries(&server).await?;
    let count = entries.len();
    let config = config(entries, &server)?;
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

/// All pages.
async fn entries(server: &Client) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = server.get("v1/monitors", &query).await?;
        entries.extend(page.monitors);
        let next = page
            .next_cursor
            .filter(|next| cursor.as_ref() != Some(next));
        let Some(next) = next else {
            return Ok(entries);
        };
        cursor = Some(next);
    }
}

/// Read as everything of a server is: at its word.
fn config(entries: Vec<Entry>, server: &Client) -> Result<Config, Error> {
    let order = entries.iter().map(|entry| entry.id.clone()).zip(0..);
    let order: HashMap<String, usize> = order.collect();
    let monitors = entries.into_iter().map(|entry| (entry.id, entry.config));
    let text = json!({ "monitors": monitors.collect::<Map<_, _>>() }).to_string();
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
        "# All monitors of {url}: applying this file there changes nothing.\n\
         # REDACTED stands for a secret that the server has. Leave it to keep the secret, or write a new one instead.\n"
    )
}
