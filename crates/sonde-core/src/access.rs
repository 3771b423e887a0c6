//! Who may do what: roles of people in a workspace, and the scopes that a role or an API key has.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    #[serde(rename = "monitors:read")]
    MonitorsRead,
    #[serde(rename = "monitors:write")]
    MonitorsWrite,
    /// Rows, series, summaries, the stream of outcomes.
    #[serde(rename = "results:read")]
    ResultsRead,
    /// Channels, incidents and what was told of them.
    #[serde(rename = "alerts:read")]
    AlertsRead,
    #[serde(rename = "alerts:write")]
    AlertsWrite,
    /// Checks on demand.
    #[serde(rename = "checks:run")]
    ChecksRun,
    /// Regions, checkers, the ledger.
    #[serde(rename = "fleet:read")]
    FleetRead,
    #[serde(rename = "members:read")]
    MembersRead,
    #[serde(rename = "members:write")]
    MembersWrite,
    #[serde(rename = "keys:read")]
    KeysRead,
    #[serde(rename = "keys:write")]
    KeysWrite,
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl Scope {
    pub const ALL: [Self; 12] = [
        Self::MonitorsRead,
        Self::MonitorsWrite,
        Self::ResultsRead,
        Self::AlertsRead,
        Self::AlertsWrite,
        Self::ChecksRun,
        Self::FleetRead,
        Self::MembersRead,
        Self::MembersWrite,
        Self::KeysRead,
        Self::KeysWrite,
        Self::AuditRead,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MonitorsRead => "monitors:read",
            Self::MonitorsWrite => "monitors:write",
            Self::ResultsRead => "results:read",
            Self::AlertsRead => "alerts:read",
            Self::AlertsWrite => "alerts:write",
            Self::ChecksRun => "checks:run",
            Self::FleetRead => "fleet:read",
            Self::MembersRead => "members:read",
            Self::MembersWrite => "members:write",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::AuditRead => "audit:read",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person is in a workspace; each may do all that the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Editor,
    Admin,
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Admin, Self::Owner];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    pub const fn allows(self, scope: Scope) -> bool {
        self as u8 >= Self::least_for(scope) as u8
    }

    const fn least_for(scope: Scope) -> Self {
        match scope {
            Scope::MonitorsRead | Scope::ResultsRead | Scope::AlertsRead | Scope::FleetRead => {
                Self::Viewer
            }
            Scope::MonitorsWrite | Scope::AlertsWrite | Scope::ChecksRun | Scope::MembersRead => {
                Self::Editor
            }
            Scope::MembersWrite | Scope::KeysRead | Scope::KeysWrite | Scope::AuditRead => {
                Self::Admin
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_are_those_of_the_wire() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
            let json = serde_json::to_value(scope).unwrap();
            assert_eq!(json, scope.as_str());
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }

    #[test]
    fn each_role_may_what_the_one_before_may() {
        for pair in Role::ALL.windows(2) {
            for scope in Scope::ALL {
                assert!(!pair[0].allows(scope) || pair[1].allows(scope));
            }
        }
        assert!(Scope::ALL.iter().all(|scope| Role::Owner.allows(*scope)));
        assert!(!Role::Viewer.allows(Scope::MonitorsWrite));
    }
}
