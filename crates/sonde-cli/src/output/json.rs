//! JSON: one document for a run, or one line per result. The results are the same objects as everywhere else.

use anyhow::Context as _;
use serde::Serialize;
use sonde_core::CheckResult;

use super::Summary;

#[derive(Serialize)]
struct Document<'a> {
    summary: &'a Summary,
    results: &'a [CheckResult],
}

pub(super) fn document(results: &[CheckResult], summary: &Summary) -> anyhow::Result<String> {
    pretty(&Document { summary, results })
}

/// A single result, indented.
pub(crate) fn single(result: &CheckResult) -> anyhow::Result<String> {
    pretty(result)
}

pub(crate) fn line(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string(value).context("cannot write the result as JSON")?;
    Ok(text + "\n")
}

pub(crate) fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write the results as JSON")?;
    Ok(text + "\n")
}
