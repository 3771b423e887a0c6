//! How libSQL reaches a primary: over TCP, or TLS on top of it. libsql's own TLS is an old rustls, so it gets this.
//!
//! The only module that knows the types of hyper 0.14, which libsql is built on.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_for_libsql::Uri;
use hyper_for_libsql::client::connect::{Connected, Connection};
use hyper_for_libsql::service::Service;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Unavailable;

/// For the connection and the handshake. Short, because a reader turns to its replica after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The system's roots, or Mozilla's where the system has none.
static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
});

/// Makes connections to whatever host a URL names.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    silence: Duration,
}

impl Connector {
    /// `ca` holds authorities (PEM) to trust beside the system's. A connection on which nothing moves for `silence`
    /// breaks: libsql has no timeouts of its own.
    pub(crate) fn new(ca: Option<&str>, silence: Duration) -> Result<Self, Unavailable> {
        let mut roots = SYSTEM_ROOTS.clone();
        for certificate in CertificateDer::pem_slice_iter(ca.unwrap_or_default().as_bytes()) {
            let certificate = certificate.map_err(Unavailable::new)?;
            roots.add(certificate).map_err(Unavailable::new)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Unavailable::new)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            silence,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { tls, silence } = self.clone();
        Box::pin(async move {
            let transport = timeout(CONNECT_TIMEOUT, connect(&tls, &uri)).await??;
            Ok(Stream {
                transport,
                silence,
                patience: Box::pin(sleep(silence)),
            })
        })
    }
}

async fn connect(tls: &TlsConnector, uri: &Uri) -> io::Result<Transport> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = uri.scheme_str() == Some("http");
    let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    if plain {
        return Ok(Transport::Plain(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Transport::Tls(Box::new(tls.connect(name, tcp).await?)))
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Socket: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// One connection; fails when nothing moved on it for too long.
pub(crate) struct Stream {
    transport: Transport,
    silence: Duration,
    patience: Pin<Box<Sleep>>,
}

impl Stream {
    fn socket(&mut self) -> Pin<&mut dyn Socket> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket),
            Transport::Tls(socket) => Pin::new(&mut **socket),
        }
    }

    fn unless_silent<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.patience.as_mut().reset(Instant::now() + self.silence);
            return progress;
        }
        ready!(self.patience.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let progress = self.socket().poll_read(context, buffer);
        self.unless_silent(context, progress)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = self.socket().poll_write(context, bytes);
        self.unless_silent(context, progress)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
