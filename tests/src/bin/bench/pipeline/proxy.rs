//! A TCP proxy in front of the broker that notes when the broker accepts a client: its `connection.open-ok`.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use sonde_core::{Clock as _, SystemClock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// Class and method of `connection.open-ok` (AMQP 0-9-1).
const OPEN_OK: [u8; 4] = [0, 10, 0, 41];

/// Ends with it.
pub(crate) struct Proxy {
    pub(crate) url: String,
    accepted: Arc<Mutex<Option<Timestamp>>>,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Proxy {
    pub(crate) async fn to(broker: &str) -> anyhow::Result<Self> {
        let mut url: Url = broker.parse()?;
        let host = url.host_str().context("the broker has no host")?;
        let broker = format!("{host}:{}", url.port().unwrap_or(5672));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        url.set_ip_host([127, 0, 0, 1].into())
            .and_then(|()| url.set_port(Some(port)))
            .map_err(|()| anyhow::anyhow!("the broker's URL takes no port"))?;
        let accepted = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, broker, Arc::clone(&accepted)));
        Ok(Self {
            url: url.into(),
            accepted,
            _tasks: tasks,
        })
    }

    /// When the first connection since [`Self::forget`] was accepted.
    pub(crate) fn accepted(&self) -> Option<Timestamp> {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget(&self) {
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

async fn serve(
    listener: TcpListener,
    broker: String,
    accepted: Arc<Mutex<Option<Timestamp>>>,
) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        connections.spawn(forward(client, broker.clone(), Arc::clone(&accepted)));
        // How one connection ends is between its two ends.
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    client: TcpStream,
    broker: String,
    accepted: Arc<Mutex<Option<Timestamp>>>,
) -> anyhow::Result<()> {
    let broker = TcpStream::connect(broker).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((mut client_in, mut client_out), (mut broker_in, mut broker_out)) =
        (client.into_split(), broker.into_split());
    let answers = async {
        let (mut buffer, mut open) = (vec![0; 64 << 10], false);
        loop {
            let length = broker_in.read(&mut buffer).await?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                return client_out.shutdown().await;
            }
            if !open && bytes.windows(OPEN_OK.len()).any(|window| window == OPEN_OK) {
                open = true;
                let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
                accepted.get_or_insert(SystemClock.now());
            }
            client_out.write_all(bytes).await?;
        }
    };
    let questions = async {
        tokio::io::copy(&mut client_in, &mut broker_out).await?;
        broker_out.shutdown().await
    };
    tokio::try_join!(answers, questions)?;
    Ok(())
}
