//! TAP 14. What was not executed is `not ok` here: a skipped test would read as a success.

use serde_json::json;
use sonde_core::{CheckResult, Outcome};

pub(super) fn head(total: usize) -> String {
    format!("TAP version 14\n1..{total}\n")
}

/// A test point, with a YAML block when there is more to say. The values are JSON, which YAML contains.
pub(super) fn result(number: usize, result: &CheckResult) -> String {
    let ok = if result.outcome.is_up() {
        "ok"
    } else {
        "not ok"
    };
    let point = format!("{ok} {number} - {}\n", result.monitor);
    if result.outcome == Outcome::Ok {
        return point;
    }
    let failed: Vec<String> = result
        .failed
        .iter()
        .map(|failed| format!("{}, seen {}", failed.assertion, failed.seen))
        .collect();
    let fields = [
        ("message", json!(result.message)),
        ("severity", json!(result.outcome)),
        ("reason", json!(result.reason)),
        ("kind", json!(result.kind)),
        ("target", json!(result.target)),
        ("duration_us", json!(result.total_us)),
        ("failed", json!(failed)),
    ];
    let told = fields
        .iter()
        .filter(|(_, value)| !value.is_null() && *value != json!([]));
    let block: Vec<String> = told
        .map(|(key, value)| format!("  {key}: {value}"))
        .collect();
    format!("{point}  ---\n{}\n  ...\n", block.join("\n"))
}
