//! `sonde probe --regions`: what each region answered, as it comes, and what came of all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use sonde_core::{CheckResult, Outcome, Region, Timestamp, format_duration};

use super::style::{BOLD, DIM, mark, outcome_style, paint};
use super::{Summary, detail, json, lines};

#[derive(Serialize)]
struct Document<'a> {
    summary: Summary,
    results: &'a [CheckResult],
    unanswered: &'a BTreeSet<Region>,
}

/// One region's result, as `sonde probe` shows its own.
pub(crate) fn answer(result: &CheckResult, now: Timestamp) -> String {
    let checker = result.checker.as_ref().map_or_else(String::new, |checker| {
        let by = format!("  {} ({})", checker.id, checker.version);
        paint(DIM, by).to_string()
    });
    let region = paint(BOLD, &result.region);
    format!("{region}{checker}\n{}\n", detail::picture(result, now))
}

/// The regions that did not answer, then how many did and how.
pub(crate) fn ending(
    results: &[CheckResult],
    unanswered: &BTreeSet<Region>,
    waited: Duration,
) -> String {
    let style = outcome_style(Outcome::Missed);
    let waited = format_duration(waited);
    let missing = unanswered.iter().map(|region| {
        let (mark, region) = (paint(style, mark(Outcome::Missed)), paint(BOLD, region));
        let text = paint(style, format!("no answer within {waited}"));
        format!("{mark} {region}  {text}\n")
    });
    let mut text: String = missing.collect();
    if results.len() + unanswered.len() > 1 && !results.is_empty() {
        text += lines::summary(&summary(results)).trim_start_matches('\n');
    }
    text
}

/// All answers as one document.
pub(crate) fn document(
    results: &[CheckResult],
    unanswered: &BTreeSet<Region>,
) -> anyhow::Result<String> {
    json::pretty(&Document {
        summary: summary(results),
        results,
        unanswered,
    })
}

/// They ran at the same time: together they took as long as the longest.
fn summary(results: &[CheckResult]) -> Summary {
    let longest = results.iter().filter_map(|result| result.total_us).max();
    Summary::new(results, Duration::from_micros(longest.unwrap_or(0)))
}
