//! TLS as a server may offer it, and the remains of TLS that rustls no longer speaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Server, Stream};
use crate::certificates::{Authority, Identity};

/// How a server does its handshakes.
#[derive(Clone)]
pub struct TlsServer {
    acceptor: TlsAcceptor,
    delay: Duration,
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer")
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

impl TlsServer {
    /// TLS 1.2 and 1.3, HTTP/1.1 by ALPN.
    pub fn new(identity: &Identity) -> Self {
        Self::build(identity, &[&TLS13, &TLS12], None, &["http/1.1"])
    }

    pub fn tls12_only(identity: &Identity) -> Self {
        Self::build(identity, &[&TLS12], None, &["http/1.1"])
    }

    /// Offers HTTP/2 before HTTP/1.1.
    pub fn http2(identity: &Identity) -> Self {
        Self::build(identity, &[&TLS13, &TLS12], None, &["h2", "http/1.1"])
    }

    /// Only lets in clients whose certificate is from `clients`.
    pub fn requiring_client(identity: &Identity, clients: &Authority) -> Self {
        Self::build(identity, &[&TLS13, &TLS12], Some(clients), &["http/1.1"])
    }

    /// Waits so long before each handshake.
    #[must_use]
    pub fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn build(
        identity: &Identity,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Authority>,
        protocols: &[&str],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("the provider supports both versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(authority.certificate())
                    .expect("an authority can be trusted");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .expect("one root is enough");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(identity.chain(), identity.key())
            .expect("the key fits the certificate");
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            delay: Duration::ZERO,
        }
    }

    pub(crate) async fn accept<S: Stream>(&self, stream: S) -> io::Result<TlsStream<S>> {
        tokio::time::sleep(self.delay).await;
        self.acceptor.accept(stream).await
    }
}

/// Shakes hands, reads until the peer closes, and says nothing.
pub async fn handshaking(tls: TlsServer) -> Server {
    Server::start(move |stream| {
        let tls = tls.clone();
        async move {
            let mut stream = tls.accept(stream).await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            stream.shutdown().await
        }
    })
    .await
}

/// For [`answering`](super::tcp::answering): what a server says that knows TLS 1.0 at most and rejects the offer (alert
/// `protocol_version`, RFC 5246 §7.2).
pub const LEGACY_ALERT: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// For [`answering`](super::tcp::answering): a TLS 1.0 `ServerHello` choosing `TLS_RSA_WITH_AES_128_CBC_SHA`.
pub fn legacy_hello() -> Vec<u8> {
    let mut hello = vec![3, 1];
    hello.extend([7; 32]); // random
    hello.extend([0, 0, 0x2f, 0]); // no session, the cipher suite, no compression
    let length = u8::try_from(hello.len()).expect("the hello is short");
    let mut record = vec![22, 3, 1, 0, length + 4, 2, 0, 0, length];
    record.extend(hello);
    record
}
