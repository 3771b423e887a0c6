//! The example service: something to watch on the first run, and a target that fails or slows down when told to.
//!
//! Speaks HTTP, HTTPS (self-signed), TCP and DNS. It belongs on loopback: it has no login.

mod dns;
mod http;
mod listen;
mod notes;
mod tcp;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long answers that are under way may take when the service stops.
const GRACE: Duration = Duration::from_secs(2);

/// The monitors that watch the example service; names in braces are filled in by [`monitors`].
const TEMPLATE: &str = include_str!("sonde.yaml");

/// Where the service listens (port 0 takes a free one), and the file that notes go to.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) tcp: SocketAddr,
    /// UDP and TCP.
    pub(crate) dns: SocketAddr,
    pub(crate) notes: PathBuf,
}

/// How a running service is reached.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) dns: SocketAddr,
    /// PEM of the certificate of `https`, to be trusted as its own authority.
    pub(crate) certificate: String,
}

/// A running service; [`ExampleService::stop`] ends it, and so does the end of the process.
#[derive(Debug)]
pub(crate) struct ExampleService {
    addresses: Addresses,
    scope: Scope,
}

/// What every listener needs to start tasks and to end them.
#[derive(Debug, Clone)]
struct Scope {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ExampleService {
    /// Binds every address before anything is answered; the error names the one that could not be had.
    pub(crate) async fn start(options: &Options) -> anyhow::Result<Self> {
        let http = listen::bind(options.http).await?;
        let https = listen::bind(options.https).await?;
        let tcp = listen::bind(options.tcp).await?;
        let dns = dns::Sockets::bind(options.dns).await?;
        let identity = tls::Identity::generate().context("cannot make a certificate")?;
        let addresses = Addresses {
            http: http.local_addr().context("no local address")?,
            https: https.local_addr().context("no local address")?,
            tcp: tcp.local_addr().context("no local address")?,
            dns: dns.address(),
            certificate: identity.certificate.clone(),
        };

        let scope = Scope {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let router = http::router(options.notes.clone(), scope.stop.clone());
        let tasks = &scope.tasks;
        tasks.spawn(http::serve(http, router.clone(), scope.stop.clone()));
        let https = tls::TlsListener::start(https, identity.acceptor, &scope);
        tasks.spawn(http::serve(https, router, scope.stop.clone()));
        tasks.spawn(tcp::serve(tcp, scope.clone()));
        dns.serve(&scope);
        Ok(Self { addresses, scope })
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Takes no more, lets answers under way end for a moment, and closes what is left.
    pub(crate) async fn stop(self) {
        self.scope.stop.cancel();
        self.scope.tasks.close();
        if tokio::time::timeout(GRACE, self.scope.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the example service stops with connections still open");
        }
    }
}

/// A `sonde.yaml` with a monitor of each kind for the service at `addresses`.
pub(crate) fn monitors(addresses: &Addresses) -> String {
    // Indented to stand in the template's block text.
    let certificate = addresses
        .certificate
        .trim_end()
        .replace('\n', "\n          ");
    TEMPLATE
        .replace("{http}", &addresses.http.to_string())
        .replace("{http.port}", &addresses.http.port().to_string())
        .replace("{https}", &addresses.https.to_string())
        .replace("{https.port}", &addresses.https.port().to_string())
        .replace("{tcp}", &addresses.tcp.to_string())
        .replace("{dns}", &addresses.dns.to_string())
        .replace("{certificate}", &certificate)
}

#[cfg(test)]
mod tests;
