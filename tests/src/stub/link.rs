//! A TCP forwarder that breaks as networks do: connections reset, gone silent without a word, or slow.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Server;

/// The way from clients to one address. Dropping it closes every connection.
pub struct Link {
    server: Server,
    condition: watch::Sender<Condition>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Condition {
    silent: bool,
    delay: Duration,
    /// How often all connections were cut.
    cuts: u64,
}

impl Link {
    /// Forwards to `target`, which does not need to be there yet: until it is, connections are reset.
    pub async fn start(target: SocketAddr) -> Self {
        let (condition, watched) = watch::channel(Condition::default());
        let server = Server::start(move |client| forward(client, target, watched.clone())).await;
        Self { server, condition }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Resets all connections. New ones work.
    pub fn cut(&self) {
        self.condition.send_modify(|condition| condition.cuts += 1);
    }

    /// Nothing passes any more, in neither direction, and nobody is told: connections stay open, new ones are
    /// accepted. What is sent meanwhile arrives after [`heal`](Self::heal).
    pub fn silence(&self) {
        self.condition
            .send_modify(|condition| condition.silent = true);
    }

    /// Everything passes again, without delay.
    pub fn heal(&self) {
        self.condition.send_modify(|condition| {
            condition.silent = false;
            condition.delay = Duration::ZERO;
        });
    }

    /// Whatever passes takes so long, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.condition
            .send_modify(|condition| condition.delay = delay);
    }
}

async fn forward(
    mut client: TcpStream,
    target: SocketAddr,
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let cuts = condition.borrow_and_update().cuts;
    let mut cut = condition.clone();
    let mut cut = std::pin::pin!(cut.wait_for(|condition| condition.cuts != cuts));

    let connect = async {
        open(&mut condition).await;
        let upstream = TcpStream::connect(target).await?;
        upstream.set_nodelay(true)?;
        io::Result::Ok(upstream)
    };
    let upstream = tokio::select! {
        _ = &mut cut => Err(io::ErrorKind::ConnectionReset.into()),
        upstream = connect => upstream,
    };
    let Ok(mut upstream) = upstream else {
        return client.set_zero_linger();
    };

    let (from_client, to_client) = client.split();
    let (from_target, to_target) = upstream.split();
    let both = async {
        tokio::try_join!(
            pump(from_client, to_target, condition.clone()),
            pump(from_target, to_client, condition.clone()),
        )
    };
    let ended = tokio::select! {
        _ = cut => None,
        ended = both => ended.ok(),
    };
    if ended.is_none() {
        // Also when one side was reset: the other is to see the same.
        client.set_zero_linger()?;
        upstream.set_zero_linger()?;
    }
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut condition: watch::Receiver<Condition>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        let delay = open(&mut condition).await;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
            // It may have gone silent meanwhile.
            open(&mut condition).await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits while the link is silent. Returns the delay that is in force.
async fn open(condition: &mut watch::Receiver<Condition>) -> Duration {
    let open = condition.wait_for(|condition| !condition.silent).await;
    // A dropped link ends its tasks before they could look.
    open.map_or(Duration::ZERO, |condition| condition.delay)
}
