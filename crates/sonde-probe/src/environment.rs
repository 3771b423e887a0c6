//! What attempts share in one process: egress policy, resolvers, TLS settings, rights.

use std::net::SocketAddr;

use crate::Egress;

/// How a process probes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub egress: Egress,
    /// A name server instead of the system's, for monitors that name none.
    pub resolver: Option<SocketAddr>,
    /// Whether exec checks may run here at all.
    pub allow_exec: bool,
    /// Identifies this process in results.
    pub checker_id: String,
}

/// Built once per process; cheap to share.
#[derive(Debug)]
pub struct Environment {
    pub(crate) settings: Settings,
}

impl Environment {
    pub(crate) fn new(settings: Settings) -> Result<Self, EnvironmentError> {
        todo!()
    }

    /// The name servers that the system is configured with (or the one of the settings), in order.
    pub(crate) fn name_servers(&self) -> &[SocketAddr] {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    #[error("the system's name server configuration cannot be read")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}
