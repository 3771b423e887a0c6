//! What results look like on standard output, one file per format.

pub(crate) mod answers;
pub(crate) mod detail;
mod hints;
pub(crate) mod json;
mod junit;
mod lines;
pub(crate) mod plan;
mod prometheus;
mod style;
pub(crate) mod table;
mod tap;
#[cfg(test)]
mod tests;
mod waterfall;

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use sonde_core::{CheckResult, Monitor, Outcome};

pub(crate) use lines::Columns;
pub(crate) use style::show_micros;

/// Standard output. A reader that has gone away (`sonde check | head`) is no error: the exit code still tells.
pub(crate) struct Stdout(anstream::AutoStream<io::Stdout>);

impl Stdout {
    /// Colour only where the terminal has it.
    pub(crate) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// Writes and flushes, so that what streams arrives as it happens.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let written = self
            .0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        }
    }
}

/// What a terminal must not see of somebody else's text is escaped.
pub(crate) fn visible(text: &str) -> String {
    sonde_config::visible(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Pretty,
    /// One document with a summary and all results
    Json,
    /// One result per line, as checks finish
    Ndjson,
    #[value(help = "JUnit XML, for CI servers")]
    Junit,
    /// Test Anything Protocol 14
    Tap,
    /// Prometheus exposition text
    Prometheus,
}

/// How a whole run went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) total: usize,
    pub(crate) ok: usize,
    pub(crate) degraded: usize,
    pub(crate) failed: usize,
    pub(crate) missed: usize,
    /// Of the run, not the sum of its checks.
    pub(crate) duration_us: u64,
}

impl Summary {
    pub(crate) fn new(results: &[CheckResult], took: Duration) -> Self {
        let count = |outcome| {
            results
                .iter()
                .filter(|result| result.outcome == outcome)
                .count()
        };
        Self {
            total: results.len(),
            ok: count(Outcome::Ok),
            degraded: count(Outcome::Degraded),
            failed: count(Outcome::Failed),
            missed: count(Outcome::Missed),
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Writes the results of a run: what streams as it comes, the rest at the end.
pub(crate) struct Report {
    format: Format,
    columns: Columns,
    written: usize,
}

impl Report {
    pub(crate) fn new<'a>(format: Format, monitors: impl Iterator<Item = &'a Monitor>) -> Self {
        Self {
            format,
            columns: Columns::of(monitors),
            written: 0,
        }
    }

    /// What goes before the first of `total` results.
    pub(crate) fn head(&self, total: usize) -> String {
        match self.format {
            Format::Tap => tap::head(total),
            _ => String::new(),
        }
    }

    /// What a result is shown as when it comes; nothing in formats that are one document.
    pub(crate) fn result(&mut self, result: &CheckResult) -> anyhow::Result<String> {
        self.written += 1;
        match self.format {
            Format::Pretty => Ok(lines::result(result, &self.columns)),
            Format::Ndjson => json::line(result),
            Format::Tap => Ok(tap::result(self.written, result)),
            Format::Json | Format::Junit | Format::Prometheus => Ok(String::new()),
        }
    }

    /// What goes after the last result; `results` are in the configuration's order.
    pub(crate) fn tail(
        &self,
        results: &[CheckResult],
        summary: &Summary,
    ) -> anyhow::Result<String> {
        match self.format {
            Format::Pretty => Ok(lines::summary(summary)),
            Format::Json => json::document(results, summary),
            Format::Junit => junit::document(results, summary),
            Format::Prometheus => Ok(prometheus::exposition(results)),
            Format::Ndjson | Format::Tap => Ok(String::new()),
        }
    }
}
