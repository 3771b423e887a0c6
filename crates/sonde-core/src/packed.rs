//! Monitors that take little memory, for a process that holds a million of them and needs a few at a time.
//!
//! Only ever for memory: the encoding is no format that another release reads.

use std::fmt;
use std::time::Duration;

use crate::{Monitor, MonitorId, WorkspaceId};

/// A [`Monitor`], encoded; beside it stands what a schedule looks at. A fifth of the size or less: nothing is parsed, no
/// pattern compiled.
#[derive(Clone, PartialEq)]
pub struct PackedMonitor {
    pub workspace: WorkspaceId,
    pub id: MonitorId,
    pub interval: Duration,
    pub paused: bool,
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
            body: body.into(),
        }
    }

    pub fn unpack(&self) -> Monitor {
        postcard::from_bytes(&self.body).expect("it was packed from a valid monitor")
    }
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
        assert!(!format!("{packed:?}").contains("hunter2"));
    }
}
