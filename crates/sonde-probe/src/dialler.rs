//! Connections for others, such as a browser, on the same way as checks: resolved, filtered, pinned.

use std::net::SocketAddr;
use std::sync::Arc;

use sonde_core::NetworkOptions;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::environment::{Environment, EnvironmentError, Settings};
use crate::observe::{Failure, Observation};
use crate::{Egress, dial};

/// Connects to what egress allows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialler {
    environment: Arc<Environment>,
    /// Only the public internet.
    public: Arc<Environment>,
}

/// Why there is no connection: a sentence that names what was dialled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DialError(String);

impl Dialler {
    pub fn new(egress: Egress, resolver: Option<SocketAddr>) -> Result<Self, EnvironmentError> {
        let environment = |egress| {
            Environment::new(Settings {
                egress,
                resolver,
                allow_exec: false,
                rdap_bootstrap: None,
                checker_id: String::new(),
            })
        };
        Ok(Self {
            environment: Arc::new(environment(egress)?),
            public: Arc::new(environment(Egress::guarded(Vec::new()))?),
        })
    }

    /// For all that a page of `host` refers to: one that is public reaches nothing private, even where checks may.
    pub async fn for_page_of(&self, host: &str, until: Instant) -> Self {
        let (network, mut seen) = (NetworkOptions::default(), Observation::until(until));
        let found = dial::resolve(&self.public, host, &network, &mut seen).await;
        let environment = match found {
            Ok(_) => Arc::clone(&self.public),
            Err(_) => Arc::clone(&self.environment),
        };
        Self {
            environment,
            public: Arc::clone(&self.public),
        }
    }

    /// `host` is a name or an address, an IPv6 one with brackets or without.
    pub async fn dial(
        &self,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<TcpStream, DialError> {
        let (network, mut seen) = (NetworkOptions::default(), Observation::until(until));
        let connected = async {
            let addresses = dial::resolve(&self.environment, host, &network, &mut seen).await?;
            dial::connect(&addresses, port, &mut seen).await
        };
        let (stream, _) = connected.await.map_err(DialError::from)?;
        Ok(stream)
    }
}

impl From<Failure> for DialError {
    fn from(failure: Failure) -> Self {
        Self(failure.message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_forbidden_is_not_dialled_and_a_public_page_reaches_nothing_private() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let until = Instant::now() + Duration::from_secs(30);
        let open = Dialler::new(Egress::open(), None).unwrap();
        open.dial("127.0.0.1", port, until).await.unwrap();
        let private = open.for_page_of("127.0.0.1", until).await;
        private.dial("127.0.0.1", port, until).await.unwrap();
        let public = open.for_page_of("[2606:4700::1111]", until).await;
        let guarded = Dialler::new(Egress::guarded(Vec::new()), None).unwrap();
        for dialler in [public, guarded] {
            let refused = dialler.dial("127.0.0.1", port, until).await.unwrap_err();
            assert!(refused.to_string().contains("egress guard"), "{refused}");
        }
    }
}
