//! `sonde ledger`: proof that no check was lost.

mod state;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use sonde_config::settings::Settings;
use sonde_core::{Clock as _, DispatchGap, SystemClock, Timestamp, parse_duration};
use sonde_results::libsql::Accounting;
use sonde_results::{Results, TimeRange};

use self::state::{Row, State};
use crate::data;
use crate::exit::{Error, Exit};
use crate::output::Stdout;
use crate::output::table::{Columns, bad, dim, plain};
use crate::services::{self, ServiceOptions};

/// Show that every scheduled check is accounted for
///
/// For every minute and region: scheduled = ok + degraded + failed + missed, once all of them had their time. Exit
/// code 1 when a minute does not balance. Reads ClickHouse where it is set and --data is not, else the data directory
/// of `sonde up`, running or not.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(
        long,
        value_name = "DIR",
        help = "The data directory of `sonde up` [env: SONDE_DATA] [default: sonde-data]"
    )]
    data: Option<PathBuf>,
    /// How far to look back
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    since: Duration,
    /// How long after its deadline a check may take to be stored [default: 1m; 5m in ClickHouse]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    settle: Option<Duration>,
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

/// After its deadline a check of one machine is being stored, or it is lost.
const SETTLE: Duration = Duration::from_mins(1);
/// A broker that crashed holds expired tasks for three minutes before it lets go of them.
const FLEET_SETTLE: Duration = Duration::from_mins(5);
const MINUTE: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct Ledger {
    from: Timestamp,
    to: Timestamp,
    balanced: bool,
    minutes: Vec<Row>,
    /// Times in which nothing was dispatched, and which no row stands for.
    gaps: Vec<DispatchGap>,
}

pub(crate) async fn run(options: Options) -> Result<Exit, Error> {
    let settings = options.services.settings()?;
    let now = SystemClock.now();
    let range = TimeRange {
        from: (now - options.since).floor(MINUTE),
        to: now + MINUTE,
    };
    let ledger = match (&options.data, &settings.clickhouse.url) {
        (None, Some(_)) => {
            let settle = options.settle.unwrap_or(FLEET_SETTLE);
            Ledger::of_fleet(&settings, range, now, settle).await?
        }
        (directory, _) => {
            let directory = directory.as_deref().unwrap_or(&settings.run.data);
            let settle = options.settle.unwrap_or(SETTLE);
            Ledger::of_machine(&results_file(directory)?, range, now, settle).await?
        }
    };
    let text = match options.format {
        Format::Json => serde_json::to_string_pretty(&ledger).context("cannot write JSON")? + "\n",
        Format::Pretty => ledger.picture(),
    };
    Stdout::new().write(&text)?;
    Ok(if ledger.balanced {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn results_file(directory: &Path) -> Result<PathBuf, Error> {
    let path = data::results(directory);
    if path.exists() {
        return Ok(path);
    }
    Err(Error::usage(format!(
        "{} has no results: start `sonde up` first, name its directory with --data, or a fleet's results with \
         --clickhouse-url or SONDE_CLICKHOUSE_URL",
        directory.display()
    )))
}

impl Ledger {
    async fn of_machine(
        path: &Path,
        range: TimeRange,
        now: Timestamp,
        settle: Duration,
    ) -> anyhow::Result<Self> {
        let accounting = Accounting::read(path, range).await;
        let accounting = accounting.context("cannot read the ledger")?;
        let in_flight = state::in_flight(&accounting.unsettled, now, settle);
        let minutes = accounting.balances.into_iter();
        let minutes = minutes.map(|balance| Row::with_journal(balance, &in_flight));
        Ok(Self::new(range, minutes.collect(), accounting.gaps))
    }

    async fn of_fleet(
        settings: &Settings,
        range: TimeRange,
        now: Timestamp,
        settle: Duration,
    ) -> Result<Self, Error> {
        let results = services::clickhouse(settings)?;
        let balances = results.balances(range).await;
        let place = || {
            let url = settings.clickhouse.url.as_ref();
            let url = url.map(ToString::to_string).unwrap_or_default();
            format!("cannot read the ledger at {url}")
        };
        let balances = balances.with_context(place)?.into_iter();
        let minutes = balances.map(|balance| Row::by_deadline(balance, now, settle));
        let gaps = results.gaps(range).await.with_context(place)?;
        Ok(Self::new(range, minutes.collect(), gaps))
    }

    fn new(range: TimeRange, minutes: Vec<Row>, gaps: Vec<DispatchGap>) -> Self {
        Self {
            from: range.from,
            to: range.to,
            balanced: minutes.iter().all(|row| row.balanced),
            minutes,
            gaps: DispatchGap::united(gaps),
        }
    }

    fn picture(&self) -> String {
        let mut text = match self.minutes.as_slice() {
            [] => String::new(),
            _ => self.table().text(),
        };
        for gap in &self.gaps {
            let _ = writeln!(
                text,
                "nothing was dispatched from {} to {}",
                gap.from, gap.to
            );
        }
        let scheduled: u64 = self.minutes.iter().map(|row| row.balance.scheduled).sum();
        let verdict = if self.balanced {
            "balances"
        } else {
            "DOES NOT BALANCE"
        };
        let from = self.from;
        let _ = writeln!(
            text,
            "{scheduled} checks scheduled since {from}: the ledger {verdict}"
        );
        text
    }

    fn table(&self) -> Columns {
        let mut table = Columns::new(
            &[
                "minute",
                "region",
                "scheduled",
                "ok",
                "degraded",
                "failed",
                "missed",
                "in flight",
                "",
            ],
            &[2, 3, 4, 5, 6, 7],
        );
        for row in &self.minutes {
            let Row {
                balance, in_flight, ..
            } = row;
            let minute = balance.minute.to_string();
            let minute = minute.get(..16).unwrap_or_default().replace('T', " ");
            let counts = [
                balance.scheduled,
                balance.ok,
                balance.degraded,
                balance.failed,
                balance.missed,
                *in_flight,
            ];
            let mut cells = vec![plain(minute), plain(&balance.region)];
            cells.extend(counts.map(plain));
            cells.push(match row.state {
                State::Balanced => plain(""),
                State::Open => dim("open"),
                State::Unbalanced => bad(row.fault()),
            });
            table.row(cells);
        }
        table
    }
}
