//! What a user configures.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::serde_micros;
use crate::{Assertion, MonitorId, Region, RetryPolicy, Spec, WorkspaceId};

/// The shortest interval; below it, a check's own duration would dominate.
pub const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// A validated monitor: everything is decided, nothing is left to a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    pub workspace: WorkspaceId,
    pub id: MonitorId,
    pub name: String,
    pub spec: Spec,
    #[serde(with = "serde_micros", rename = "interval_us")]
    pub interval: Duration,
    /// Bound of one attempt.
    #[serde(with = "serde_micros", rename = "timeout_us")]
    pub timeout: Duration,
    pub retry: RetryPolicy,
    pub regions: Vec<Region>,
    /// All must hold, or the check has failed.
    pub expect: Vec<Assertion>,
    /// A check that is not failed is degraded when any of these holds.
    pub degraded: Vec<Assertion>,
    pub alert: AlertRule,
    pub depends_on: Vec<MonitorId>,
    pub tags: Vec<String>,
    pub paused: bool,
}

impl Monitor {
    /// What is checked, for people: never with credentials.
    pub fn target(&self) -> String {
        self.spec.target()
    }

    /// How long an execution may take that no schedule bounds: all attempts at their timeout, and the waits between.
    pub fn longest_execution(&self) -> Duration {
        self.timeout
            .saturating_mul(self.retry.retries.saturating_add(1))
            + self.retry.longest_wait()
    }
}

/// When outcomes become an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    /// Failures in a region before it counts as down: consecutive ones, unless there is `within`.
    pub fail_after: u32,
    /// Of the last so many checks, `fail_after` failures are enough, in a row or not.
    #[serde(default)]
    pub within: Option<u32>,
    /// Consecutive successes in a region before it counts as up again.
    pub recover_after: u32,
    pub quorum: Quorum,
    /// One failure is enough where another region sees the target fail in the same slot.
    #[serde(default)]
    pub confirm: bool,
    /// How many days before a certificate or a domain ends people are told of it, each of them once.
    #[serde(default = "standard_expiry")]
    pub expiry: Vec<u16>,
}

/// A month, in which most certificates are renewed, and then ever more often.
fn standard_expiry() -> Vec<u16> {
    vec![30, 14, 7, 3, 1]
}

impl AlertRule {
    /// Where nothing else is said, of what is looked at once a day or so: a heartbeat that is late, a domain that ended.
    pub fn at_once() -> Self {
        Self {
            fail_after: 1,
            recover_after: 1,
            ..Self::default()
        }
    }
}

/// The most checks that [`AlertRule::within`] looks back at.
pub const MOST_WITHIN: u32 = 60;

impl Default for AlertRule {
    fn default() -> Self {
        Self {
            fail_after: 2,
            within: None,
            recover_after: 2,
            quorum: Quorum::Majority,
            confirm: false,
            expiry: standard_expiry(),
        }
    }
}

/// How many regions must agree; `any`, `all`, `majority`, `2` or `50%` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Quorum {
    Any,
    Majority,
    All,
    Count(u16),
    Percent(u8),
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl From<Quorum> for String {
    fn from(quorum: Quorum) -> Self {
        quorum.to_string()
    }
}

impl std::str::FromStr for Quorum {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text {
            "any" => Some(Self::Any),
            "majority" => Some(Self::Majority),
            "all" => Some(Self::All),
            _ => match text.strip_suffix('%') {
                Some(percent) => percent
                    .parse()
                    .ok()
                    .filter(|p| (1..=100).contains(p))
                    .map(Self::Percent),
                None => text.parse().ok().filter(|k| *k > 0).map(Self::Count),
            },
        };
        parsed.ok_or_else(|| {
            format!("`{text}` is not a quorum: use any, majority, all, a number such as 2, or 1% to 100%")
        })
    }
}

impl TryFrom<String> for Quorum {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
