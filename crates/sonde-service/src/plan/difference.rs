//! Which values are different, in the words of `sonde.yaml`.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::Index;
use sonde_config::monitor_to_json;
use sonde_core::Monitor;

use super::FieldChange;

/// A value as it is, and as it may be seen; the two have the same shape.
#[derive(Clone, Copy)]
struct Pair<'a> {
    real: &'a Value,
    masked: &'a Value,
}

/// Empty when both mean the same. Only what is shown is compared: what is finer than that is lost when it is stored.
pub(super) fn between(before: &Monitor, after: &Monitor) -> Vec<FieldChange> {
    let masked = |monitor: &Monitor| {
        monitor_to_json(&Monitor {
            spec: monitor.spec.masked(),
            ..monitor.clone()
        })
    };
    let real = (monitor_to_json(before), monitor_to_json(after));
    if real.0 == real.1 {
        return Vec::new();
    }
    of(&real.0, &masked(before), &real.1, &masked(after))
}

/// The same of any two values, each as it is and as it may be seen.
pub(super) fn of(
    before: &Value,
    before_masked: &Value,
    after: &Value,
    after_masked: &Value,
) -> Vec<FieldChange> {
    let pair = |real, masked| Some(Pair { real, masked });
    let mut changes = Vec::new();
    let (before, after) = (pair(before, before_masked), pair(after, after_masked));
    walk("", before, after, &mut changes);
    changes
}

/// Depth is that of `sonde.yaml`: a few levels.
fn walk(path: &str, before: Option<Pair<'_>>, after: Option<Pair<'_>>, to: &mut Vec<FieldChange>) {
    if before.map(|pair| pair.real) == after.map(|pair| pair.real) {
        return;
    }
    match (before.map(|pair| pair.real), after.map(|pair| pair.real)) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{key}");
                let (before, after) = (below(before, key.as_str()), below(after, key.as_str()));
                walk(&path, before, after, to);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for n in 0..a.len().max(b.len()) {
                let (before, after) = (below(before, n), below(after, n));
                walk(&format!("{path}[{n}]"), before, after, to);
            }
        }
        _ => to.push(FieldChange {
            path: path.to_owned(),
            before: before.map(|pair| pair.masked.clone()),
            after: after.map(|pair| pair.masked.clone()),
            secret: [before, after].into_iter().flatten().any(Pair::is_secret),
        }),
    }
}

fn below(pair: Option<Pair<'_>>, index: impl Index + Copy) -> Option<Pair<'_>> {
    let Pair { real, masked } = pair?;
    Some(Pair {
        real: real.get(index)?,
        masked: masked.get(index)?,
    })
}

impl Pair<'_> {
    fn is_secret(self) -> bool {
        self.real != self.masked
    }
}
