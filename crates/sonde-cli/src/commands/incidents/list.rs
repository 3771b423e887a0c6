//! `sonde incidents list`: page by page, the newest first.

use serde_json::{Value, json};
use sonde_core::{Clock as _, IncidentStatus, MonitorId, SystemClock};

use super::{Format, picture, read};
use crate::client::{Client, ServerOptions};
use crate::exit::{Error, Exit};
use crate::output::{Stdout, json};

/// As many as a server gives at a time.
const PAGE: usize = 1000;

/// List incidents, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only those that are open, acknowledged or resolved
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<IncidentStatus>,
    /// Only those of this monitor
    #[arg(long, value_name = "ID")]
    monitor: Option<MonitorId>,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on where a list before ended, which said so
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// How they are written to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Pretty)]
    format: Format,
    #[command(flatten)]
    server: ServerOptions,
}

fn status(text: &str) -> Result<IncidentStatus, String> {
    let known = serde_json::from_value(text.into());
    known.map_err(|_| "expected open, acknowledged or resolved".to_owned())
}

/// What is read of a page.
#[derive(serde::Deserialize)]
struct Page {
    incidents: Vec<Value>,
    next_cursor: Option<String>,
}

pub(super) async fn run(options: &Options) -> Result<Exit, Error> {
    let server = Client::new(&options.server)?;
    let Page {
        incidents,
        next_cursor,
    } = pages(&server, options).await?;
    let text = match options.format {
        Format::Json => {
            let mut document = json!({ "incidents": incidents });
            if let Some(next) = &next_cursor {
                document["next_cursor"] = json!(next);
            }
            json::pretty(&document)?
        }
        Format::Ndjson => {
            let lines: anyhow::Result<Vec<String>> = incidents.iter().map(json::line).collect();
            lines?.concat()
        }
        Format::Pretty => {
            let incidents: anyhow::Result<Vec<_>> = incidents.into_iter().map(read).collect();
            picture::all(&incidents?, SystemClock.now())
        }
    };
    Stdout::new().write(&text)?;
    if let Some(next) = next_cursor {
        anstream::eprintln!("there are more: --cursor {next}");
    }
    Ok(Exit::Ok)
}

/// As many as are asked for, and where what follows begins.
async fn pages(server: &Client, options: &Options) -> Result<Page, Error> {
    let most = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let mut all = Page {
        incidents: Vec::new(),
        next_cursor: options.cursor.clone(),
    };
    loop {
        let limit = (most - all.incidents.len()).min(PAGE).to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(options.status.map(|status| ("status", status.as_str())));
        let monitor = options.monitor.as_ref();
        query.extend(monitor.map(|monitor| ("monitor", monitor.as_str())));
        let cursor = all.next_cursor.take();
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = server.get("v1/incidents", &query).await?;
        all.incidents.extend(page.incidents);
        all.next_cursor = page
            .next_cursor
            .filter(|next| cursor.as_ref() != Some(next));
        if all.next_cursor.is_none() || all.incidents.len() >= most {
            return Ok(all);
        }
    }
}
