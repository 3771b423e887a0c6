//! `sonde queues`: the queues that a fleet needs, what the broker has of them, and how to declare them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use sonde_config::settings::Settings;
use sonde_core::{Region, format_duration};
use sonde_queue::amqp::TopologyProblem;
use sonde_queue::{DeadLetters, Depth, Queue, QueueDeclaration, QueueError, Topology};

use crate::exit::{Error, Exit};
use crate::output::Stdout;
use crate::output::table::{Columns, bad, bold, plain};
use crate::services::{self, ServiceOptions};

/// The queues of a fleet: show them, compare them with the broker's, declare them
///
/// What they are follows from queues.toml and the regions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every queue; with a broker, also what waits in it and how many take from it
    Show {
        #[command(flatten)]
        of: Of,
        #[arg(long, value_enum, default_value_t = Format::Pretty)]
        format: Format,
    },
    /// Tell how the broker's queues differ; exit code 1 when they do
    ///
    /// Names every difference where the management API is given, else only what the broker objects to.
    Diff {
        #[command(flatten)]
        of: Of,
    },
    /// Declare what the broker lacks; what it has stays as it is
    Apply {
        #[command(flatten)]
        of: Of,
    },
}

/// Whose queues.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// Regions, separated by commas; by default those of the configuration
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<Region>,
    #[command(flatten)]
    services: ServiceOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Pretty,
    /// One JSON document
    Json,
}

/// What all three look at.
struct Wanted {
    settings: Settings,
    regions: Vec<Region>,
    topology: Topology,
}

pub(crate) async fn run(command: Command) -> Result<Exit, Error> {
    match command {
        Command::Show { of, format } => show(Wanted::find(of).await?, format).await,
        Command::Diff { of } => diff(Wanted::find(of).await?).await,
        Command::Apply { of } => apply(Wanted::find(of).await?).await,
    }
}

impl Wanted {
    async fn find(of: Of) -> Result<Self, Error> {
        let settings = of.services.settings()?;
        let queues = services::queue_settings(&settings)?;
        let regions = if !of.regions.is_empty() {
            of.regions
        } else if settings.libsql.location.is_some() {
            services::regions(&settings).await?
        } else {
            return Err(Error::usage(
                "which regions? Name them with --regions fra,iad, or say where the configuration is that names them: \
                 --libsql-url, SONDE_LIBSQL_URL, or `url` in [libsql] of sonde.toml",
            ));
        };
        if regions.is_empty() {
            anstream::eprintln!(
                "the configuration names no region yet: only the queues that belong to none are looked at"
            );
        }
        Ok(Self {
            topology: Topology::new(&queues, &regions, queues.partitions),
            settings,
            regions,
        })
    }
}

/// A queue as it should be, and what the broker says of it.
#[derive(Serialize)]
struct Row {
    name: String,
    bound_to: Option<String>,
    time_to_live_ms: Option<u64>,
    delivery_limit: Option<u32>,
    max_length: Option<u32>,
    single_active_consumer: bool,
    dead_letters: Option<&'static str>,
    /// Whether the broker has it; absent without a broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<bool>,
    /// Messages that nobody holds; absent unless the broker has the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers: Option<u32>,
}

async fn show(wanted: Wanted, format: Format) -> Result<Exit, Error> {
    let mut rows: Vec<Row> = wanted.topology.queues.iter().map(row).collect();
    let with_broker = wanted.settings.amqp.url.is_some();
    if with_broker {
        let broker = services::broker(&wanted.settings, "sonde queues").await?;
        for (row, queue) in rows.iter_mut().zip(&wanted.topology.queues) {
            match broker.depth(&queue.name).await {
                Ok(Depth { ready, consumers }) => {
                    row.declared = Some(true);
                    row.ready = Some(ready);
                    row.consumers = Some(consumers);
                }
                Err(QueueError::NotDeclared(_)) => row.declared = Some(false),
                Err(error) => return Err(anyhow::Error::new(error).into()),
            }
        }
        broker.close().await;
    }
    let text = match format {
        Format::Json => {
            let document = BTreeMap::from([("queues", &rows)]);
            serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n"
        }
        Format::Pretty => picture(&rows, with_broker),
    };
    Stdout::new().write(&text)?;
    Ok(Exit::Ok)
}

