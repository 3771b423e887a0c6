//! Monitors that take little memory, for a process that holds a million of them and needs a few at a time.
//!
//! Only ever for memory: the encoding is no format that another release reads.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::serde_micros;
use crate::{
    AlertRule, Assertion, Monitor, MonitorId, ParseError, Region, RetryPolicy, Spec, WorkspaceId,
};

/// A [`Monitor`], encoded; beside it stands what a schedule looks at. A fifth of the size or less: nothing is parsed, no
/// pattern compiled.
#[derive(Clone, PartialEq)]
pub struct PackedMonitor {
    pub workspace: WorkspaceId,
    pub id: MonitorId,
    pub interval: Duration,
    pub paused: bool,
    /// Of a heartbeat nothing is ever due.
    pub is_heartbeat: bool,
    body: Box<[u8]>,
}

impl PackedMonitor {
    pub fn new(monitor: &Monitor) -> Self {
        let body =
            postcard::to_allocvec(monitor).expect("a monitor has no type that postcard lacks");
        Self {
            workspace: monitor.workspace.clone(),
            id: monitor.id.clone(),
            interval: monitor.interval,
            paused: monitor.paused,
            is_heartbeat: monitor.spec.heartbeat().is_some(),
            body: body.into(),
        }
    }

    pub fn unpack(&self) -> Monitor {
        postcard::from_bytes(&self.body).expect("it was packed from a valid monitor")
    }
}

/// Why a stored body is no monitor.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Assertion(#[from] ParseError),
}

/// Packs a million monitors from their JSON: what they have in common is kept, and looked at, once.
#[derive(Default)]
pub struct Packer {
    workspaces: HashSet<WorkspaceId>,
    regions: BTreeSet<Region>,
    /// Texts that are assertions.
    assertions: HashSet<String>,
}

/// Above it, monitors have little in common.
const MOST_ASSERTIONS: usize = 10_000;

impl Packer {
    /// As [`PackedMonitor::new`] of the monitor that `body` is; with `spec` in the place of its own.
    pub fn pack(&mut self, body: &str, spec: Option<Spec>) -> Result<PackedMonitor, PackError> {
        let mut unparsed: Unparsed = serde_json::from_str(body)?;
        for text in unparsed.expect.iter().chain(&unparsed.degraded) {
            self.check(text)?;
        }
        if let Some(spec) = spec {
            unparsed.spec = spec;
        }
        for region in &unparsed.regions {
            if !region.is_push() && !self.regions.contains(region) {
                self.regions.insert(region.clone());
            }
        }
        if let Some(same) = self.workspaces.get(&unparsed.workspace) {
            unparsed.workspace = same.clone();
        } else {
            self.workspaces.insert(unparsed.workspace.clone());
        }
        let body = postcard::to_allocvec(&unparsed).expect("it encodes as a monitor does");
        Ok(PackedMonitor {
            workspace: unparsed.workspace,
            id: unparsed.id,
            interval: unparsed.interval,
            paused: unparsed.paused,
            is_heartbeat: unparsed.spec.heartbeat().is_some(),
            body: body.into(),
        })
    }

    /// Every region that a packed monitor is checked in.
    pub fn into_regions(self) -> BTreeSet<Region> {
        self.regions
    }

    fn check(&mut self, text: &str) -> Result<(), ParseError> {
        if self.assertions.contains(text) {
            return Ok(());
        }
        text.parse::<Assertion>()?;
        if self.assertions.len() < MOST_ASSERTIONS {
            self.assertions.insert(text.to_owned());
        }
        Ok(())
    }
}

/// A [`Monitor`], field by field, with its assertions as they are written. Their text may differ from the one that an
/// assertion writes itself, and reads back as the same.
#[derive(Serialize, Deserialize)]
struct Unparsed {
    workspace: WorkspaceId,
    id: MonitorId,
    name: String,
    spec: Spec,
    #[serde(with = "serde_micros", rename = "interval_us")]
    interval: Duration,
    #[serde(with = "serde_micros", rename = "timeout_us")]
    timeout: Duration,
    retry: RetryPolicy,
    regions: Vec<Region>,
    expect: Vec<String>,
    degraded: Vec<String>,
    alert: AlertRule,
    depends_on: Vec<MonitorId>,
    tags: Vec<String>,
    paused: bool,
}

/// The body may hold secrets.
impl fmt::Debug for PackedMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedMonitor({}/{})", self.workspace, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Auth, HttpSpec, Spec};

    #[test]
    fn what_was_packed_comes_out_the_same() {
        let mut monitor = Monitor::sample();
        let mut spec = HttpSpec::get("https://user:pass@shop.example/?q=1".parse().unwrap());
        spec.body = Some(vec![0, 255]);
        spec.auth = Some(Auth::Bearer {
            token: "hunter2".to_owned(),
        });
        spec.network.resolver = Some("[::1]:53".parse().unwrap());
        monitor.spec = Spec::Http(Box::new(spec));
        let texts = [
            "status in 200..299",
            "json $.a == \"up\"",
            "body matches ^ok$",
        ];
        monitor.expect = texts.map(|text| text.parse().unwrap()).to_vec();
        let packed = PackedMonitor::new(&monitor);
        assert_eq!(packed.unpack(), monitor);
        let json = serde_json::to_string(&monitor).unwrap();
        let mut packer = Packer::default();
        for _ in 0..2 {
            assert_eq!(packer.pack(&json, None).unwrap(), packed);
        }
        let other = Monitor::sample().spec;
        let replaced = packer.pack(&json, Some(other.clone())).unwrap();
        assert_eq!(replaced.unpack().spec, other);
        assert!(!format!("{packed:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_monitor_is_not_packed() {
        let mut monitor = serde_json::to_value(Monitor::sample()).unwrap();
        monitor["expect"] = serde_json::json!(["status == 200", "moon is full"]);
        let mut packer = Packer::default();
        for _ in 0..2 {
            let refused = packer.pack(&monitor.to_string(), None);
            assert!(matches!(refused, Err(PackError::Assertion(_))));
        }
        let refused = packer.pack("{}", None);
        assert!(matches!(refused, Err(PackError::Json(_))));
    }
}
