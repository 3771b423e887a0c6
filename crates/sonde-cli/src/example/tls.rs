//! HTTPS for the example: a certificate made at start, and a listener that shakes hands beside the accepting.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Scope, listen};

const NAMES: [&str; 4] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "example.example-corp.internal",
];
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that are ready before anyone takes them.
const BACKLOG: usize = 16;

pub(super) struct Identity {
    /// PEM.
    pub(super) certificate: String,
    pub(super) acceptor: TlsAcceptor,
}

impl Identity {
    /// A new self-signed certificate for `localhost` and the loopback addresses.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        let name = &mut params.distinguished_name;
        *name = DistinguishedName::new();
        name.push(DnType::CommonName, "localhost");
        // No authority of the machine may have the same name: its key would be tried and not fit.
        name.push(DnType::OrganizationName, "Sonde example service");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let pem = certificate.pem();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            certificate: pem,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// What axum serves: connections whose handshake is done, so that a slow one holds up no other.
pub(super) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
}

impl TlsListener {
    pub(super) fn start(listener: TcpListener, acceptor: TlsAcceptor, scope: &Scope) -> Self {
        let (to, ready) = mpsc::channel(BACKLOG);
        let address = listener.local_addr();
        let accepting = listen::each_connection(listener, scope.clone(), move |stream| {
            let (to, acceptor) = (to.clone(), acceptor.clone());
            async move {
                let Ok(peer) = stream.peer_addr() else { return };
                let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
                // A peer that does not want to talk TLS, or a service that stops: nothing is owed to either.
                if let Ok(Ok(stream)) = shaken {
                    let _ = to.send((stream, peer)).await;
                }
            }
        });
        scope.tasks.spawn(accepting);
        Self { ready, address }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The service stops; axum hears of it by its own signal.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}
