//! Targets that do exactly what a test tells them to, well-behaved or not.
//!
//! Each owns its tasks: dropping it closes its port and every connection.

pub mod dns;
pub mod encoding;
pub mod http;
pub mod link;
pub mod proxy;
pub mod tcp;
pub mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a stub talks over: plain TCP or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Any free port on loopback.
pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A port that hands every connection to one handler.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Dropping the set ends the accepting task, which owns the tasks of the connections.
    _accepting: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start<F>(handler: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(ANY_PORT).await;
        Self::accept_on(listener.expect("loopback has a free port"), handler)
    }

    pub(crate) fn accept_on<F>(
        listener: TcpListener,
        handler: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let address = listener.local_addr().expect("a listener has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut handlers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                // Without it delayed acknowledgements would show up as 40 ms in measured phases.
                let _ = stream.set_nodelay(true);
                handlers.spawn(handler(stream));
                while handlers.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            connections,
            _accepting: accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}