fn row(queue: &QueueDeclaration) -> Row {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Row {
        name: queue.name.to_string(),
        bound_to: queue.bound_to.as_ref().map(ToString::to_string),
        time_to_live_ms: queue.time_to_live.map(millis),
        delivery_limit: queue.delivery_limit,
        max_length: queue.max_length,
        single_active_consumer: queue.single_active,
        dead_letters: match queue.dead_letters {
            DeadLetters::Dropped => None,
            DeadLetters::Dead => Some("checks.dead"),
            DeadLetters::Notifications => Some("notifications"),
        },
        declared: None,
        ready: None,
        consumers: None,
    }
}

fn picture(rows: &[Row], with_broker: bool) -> String {
    let mut header = vec!["queue", "exchange", "ttl", "limit", "dead letters"];
    if with_broker {
        header.extend(["ready", "consumers"]);
    }
    let mut table = Columns::dense(&header, &[2, 3, 5, 6]);
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    for row in rows {
        let ttl = row.time_to_live_ms.map(Duration::from_millis);
        let exchange = row.bound_to.as_deref();
        let exchange = exchange.and_then(|route| route.split_once('/'));
        let mut cells = vec![
            bold(&row.name),
            // The key is the end of the queue's name.
            plain(exchange.map_or("", |(exchange, _)| exchange)),
            plain(ttl.map(short).unwrap_or_default()),
            plain(number(row.delivery_limit.map(u64::from))),
            plain(row.dead_letters.unwrap_or_default()),
        ];
        match row.declared {
            Some(true) => {
                cells.push(plain(number(row.ready)));
                cells.push(plain(number(row.consumers.map(u64::from))));
            }
            Some(false) => cells.push(bad("missing")),
            None => {}
        }
        table.row(cells);
    }
    table.text()
}

/// As in queues.toml, where days have one letter.
fn short(time: Duration) -> String {
    match time.as_secs() / 86_400 {
        days @ 1.. if time == Duration::from_hours(days * 24) => format!("{days}d"),
        _ => format_duration(time),
    }
}

async fn diff(wanted: Wanted) -> Result<Exit, Error> {
    let problems = problems(&wanted).await?;
    let mut out = Stdout::new();
    for problem in &problems {
        out.write(&format!("{problem}\n"))?;
    }
    if problems.is_empty() {
        let (count, of) = (wanted.topology.queues.len(), of(&wanted.regions));
        anstream::eprintln!("all {count} queues{of} are as they should be");
        return Ok(Exit::Ok);
    }
    let missing = |problem: &TopologyProblem| {
        matches!(
            problem,
            TopologyProblem::Missing(_) | TopologyProblem::MissingBinding { .. }
        )
    };
    if problems.iter().any(missing) {
        anstream::eprintln!("`sonde queues apply` declares what is missing");
    }
    if problems
        .iter()
        .any(|problem| matches!(problem, TopologyProblem::Conflict { .. }))
    {
        anstream::eprintln!(
            "a queue that differs must be emptied and deleted before it can be declared anew"
        );
    }
    Ok(Exit::Failed)
}

async fn problems(wanted: &Wanted) -> Result<Vec<TopologyProblem>, Error> {
    let topology = &wanted.topology;
    if let Some(management) = services::management(&wanted.settings)? {
        let problems = management.diff(topology).await;
        let problems = problems.context("cannot compare with the broker's management API");
        return Ok(problems?);
    }
    let broker = services::broker(&wanted.settings, "sonde queues").await?;
    let problems = broker.verify(topology).await;
    let problems = problems.context("cannot compare with the broker's queues")?;
    broker.close().await;
    Ok(problems)
}

async fn apply(wanted: Wanted) -> Result<Exit, Error> {
    let Wanted {
        settings,
        regions,
        topology,
    } = wanted;
    let broker = services::broker(&settings, "sonde queues").await?;
    let before = broker.verify(&topology).await;
    let before = before.context("cannot look at the broker's queues")?;
    let declared = broker.declare(&topology).await;
    declared.context("cannot declare the queues: `sonde queues diff` tells what is in the way")?;
    broker.close().await;
    let new = before.iter().filter_map(|problem| match problem {
        TopologyProblem::Missing(queue) => Some(queue.to_string()),
        _ => None,
    });
    let new: Vec<String> = new.collect();
    let mut out = Stdout::new();
    for queue in &new {
        out.write(&format!("{queue}\n"))?;
    }
    let (all, of, new) = (topology.queues.len(), of(&regions), new.len());
    anstream::eprintln!(
        "declared {new} of {all} queues{of}; {} were there already",
        all - new
    );
    Ok(Exit::Ok)
}

/// ` of fra, iad`
fn of(regions: &[Region]) -> String {
    let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(" of {}", names.join(", "))
}
