//! The vocabulary of incidents: why one is open, and where it stands.

use serde::{Deserialize, Serialize};

/// Why an incident was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentCause {
    /// Enough regions fail.
    Down,
    /// Enough regions are degraded.
    Degraded,
    /// No fresh results: nothing is known about the target.
    Unknown,
    /// A certificate comes to its end: an incident of its own, beside the others of its monitor.
    CertificateExpiring,
    /// The registration of a domain comes to its end: likewise.
    DomainExpiring,
}

impl IncidentCause {
    /// Of what ends on a day that is known long before: only its renewal ends it, and its thresholds remind of it.
    pub const fn is_expiry(self) -> bool {
        matches!(self, Self::CertificateExpiring | Self::DomainExpiring)
    }
}

/// Where an incident stands. The alerter opens and resolves; people acknowledge, and may resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentStatus {
    Open,
    Acknowledged,
    Resolved,
}

impl IncidentStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// A resolved incident stays resolved: the next failure opens another one.
    pub const fn can_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Open, Self::Acknowledged | Self::Resolved)
                | (Self::Acknowledged, Self::Resolved)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::IncidentStatus::{Acknowledged, Open, Resolved};

    #[test]
    fn an_incident_never_goes_back() {
        assert!(Open.can_become(Acknowledged) && Open.can_become(Resolved));
        assert!(!Resolved.can_become(Open) && !Acknowledged.can_become(Open));
        assert!(!Open.can_become(Open));
    }
}
