//! What attempts share in one process: egress policy, resolver, TLS settings, the budget for kept bodies.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use url::Url;

use crate::Egress;
use crate::domain::Servers;
use crate::icmp::Sockets;
use crate::resolver::Resolver;
use crate::tls::{self, ClientConfigs};

/// Bodies kept for assertions, over all running checks, in units of [`BODY_UNIT`]: 64 MiB.
const BODY_UNITS: usize = 16 * 1024;
/// Bytes per permit of [`Environment::bodies`].
pub(crate) const BODY_UNIT: usize = 4 * 1024;

/// How a process probes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub egress: Egress,
    /// A name server instead of the system's, for monitors that name none.
    pub resolver: Option<SocketAddr>,
    /// Whether exec checks may run here at all.
    pub allow_exec: bool,
    /// Where the list of RDAP servers is, instead of at IANA's.
    pub rdap_bootstrap: Option<Url>,
    /// Identifies this process in results.
    pub checker_id: String,
}

/// Built once per process; cheap to share.
#[derive(Debug)]
pub struct Environment {
    pub(crate) settings: Settings,
    pub(crate) resolver: Resolver,
    pub(crate) client_configs: ClientConfigs,
    pub(crate) icmp: Sockets,
    pub(crate) rdap_servers: Servers,
    /// Permits for [`BODY_UNIT`] bytes each.
    pub(crate) bodies: Arc<Semaphore>,
}

impl Environment {
    pub(crate) fn new(settings: Settings) -> Result<Self, EnvironmentError> {
        // Now, so that the first check does not wait for it.
        tls::load_system_roots();
        let resolver = Resolver::new(settings.resolver)
            .map_err(|error| EnvironmentError::Resolver(Box::new(error)))?;
        Ok(Self {
            settings,
            resolver,
            client_configs: ClientConfigs::default(),
            icmp: Sockets::default(),
            rdap_servers: Servers::default(),
            bodies: Arc::new(Semaphore::new(BODY_UNITS)),
        })
    }

    /// The name servers that names are resolved with, in order; none where the system has none.
    pub(crate) fn name_servers(&self) -> &[SocketAddr] {
        self.resolver.servers()
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    #[error("the resolver cannot be set up")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}
