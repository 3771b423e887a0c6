//! Everything that people configure is a resource of a workspace: a kind, an id, a JSON body, a version. Changes are
//! atomic, refuse what somebody else changed meanwhile, and leave their trace in the audit log.

use std::fmt;

use serde::{Deserialize, Serialize};
use sonde_core::{Monitor, Timestamp, WorkspaceId};

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    Monitor,
    Maintenance,
    Channel,
    Report,
    Member,
    Invitation,
    ApiKey,
    /// The address of a heartbeat, under its monitor's id.
    Heartbeat,
}

impl ResourceKind {
    pub const ALL: [Self; 8] = [
        Self::Monitor,
        Self::Maintenance,
        Self::Channel,
        Self::Report,
        Self::Member,
        Self::Invitation,
        Self::ApiKey,
        Self::Heartbeat,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Maintenance => "maintenance",
            Self::Channel => "channel",
            Self::Report => "report",
            Self::Member => "member",
            Self::Invitation => "invitation",
            Self::ApiKey => "api_key",
            Self::Heartbeat => "heartbeat",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is stored, with what the store knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub value: T,
    pub meta: Meta,
}

/// What the store knows of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// From 1; one more with every change.
    pub version: u64,
    /// Where it is kept, when it is not to be changed here: the name of a file.
    pub managed_by: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A resource of any kind but monitors, which are typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub id: String,
    /// JSON; no secrets.
    pub body: String,
}

/// Who changes something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub kind: ActorKind,
    /// Of the user or the key; the file's name.
    pub id: String,
    /// As people know it.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    User,
    ApiKey,
    File,
    /// On this machine, with access to the store itself.
    Operator,
}

/// What must be there for a change to happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    Nothing,
    Version(u64),
}

impl Expected {
    /// As the store compares it: zero for nothing.
    pub(crate) const fn as_number(self) -> Option<u64> {
        match self {
            Self::Anything => None,
            Self::Nothing => Some(0),
            Self::Version(version) => Some(version),
        }
    }
}

/// A resource as it is to be.
#[derive(Debug, Clone)]
pub struct Put {
    pub value: PutValue,
    pub managed_by: Option<String>,
    pub expected: Expected,
    /// What opens it: an API key's own secret, an invitation's link.
    pub credential: Option<NewCredential>,
    /// Of all but monitors: the body with its secrets, JSON, to be sealed.
    pub secrets: Option<String>,
}

#[derive(Debug, Clone)]
pub enum PutValue {
    Monitor(Box<Monitor>),
    Other(ResourceKind, Resource),
}

impl Put {
    pub fn monitor(monitor: Monitor) -> Self {
        Self::new(PutValue::Monitor(Box::new(monitor)))
    }

    pub fn other(kind: ResourceKind, id: impl Into<String>, body: impl Into<String>) -> Self {
        let (id, body) = (id.into(), body.into());
        Self::new(PutValue::Other(kind, Resource { id, body }))
    }

    fn new(value: PutValue) -> Self {
        Self {
            value,
            managed_by: None,
            expected: Expected::Anything,
            credential: None,
            secrets: None,
        }
    }

    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    pub(crate) fn kind(&self) -> ResourceKind {
        match &self.value {
            PutValue::Monitor(_) => ResourceKind::Monitor,
            PutValue::Other(kind, _) => *kind,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match &self.value {
            PutValue::Monitor(monitor) => monitor.id.as_str(),
            PutValue::Other(_, resource) => &resource.id,
        }
    }
}

/// A resource that is to be gone. One that is not there is no error, unless a version was expected.
#[derive(Debug, Clone)]
pub struct Remove {
    pub kind: ResourceKind,
    pub id: String,
    pub expected: Expected,
}

/// Monitors beside those that are put go away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Only {
    /// All of them.
    These,
    /// Those that this file keeps.
    TheseOf(String),
}

/// What happens at once or not at all, at the time that it is at the store.
#[derive(Debug, Clone)]
pub struct Change {
    pub workspace: WorkspaceId,
    /// Nobody is asked for by the audit log, which then says nothing.
    pub actor: Option<Actor>,
    pub puts: Vec<Put>,
    pub removes: Vec<Remove>,
    /// Also gives the monitors that are put their order.
    pub only: Option<Only>,
}

impl Change {
    pub fn new(workspace: WorkspaceId, actor: Option<Actor>) -> Self {
        Self {
            workspace,
            actor,
            puts: Vec::new(),
            removes: Vec::new(),
            only: None,
        }
    }
}

/// Which entries of the audit log, the newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    pub kind: Option<ResourceKind>,
    /// Of one resource.
    pub id: Option<String>,
    /// Those before the one with this number.
    pub before: Option<i64>,
    pub limit: u32,
}

/// One change of one resource, as it was at the time. Secrets are masked.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Ascending over all workspaces.
    pub number: i64,
    pub at: Timestamp,
    pub actor: Actor,
    pub action: AuditAction,
    pub kind: ResourceKind,
    pub id: String,
    /// JSON, as after.
    pub before: Option<String>,
    pub after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    Created,
    Updated,
    Removed,
}

/// What opens something: the hash of a secret that is shown once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// SHA-256 of the secret, in hexadecimal digits.
    pub hash: String,
    pub expires_at: Option<Timestamp>,
}
