//! `sonde check` for people: an aligned line per monitor, what went wrong below it, a summary at the end.

use std::fmt::Write as _;

use sonde_core::{CheckResult, Monitor, Outcome};

use super::style::{BOLD, DIM, mark, outcome_style, paint, show_micros};
use super::{Summary, detail};

/// Names longer than this push their own line out instead of everyone's.
const WIDEST_ID: usize = 32;

/// Widths that all lines of a run share; known before the first result comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns {
    id: usize,
    kind: usize,
}

impl Columns {
    pub(crate) fn of<'a>(monitors: impl Iterator<Item = &'a Monitor>) -> Self {
        monitors.fold(Self { id: 0, kind: 0 }, |widest, monitor| Self {
            id: widest.id.max(monitor.id.as_str().len()).min(WIDEST_ID),
            kind: widest.kind.max(monitor.spec.kind().as_str().len()),
        })
    }
}

pub(super) fn result(result: &CheckResult, columns: &Columns) -> String {
    let style = outcome_style(result.outcome);
    let total = result.total_us.map_or_else(|| "–".to_owned(), show_micros);
    let mut text = format!(
        "{} {:id$}  {total:>8}  {:kind$}  {}",
        paint(style, mark(result.outcome)),
        paint(BOLD, &result.monitor),
        result.kind,
        paint(DIM, &result.target),
        id = columns.id,
        kind = columns.kind,
    );
    if let Some(reason) = result.reason {
        let _ = write!(text, "  {}", paint(style, reason));
    }
    if result.outcome != Outcome::Ok {
        for line in detail::what_went_wrong(result).lines() {
            let _ = write!(text, "\n    {line}");
        }
    }
    text + "\n"
}

/// `4 checks: 1 ok, 3 failed, in 1.23 s`; only outcomes that occurred.
pub(super) fn summary(summary: &Summary) -> String {
    let outcomes = [
        (summary.ok, Outcome::Ok),
        (summary.degraded, Outcome::Degraded),
        (summary.failed, Outcome::Failed),
        (summary.missed, Outcome::Missed),
    ];
    let shown = outcomes
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, outcome)| {
            let text = format!("{count} {outcome}");
            paint(outcome_style(outcome), text).to_string()
        });
    let shown: Vec<String> = shown.collect();
    let checks = if summary.total == 1 {
        "check"
    } else {
        "checks"
    };
    format!(
        "\n{} {checks}: {}, in {}\n",
        summary.total,
        shown.join(", "),
        show_micros(summary.duration_us)
    )
}
