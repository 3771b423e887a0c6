//! `sonde fleet`: which regions there are, who checks in them, and what waits for them and for the store.

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use sonde_core::{Clock as _, Region, SystemClock, Timestamp, parse_duration};
use sonde_queue::fleet::CheckerStatus;
use sonde_service::fleet::{Backlog, Fleet, RegionView, Waiting};

use crate::exit::{Error, Exit};
use crate::output::table::{Columns, bad, bold, plain, warning};
use crate::output::{Stdout, show_micros};
use crate::services::{self, ServiceOptions};

/// Beyond it results are marked suspect.
const CLOCK_SUSPECT: Duration = Duration::from_secs(30);
/// Clocks that are kept by anything differ by less.
const CLOCK_ODD: Duration = Duration::from_secs(1);

/// Show the fleet: regions, their checkers, and what waits in their queues
///
/// Asks every checker how it is. Exit code 1 when a region has no checker.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Regions that there should be, separated by commas; by default those of the configuration
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<Region>,
    /// How long checkers have to answer
    #[arg(long, value_name = "DURATION", default_value = "1500ms", value_parser = parse_duration)]
    wait: Duration,
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
    #[command(flatten)]
    services: ServiceOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Pretty,
    /// One JSON document
    Json,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let settings = options.services.settings()?;
    let queues = services::queue_settings(&settings)?;
    let broker = services::broker(&settings, "sonde fleet").await?;
    let expected = if options.regions.is_empty() && settings.libsql.location.is_some() {
        services::regions(&settings).await?
    } else {
        options.regions
    };
    let known = !expected.is_empty();
    let fleet = Fleet::gather(&broker, &broker, &queues, expected, options.wait).await;
    let fleet = fleet.context("cannot ask the fleet")?;
    broker.close().await;
    let text = match options.format {
        Format::Json => serde_json::to_string_pretty(&fleet).context("cannot write JSON")? + "\n",
        Format::Pretty => View(&fleet).picture(SystemClock.now()),
    };
    Stdout::new().write(&text)?;
    if !known {
        anstream::eprintln!(
            "regions without checkers cannot be seen: name the regions with --regions, or the configuration with \
             --libsql-url or SONDE_LIBSQL_URL"
        );
    }
    Ok(View(&fleet).exit())
}

/// A fleet, for people.
struct View<'a>(&'a Fleet);

impl View<'_> {
    fn exit(&self) -> Exit {
        if self.0.regions.is_empty() || self.0.regions.iter().any(|view| view.checkers.is_empty()) {
            Exit::Failed
        } else {
            Exit::Ok
        }
    }

    fn picture(&self, now: Timestamp) -> String {
        let mut text = if self.0.regions.is_empty() {
            "no checker answered\n".to_owned()
        } else {
            self.regions_table().text()
        };
        let mut checkers = self.0.regions.iter().flat_map(|view| &view.checkers);
        if let Some(first) = checkers.next() {
            let mut table = Columns::new(
                &[
                    "region",
                    "checker",
                    "version",
                    "up",
                    "in flight",
                    "executed",
                    "waited",
                    "clock",
                    "",
                ],
                &[3, 4, 5, 6, 7],
            );
            for checker in std::iter::once(first).chain(checkers) {
                table.row(checker_cells(checker, now));
            }
            text.push('\n');
            text.push_str(&table.text());
        }
        text.push('\n');
        text.push_str(&backlog_line(&self.0.backlog));
        text
    }

    fn regions_table(&self) -> Columns {
        let mut table = Columns::new(
            &["region", "checkers", "waiting", "consumers", ""],
            &[1, 2, 3],
        );
        for RegionView {
            region,
            checkers,
            queues,
        } in &self.0.regions
        {
            let count = checkers.len();
            let (ready, consumers) = match queues {
                Some(Waiting { ready, consumers }) => (ready.to_string(), consumers.to_string()),
                None => ("–".to_owned(), "–".to_owned()),
            };
            let note = match (count, queues) {
                (0, _) => bad("NO CHECKER"),
                (_, None) => bad("queues missing: sonde queues apply"),
                _ if checkers.iter().all(|checker| checker.draining) => bad("all are stopping"),
                _ => plain(""),
            };
            table.row([
                bold(region),
                if count == 0 { bad(count) } else { plain(count) },
                plain(ready),
                plain(consumers),
                note,
            ]);
        }
        table
    }
}

fn backlog_line(backlog: &Backlog) -> String {
    let count = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |it| it.to_string());
    let (results, dead) = (count(backlog.results), count(backlog.dead));
    format!("messages not stored yet: results {results}, dead letters {dead}\n")
}

