//! What is different between what a workspace has and what somebody wants it to have: monitors, and what is beside them.
//!
//! Pure: reads and writes nothing. What it shows has every secret masked.

pub(crate) mod beside;
mod depends;
mod difference;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_config::monitor_to_json;
use sonde_core::{Monitor, MonitorId};
use sonde_store::{ResourceKind, Stored};

/// All that an apply would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Monitors, then channels, then maintenance, each by id.
    pub changes: Vec<Planned>,
    /// How much is wanted as it is.
    pub unchanged: usize,
    fingerprint: String,
}

/// What happens to one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Monitors are all that older servers know.
    #[serde(default = "monitor")]
    pub kind: ResourceKind,
    pub id: String,
    pub action: Action,
    /// Of an update; what comes or goes as a whole is not taken apart.
    pub fields: Vec<FieldChange>,
}

const fn monitor() -> ResourceKind {
    ResourceKind::Monitor
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Create,
    Update,
    Remove,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Remove => "remove",
        }
    }
}

/// One value that is different.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Below the id in `sonde.yaml`: `interval`, `expect[2]`, `http.headers[0].value`.
    pub path: String,
    /// Nothing where it was not set; masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Nothing where it is not set any more; masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Whether it is or holds a secret: both may read the same, and are not.
    #[serde(default)]
    pub secret: bool,
}

/// Why what is wanted cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanProblem {
    /// `monitors.shop` or below.
    pub path: String,
    pub message: String,
}

impl PlanProblem {
    fn new(path: String, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { path, message }
    }
}

impl Plan {
    /// The same for the same changes of the same monitors, in hexadecimal digits: what was shown is what is applied.
    ///
    /// Holds nothing of stored secrets, only the versions of what they are in.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// With what changes beside the monitors.
    pub(crate) fn with(mut self, part: &beside::Part) -> Self {
        self.changes.extend_from_slice(&part.changes);
        self.unchanged += part.unchanged;
        if !part.sent.is_empty() {
            let mut context = Context::new(&SHA256);
            context.update(self.fingerprint.as_bytes());
            for line in &part.sent {
                context.update(b"\n");
                context.update(line.to_string().as_bytes());
            }
            self.fingerprint = hex(context);
        }
        self
    }
}

/// What has to change for the workspace of `stored` to have `wanted`, and the monitors as they are to be put; each id
/// is wanted once.
///
/// Masks in `wanted` mean the secrets that are stored. Whether a monitor is paused is no part of it, unless it is new.
/// With `prune`, what is not wanted goes. What a file at the server keeps does neither change nor go.
pub(crate) fn plan(
    stored: &[Stored<Monitor>],
    wanted: &[Monitor],
    prune: bool,
) -> Result<(Plan, Vec<Monitor>), Vec<PlanProblem>> {
    let mut planning = Planning::new(stored);
    for monitor in wanted {
        planning.want(monitor);
    }
    if prune {
        planning.prune();
    }
    planning.finish(wanted)
}

struct Planning<'a> {
    before: BTreeMap<&'a MonitorId, &'a Stored<Monitor>>,
    wanted: BTreeSet<&'a MonitorId>,
    puts: Vec<Monitor>,
    changes: Vec<Planned>,
    unchanged: usize,
    problems: Vec<PlanProblem>,
}

impl<'a> Planning<'a> {
    fn new(stored: &'a [Stored<Monitor>]) -> Self {
        Self {
            before: stored.iter().map(|one| (&one.value.id, one)).collect(),
            wanted: BTreeSet::new(),
            puts: Vec::new(),
            changes: Vec::new(),
            unchanged: 0,
            problems: Vec::new(),
        }
    }

    fn want(&mut self, monitor: &'a Monitor) {
        let id = &monitor.id;
        self.wanted.insert(id);
        let stored = self.before.get(id).copied();
        let after = match becomes(monitor, stored.map(|stored| &stored.value)) {
            Ok(after) => after,
            Err(problem) => return self.problems.push(problem),
        };
        let Some(stored) = stored else {
            self.change(id, Action::Create, Vec::new());
            return self.puts.push(after);
        };
        let fields = difference::between(&stored.value, &after);
        if fields.is_empty() {
            self.unchanged += 1;
        } else if let Some(file) = &stored.meta.managed_by {
            self.problems.push(unchanged_by_file(path(id), file));
        } else {
            self.change(id, Action::Update, fields);
            self.puts.push(after);
        }
    }

    fn prune(&mut self) {
        let gone: Vec<&MonitorId> = self
            .before
            .values()
            .filter(|stored| stored.meta.managed_by.is_none())
            .map(|stored| &stored.value.id)
            .filter(|id| !self.wanted.contains(id))
            .collect();
        for id in gone {
            self.change(id, Action::Remove, Vec::new());
        }
    }

    fn change(&mut self, id: &MonitorId, action: Action, fields: Vec<FieldChange>) {
        self.changes.push(Planned {
            kind: ResourceKind::Monitor,
            id: id.to_string(),
            action,
            fields,
        });
    }

    fn finish(mut self, wanted: &[Monitor]) -> Result<(Plan, Vec<Monitor>), Vec<PlanProblem>> {
        self.changes.sort_by(|a, b| a.id.cmp(&b.id));
        if self.problems.is_empty() {
            let stored = self.before.values().map(|stored| &stored.value);
            self.problems = depends::problems(stored, &self.changes, &self.puts);
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let plan = Plan {
            fingerprint: self.fingerprint(wanted),
            changes: self.changes,
            unchanged: self.unchanged,
        };
        Ok((plan, self.puts))
    }

    /// Over what was sent, not over what it comes to: a digest of stored secrets could be guessed at.
    fn fingerprint(&self, wanted: &[Monitor]) -> String {
        let wanted = wanted.iter().map(|one| (one.id.as_str(), one));
        let wanted: BTreeMap<_, _> = wanted.collect();
        let versions = self.before.values();
        let versions = versions.map(|one| (one.value.id.as_str(), one.meta.version));
        let versions: BTreeMap<_, _> = versions.collect();
        let mut context = Context::new(&SHA256);
        for change in &self.changes {
            let id = change.id.as_str();
            let version = versions.get(id).copied();
            let body = wanted.get(id).map(|monitor| monitor_to_json(monitor));
            let line = serde_json::json!([change.id, change.action, version, body]);
            context.update(line.to_string().as_bytes());
            context.update(b"\n");
        }
        hex(context)
    }
}

fn hex(context: Context) -> String {
    let mut hex = String::new();
    for byte in context.finish().as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn unchanged_by_file(path: String, file: &str) -> PlanProblem {
    let message = format!("is kept by the file `{file}` of the server: change it there");
    PlanProblem::new(path, message)
}

/// What is stored once it is as wanted.
fn becomes(wanted: &Monitor, stored: Option<&Monitor>) -> Result<Monitor, PlanProblem> {
    let mut after = wanted.clone();
    let unmasked = after.spec.unmask(stored.map(|stored| &stored.spec));
    unmasked.map_err(|error| PlanProblem::new(path(&wanted.id), error.to_string()))?;
    if let Some(stored) = stored {
        after.workspace = stored.workspace.clone();
        after.paused = stored.paused;
    }
    Ok(after)
}

fn path(id: &MonitorId) -> String {
    format!("monitors.{id}")
}
