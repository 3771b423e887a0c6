//! `sonde ledger`: proof that no check was lost.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use sonde_core::{
    Balance, Check, Clock as _, DispatchGap, Region, SystemClock, Timestamp, parse_duration,
};
use sonde_results::TimeRange;
use sonde_results::libsql::Accounting;

use crate::data;
use crate::exit::{Error, Exit};

/// After its deadline a check is being stored, or it is lost.
const SETTLE: Duration = Duration::from_mins(1);

/// Show that every scheduled check is accounted for
///
/// For every minute and region: scheduled = ok + degraded + failed + missed + in flight. Exit code 1 when a minute does
/// not balance. Reads the data directory of `sonde up`, running or not.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The data directory of `sonde up`
    #[arg(
        long,
        value_name = "DIR",
        env = "SONDE_DATA",
        default_value = "sonde-data"
    )]
    data: PathBuf,
    /// How far to look back
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    since: Duration,
    #[arg(long, value_enum, default_value = "pretty")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Pretty,
    Json,
}

/// A minute and region, with the tasks that are still on their way.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    balance: Balance,
    in_flight: u64,
    balanced: bool,
}

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
    let path = data::results(&options.data);
    if !path.exists() {
        let message = format!(
            "{} has no results: start `sonde up` first, or name its directory with --data",
            options.data.display()
        );
        return Err(Error::usage(message));
    }
    let ledger = Ledger::read(&path, options.since).await?;
    match options.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&ledger).context("cannot write JSON")?;
            anstream::println!("{text}");
        }
        Format::Pretty => ledger.print(),
    }
    Ok(if ledger.balanced {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

impl Ledger {
    async fn read(path: &Path, since: Duration) -> anyhow::Result<Self> {
        let now = SystemClock.now();
        let range = TimeRange {
            from: (now - since).floor(MINUTE),
            to: now + MINUTE,
        };
        let accounting = Accounting::read(path, range).await;
        let accounting = accounting.context("cannot read the ledger")?;
        let in_flight = in_flight(&accounting.unsettled, now);
        let minutes: Vec<_> = accounting
            .balances
            .into_iter()
            .map(|balance| row(balance, &in_flight))
            .collect();
        let balanced = minutes.iter().all(|row| row.balanced);
        Ok(Self {
            from: range.from,
            to: range.to,
            balanced,
            minutes,
            gaps: accounting.gaps,
        })
    }

    fn print(&self) {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([
            "minute",
            "region",
            "scheduled",
            "ok",
            "degraded",
            "failed",
            "missed",
            "in flight",
            "",
        ]);
        for column in table.column_iter_mut().skip(2).take(6) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for Row {
            balance,
            in_flight,
            balanced,
        } in &self.minutes
        {
            let mark = if *balanced { "" } else { "DOES NOT BALANCE" };
            let minute = balance.minute.to_string();
            let minute = minute.get(..16).unwrap_or_default().replace('T', " ");
            let counts = [
                balance.scheduled,
                balance.ok,
                balance.degraded,
                balance.failed,
                balance.missed,
            ];
            let mut cells = vec![minute, balance.region.to_string()];
            cells.extend(counts.iter().chain([in_flight]).map(ToString::to_string));
            cells.push(mark.to_owned());
            table.add_row(cells);
        }
        anstream::println!("{table}");
        for gap in &self.gaps {
            anstream::println!("nothing was dispatched from {} to {}", gap.from, gap.to);
        }
        let scheduled: u64 = self.minutes.iter().map(|row| row.balance.scheduled).sum();
        let verdict = if self.balanced {
            "balances"
        } else {
            "DOES NOT BALANCE"
        };
        anstream::println!(
            "{scheduled} checks scheduled since {}: the ledger {verdict}",
            self.from
        );
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// Tasks that may still settle, by minute and region.
fn in_flight(unsettled: &[Check], now: Timestamp) -> HashMap<(Timestamp, Region), u64> {
    let mut counts = HashMap::new();
    for check in unsettled
        .iter()
        .filter(|check| check.deadline + SETTLE > now)
    {
        *counts
            .entry((check.slot.floor(MINUTE), check.region.clone()))
            .or_default() += 1;
    }
    counts
}

fn row(balance: Balance, in_flight: &HashMap<(Timestamp, Region), u64>) -> Row {
    let place = (balance.minute, balance.region.clone());
    let in_flight = in_flight.get(&place).copied().unwrap_or(0);
    Row {
        balanced: balance.scheduled == balance.settled() + in_flight,
        in_flight,
        balance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scheduled: u64, ok: u64, waiting: u64, balanced: bool) {
        let minute = Timestamp::UNIX_EPOCH;
        let balance = Balance {
            scheduled,
            ok,
            ..Balance::empty(minute, Region::local())
        };
        let waiting = HashMap::from([((minute, Region::local()), waiting)]);
        assert_eq!(
            row(balance, &waiting).balanced,
            balanced,
            "{scheduled} {ok}"
        );
    }

    #[test]
    fn a_minute_balances_with_what_is_still_in_flight() {
        check(10, 10, 0, true);
        check(10, 8, 2, true);
        check(10, 8, 1, false);
        check(10, 10, 2, false);
        check(10, 11, 0, false);
    }
}
