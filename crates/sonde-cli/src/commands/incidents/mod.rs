//! `sonde incidents`: what was and is wrong, and what people do about it, at a server.

mod list;
mod picture;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};
use sonde_core::{Clock as _, IncidentCause, IncidentStatus, MonitorId, SystemClock, Timestamp};
use sonde_notify::IncidentNotice;
use uuid::Uuid;

use crate::client::{Client, ServerOptions};
use crate::exit::{Error, Exit};
use crate::output::{Stdout, json};

/// Look at incidents, and say what people do about them
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  sonde incidents list --status open                    What is wrong now
  sonde incidents show ID                               Where and why, what happened since, and who was told
  sonde incidents ack ID                                I look after it: nobody is reminded or woken up any more
  sonde incidents comment ID \"the disk was full\"
  sonde incidents resolve ID                            It is over, whatever the checks say")]
pub(crate) enum Command {
    List(list::Options),
    Show(ShowOptions),
    Ack(AckOptions),
    Resolve(ResolveOptions),
    Comment(CommentOptions),
}

/// Show one incident: where and why, what happened since, and who was told
#[derive(Debug, clap::Args)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    one: One,
}

/// Say that somebody looks after it: nobody is reminded or woken up any more
#[derive(Debug, clap::Args)]
pub(crate) struct AckOptions {
    #[command(flatten)]
    one: One,
}

/// End it, whatever its target does: who was told of it hears that
///
/// If the target goes on failing, as often in a row as it takes from now, that is another incident.
#[derive(Debug, clap::Args)]
pub(crate) struct ResolveOptions {
    #[command(flatten)]
    one: One,
}

/// Add to its timeline
#[derive(Debug, clap::Args)]
pub(crate) struct CommentOptions {
    #[command(flatten)]
    one: One,
    /// What to say
    text: String,
}

/// Which incident, of which server.
#[derive(Debug, clap::Args)]
struct One {
    /// The incident, as `sonde incidents list` and notices name it
    #[arg(value_name = "ID")]
    id: Uuid,
    /// How it is written to standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Pretty)]
    format: Format,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Pretty,
    /// One document
    Json,
    /// One incident per line
    Ndjson,
}

/// What is read of an incident; a newer server says more.
#[derive(Deserialize)]
struct Incident {
    id: Uuid,
    monitor: MonitorId,
    status: IncidentStatus,
    cause: IncidentCause,
    flapping: bool,
    opened_at: Timestamp,
    acknowledged_by: Option<String>,
    resolved_at: Option<Timestamp>,
    caused_by: Option<MonitorId>,
    detail: Option<IncidentNotice>,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    notices: Vec<Told>,
}

#[derive(Deserialize)]
struct Event {
    at: Timestamp,
    kind: String,
    by: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    channel: String,
    state: String,
    attempts: u32,
    error: Option<String>,
}

pub(crate) async fn run(command: Command) -> Result<Exit, Error> {
    let nothing = Value::Object(serde_json::Map::new());
    match command {
        Command::List(options) => list::run(&options).await,
        Command::Show(ShowOptions { one }) => {
            let server = Client::new(&one.server)?;
            let found = server.get(&path(one.id, ""), &[]).await?;
            one.write(found)
        }
        Command::Ack(AckOptions { one }) => one.change("/acknowledge", &nothing).await,
        Command::Resolve(ResolveOptions { one }) => one.change("/resolve", &nothing).await,
        Command::Comment(CommentOptions { one, text }) => {
            one.change("/comments", &json!({ "text": text })).await
        }
    }
}

fn path(id: Uuid, rest: &str) -> String {
    format!("v1/incidents/{id}{rest}")
}

impl One {
    /// Does something to it, and shows what it is then.
    async fn change(self, rest: &str, body: &Value) -> Result<Exit, Error> {
        let server = Client::new(&self.server)?;
        let changed = server.post(&path(self.id, rest), body).await?;
        self.write(changed)
    }

    fn write(&self, incident: Value) -> Result<Exit, Error> {
        let text = match self.format {
            Format::Pretty => picture::one(&read(incident)?, SystemClock.now()),
            Format::Json => json::pretty(&incident)?,
            Format::Ndjson => json::line(&incident)?,
        };
        Stdout::new().write(&text)?;
        Ok(Exit::Ok)
    }
}

/// At the server's word.
fn read(incident: Value) -> anyhow::Result<Incident> {
    use anyhow::Context as _;
    let newer =
        "what the server says of an incident is not known here: is its release a newer one?";
    serde_json::from_value(incident).context(newer)
}
