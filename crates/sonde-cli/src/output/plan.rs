//! What a plan changes, for people: a line per thing, and below it one per value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use sonde_core::Monitor;
use sonde_service::{Action, FieldChange, Plan};
use sonde_store::ResourceKind;

use super::style::{DIM, RED, YELLOW, cut, paint};
use super::visible;

const GREEN: Style = AnsiColor::Green.on_default();

/// Longer values are told apart by their beginnings.
const WIDEST: usize = 200;

/// `monitors` are those of the file: what is new is shown with its target.
pub(crate) fn changes(plan: &Plan, monitors: &[Monitor]) -> String {
    let targets = monitors.iter().map(|one| (one.id.as_str(), one.target()));
    let targets: BTreeMap<&str, String> = targets.collect();
    let mut out = String::new();
    for change in &plan.changes {
        let (style, mark) = match change.action {
            Action::Create => (GREEN, '+'),
            Action::Update => (YELLOW, '~'),
            Action::Remove => (RED, '-'),
        };
        let what = match change.kind {
            ResourceKind::Monitor => String::new(),
            other => format!("{other} "),
        };
        let id = visible(&change.id);
        let _ = write!(out, "{}", paint(style, format!("{mark} {what}{id}")));
        if let (Action::Create, ResourceKind::Monitor, Some(target)) =
            (change.action, change.kind, targets.get(change.id.as_str()))
        {
            let _ = write!(out, "  {}", paint(DIM, visible(target)));
        }
        out.push('\n');
        for field in &change.fields {
            let _ = writeln!(out, "    {}", self::field(field));
        }
    }
    out
}

/// How many things come, change, go, and stay.
pub(crate) fn summary(plan: &Plan) -> String {
    let [create, update, remove] = counts(plan);
    let unchanged = plan.unchanged;
    format!("{create} to add, {update} to change, {remove} to remove, {unchanged} as wanted")
}

/// Those that come, change and go.
pub(crate) fn counts(plan: &Plan) -> [usize; 3] {
    [Action::Create, Action::Update, Action::Remove].map(|action| {
        let same = plan.changes.iter().filter(|one| one.action == action);
        same.count()
    })
}

fn field(field: &FieldChange) -> String {
    let (before, after) = (value(field.before.as_ref()), value(field.after.as_ref()));
    let note = match field.secret {
        true if before == after => "  (a different secret)",
        true => "  (a secret)",
        false => "",
    };
    format!(
        "{}: {before} → {after}{}",
        visible(&field.path),
        paint(DIM, note)
    )
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None => return "nothing".to_owned(),
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(other) => other.to_string(),
    };
    cut(&visible(&text), WIDEST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_by_monitor_and_value() {
        let plan: Plan = serde_json::from_value(json!({ "unchanged": 3, "fingerprint": "ab", "changes": [
            { "id": "shop", "action": "create", "fields": [] },
            { "id": "db", "action": "update", "fields": [
                { "path": "interval", "before": "30s", "after": "1m", "secret": false },
                { "path": "retries", "before": 1, "after": 2, "secret": false },
                { "path": "tags[0]", "before": "a\u{1b}[31m", "secret": false },
                { "path": "tags[1]", "after": "", "secret": false },
                { "path": "http.auth.bearer", "before": "REDACTED", "after": "REDACTED", "secret": true },
                { "path": "tls", "after": { "ca": "REDACTED" }, "secret": true },
            ] },
            { "id": "gone", "action": "remove", "fields": [] },
            { "kind": "channel", "id": "shop", "action": "create", "fields": [] },
            { "kind": "maintenance", "id": "nightly", "action": "remove", "fields": [] },
        ] }))
        .unwrap();
        let text = changes(&plan, &[Monitor::sample()]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text), @r#"
        + shop  http://shop.example/health
        ~ db
            interval: 30s → 1m
            retries: 1 → 2
            tags[0]: a\u{1b}[31m → nothing
            tags[1]: nothing → ""
            http.auth.bearer: REDACTED → REDACTED  (a different secret)
            tls: nothing → {"ca":"REDACTED"}  (a secret)
        - gone
        + channel shop
        - maintenance nightly
        "#);
        assert_eq!(
            summary(&plan),
            "2 to add, 1 to change, 2 to remove, 3 as wanted"
        );
    }
}