fn checker_cells(checker: &CheckerStatus, now: Timestamp) -> [comfy_table::Cell; 9] {
    let CheckerStatus {
        id,
        version,
        region,
        started_at,
        in_flight,
        permits,
        executed,
        queue_wait_us,
        clock_offset_us,
        unwell,
        draining,
    } = checker;
    let busy = format!("{in_flight}/{permits}");
    let note = match (unwell, draining) {
        (Some(why), _) => bad(format!("unwell: {why}")),
        (None, true) => warning("stopping"),
        (None, false) => plain(""),
    };
    [
        bold(region),
        plain(id),
        plain(version),
        plain(age(now.since(*started_at))),
        if in_flight >= permits {
            warning(busy)
        } else {
            plain(busy)
        },
        plain(executed),
        plain(show_micros(*queue_wait_us)),
        clock(*clock_offset_us),
        note,
    ]
}

/// What the checker's clock is ahead (+) or behind (-) the leader's.
fn clock(behind_us: Option<i64>) -> comfy_table::Cell {
    let Some(behind) = behind_us else {
        return plain("–");
    };
    let sign = if behind > 0 { '-' } else { '+' };
    let off = Duration::from_micros(behind.unsigned_abs());
    let text = format!("{sign}{}", show_micros(behind.unsigned_abs()));
    if off > CLOCK_SUSPECT {
        bad(text)
    } else if off > CLOCK_ODD {
        warning(text)
    } else {
        plain(text)
    }
}

/// The two largest units: `3d 4h`, `12m 5s`, `40s`.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let first = units.iter().position(|(size, _)| seconds >= *size);
    let first = first.unwrap_or(units.len() - 1);
    let mut left = seconds;
    let parts = units.iter().skip(first).take(2).map(|(size, name)| {
        let count = left / size;
        left %= size;
        (count, name)
    });
    let parts: Vec<String> = parts
        .enumerate()
        .filter(|(n, (count, _))| *n == 0 || *count > 0)
        .map(|(_, (count, name))| format!("{count}{name}"))
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sonde_core::{Frequency, FrequencyClass, Monitor, QueueSettings};
    use sonde_queue::memory::MemoryQueue;
    use sonde_queue::{Outgoing, Queue as _, QueueName, Route, Topology};

    use super::*;

    fn settings() -> QueueSettings {
        QueueSettings {
            retry: Monitor::sample().retry,
            delivery_limit: 3,
            frequencies: vec![FrequencyClass {
                name: Frequency::new("1m").unwrap(),
                period: Duration::from_mins(1),
                prefetch: 10,
            }],
            partitions: 2,
            alerting: false,
        }
    }

    async fn look(queue: &MemoryQueue) -> (serde_json::Value, String) {
        let regions = vec![Region::local()];
        let fleet = Fleet::gather(queue, queue, &settings(), regions, Duration::ZERO).await;
        let fleet = fleet.unwrap();
        let picture = View(&fleet).picture(Timestamp::UNIX_EPOCH);
        let last = picture.lines().last().unwrap().to_owned();
        (serde_json::to_value(fleet).unwrap(), last)
    }

    #[tokio::test]
    async fn what_is_not_stored_yet_is_counted_over_all_partitions() {
        let queue = MemoryQueue::new();
        let (document, line) = look(&queue).await;
        assert_eq!(document["backlog"], json!({"results": null, "dead": 0}));
        assert_eq!(line, "messages not stored yet: results –, dead letters 0");

        let topology = Topology::new(&settings(), &[Region::local()], 2);
        queue.declare(&topology).await.unwrap();
        let message = |partition| Outgoing {
            route: Route::Results { partition },
            payload: Vec::new(),
        };
        let messages = [0, 1, 1].map(message).to_vec();
        queue.publish(messages).await.unwrap();
        let (region, payload) = (Region::local(), Vec::new());
        let route = Route::Now { region };
        let task = Outgoing { route, payload };
        queue.publish(vec![task.clone(), task]).await.unwrap();
        let region = Region::local();
        let name = QueueName::Now { region };
        let mut consumer = queue.consume(&name, 1).await.unwrap();
        consumer.receive().await.unwrap().reject().await.unwrap();
        drop(consumer);
        let (document, line) = look(&queue).await;
        assert_eq!(document["backlog"], json!({"results": 3, "dead": 1}));
        assert_eq!(document["regions"][0]["queues"]["ready"], 1);
        assert_eq!(line, "messages not stored yet: results 3, dead letters 1");
    }
}
