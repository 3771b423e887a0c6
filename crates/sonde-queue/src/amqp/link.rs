//! One connection to the broker, and the task that keeps it up. Not lapin's own recovery: that replays channels behind
//! the back of whoever holds their deliveries, gives up after some tries, and does not come back from channel errors.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::tcp::{AMQPUriTcpExt as _, TLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ConnectionState, ErrorKind, Event};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{QueueError, Result};

/// For TCP, TLS and the handshake together.
const CONNECTING: Duration = Duration::from_secs(10);
/// For the broker to say goodbye.
const CLOSING: Duration = Duration::from_secs(3);
/// Lapin tells of lost connections, but not of every way to lose one.
const LOOK: Duration = Duration::from_secs(1);

/// Where the broker is, and as whom.
pub(super) struct Dialer {
    pub(super) uri: AMQPUri,
    pub(super) name: String,
}

impl Dialer {
    /// A connection that the broker shows as `<name> <purpose>`.
    pub(super) async fn connect(&self, purpose: &str) -> lapin::Result<Connection> {
        let name = format!("{} {purpose}", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        // Within its own limit, because lapin's thread waits for TCP even when nobody waits for lapin any more.
        let connecting = Connection::connector(
            self.uri.clone(),
            lapin::runtime::default_runtime()?,
            async |uri, runtime| {
                let stream = uri.connect_with_config_async(TLSConfig::default(), &runtime);
                let connected = timeout(CONNECTING, stream).await;
                Ok(connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?)
            },
            properties,
        );
        let connected = timeout(CONNECTING, connecting).await;
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    /// Connects, and goes again.
    pub(super) async fn greet(&self) -> lapin::Result<()> {
        say_goodbye(&self.connect("greeting").await?).await;
        Ok(())
    }
}

#[derive(Clone)]
pub(super) enum State {
    Down,
    Up(Arc<Connection>),
    Closed,
}

impl State {
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }
}

/// A handle; clones share the connection.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
    blocked: watch::Receiver<bool>,
    /// There is another connection after this one.
    lasting: bool,
    /// Work that has to be done before the connection is closed.
    pub(super) background: TaskTracker,
}

impl Link {
    /// Keeps a connection up until `stop`. The task ends with it, after a goodbye to the broker.
    pub(super) fn supervised(
        dialer: Arc<Dialer>,
        purpose: &'static str,
        tasks: &TaskTracker,
        background: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (teller, state, blocked) = Teller::new(State::Down);
        tasks.spawn(async move { supervise(&dialer, purpose, &teller, &stop).await });
        Self {
            state,
            blocked,
            lasting: true,
            background,
        }
    }

    /// Stands and falls with this connection, which is closed on `stop`.
    pub(super) fn single(
        connection: Connection,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let connection = Arc::new(connection);
        let (teller, state, blocked) = Teller::new(State::Up(Arc::clone(&connection)));
        tasks.spawn(async move {
            let watching = teller.watch(&connection);
            let stopped = stop.run_until_cancelled(watching).await;
            teller.state.send_replace(State::Closed);
            if stopped.is_none() {
                say_goodbye(&connection).await;
            }
        });
        Self {
            state,
            blocked,
            lasting: false,
            background: TaskTracker::new(),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits for a connection as long as it takes.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>> {
        let mut state = self.state.clone();
        let usable = state.wait_for(|state| match state {
            State::Down => false,
            // Lost, and the supervisor has not seen it yet.
            State::Up(connection) => connection.status().connected() || !self.lasting,
            State::Closed => true,
        });
        match usable.await.as_deref() {
            Ok(State::Up(connection)) => Ok(Arc::clone(connection)),
            _ => Err(QueueError::Closed),
        }
    }

    /// Waits while the broker takes no messages. What lapin is given meanwhile it keeps, however much that is, and
    /// whether or not anybody still waits for it.
    pub(super) async fn unblocked(&self) {
        let mut blocked = self.blocked.clone();
        // An error means that the supervisor is gone, which the next step finds too.
        let _ = blocked.wait_for(|blocked| !blocked).await;
    }

    /// Opens a channel as soon as there is a connection. Closed when its last clone is dropped.
    pub(super) async fn channel(&self) -> Result<Channel> {
        Ok(self.open().await?.1)
    }

    /// A channel, and the connection that it is on.
    pub(super) async fn open(&self) -> Result<(Arc<Connection>, Channel)> {
        let connection = self.connection().await?;
        let channel = tokio::select! {
            biased;
            channel = connection.create_channel() => channel,
            // Lapin does not answer when the connection is lost in the middle of this.
            () = self.lost(&connection) => {
                Err(ErrorKind::InvalidConnectionState(ConnectionState::Error).into())
            }
        };
        let channel = channel.map_err(|error| self.error(&error))?;
        Ok((connection, channel))
    }

    /// Resolves when this connection is no longer the one.
    pub(super) fn lost(
        &self,
        connection: &Arc<Connection>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (mut state, connection) = (self.state.clone(), Arc::downgrade(connection));
        async move {
            let other = |state: &State| match state {
                State::Up(up) => !std::ptr::eq(Arc::as_ptr(up), connection.as_ptr()),
                _ => true,
            };
            // An error means that the supervisor is gone, and the connection with it.
            let _ = state.wait_for(other).await;
        }
    }

    /// Resolves when there will be no connection again.
    pub(super) async fn closed(&self) {
        let mut state = self.state.clone();
        let closed = state.wait_for(|state| matches!(state, State::Closed));
        // An error means that the supervisor is gone, which is the same.
        let _ = closed.await;
    }

    pub(super) fn error(&self, source: &lapin::Error) -> QueueError {
        let closed = match &*self.state.borrow() {
            State::Down => false,
            State::Up(connection) => !self.lasting && !connection.status().connected(),
            State::Closed => true,
        };
        if closed {
            QueueError::Closed
        } else {
            // As text, because lapin's own repeats its source.
            unavailable(source.to_string())
        }
    }
}

pub(super) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> QueueError {
    QueueError::Unavailable {
        backend: "amqp",
        source: source.into(),
    }
}

/// The work's result, or unavailable when it takes longer than `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let done = timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(unavailable(io::Error::from(io::ErrorKind::TimedOut))))
}

/// What the broker itself objected to: code and text.
pub(super) fn objection(error: &lapin::Error) -> Option<(u16, &str)> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some((error.get_id(), error.get_message().as_str())),
        _ => None,
    }
}

/// Waits that grow to `MAX`, each shortened at random by up to a half, so that a fleet does not come back at once.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    const MIN: Duration = Duration::from_millis(200);
    const MAX: Duration = Duration::from_secs(5);

    pub(super) fn new() -> Self {
        Self { next: Self::MIN }
    }

    pub(super) async fn wait(&mut self) {
        let this = self.next;
        self.next = (this * 2).min(Self::MAX);
        sleep(this.mul_f64(1.0 - rand::random::<f64>() / 2.0)).await;
    }
}

async fn supervise(
    dialer: &Dialer,
    purpose: &'static str,
    teller: &Teller,
    stop: &CancellationToken,
) {
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let Some(connected) = stop.run_until_cancelled(dialer.connect(purpose)).await else {
            break;
        };
        match connected {
            Ok(connection) => {
                tracing::info!(connection.name = purpose, "connected to the broker");
                (backoff, told) = (Backoff::new(), false);
                let connection = Arc::new(connection);
                teller
                    .state
                    .send_replace(State::Up(Arc::clone(&connection)));
                let watching = teller.watch(&connection);
                let Some(error) = stop.run_until_cancelled(watching).await else {
                    teller.state.send_replace(State::Closed);
                    say_goodbye(&connection).await;
                    break;
                };
                teller.state.send_replace(State::Down);
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(
                    connection.name = purpose,
                    error,
                    "lost the connection to the broker"
                );
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(connection.name = purpose, %error, "cannot reach the broker, trying on");
            }
            Err(_) => {}
        }
        if stop.run_until_cancelled(backoff.wait()).await.is_none() {
            break;
        }
    }
    teller.state.send_replace(State::Closed);
}

/// What a supervisor tells about its connection.
struct Teller {
    state: watch::Sender<State>,
    blocked: watch::Sender<bool>,
}

impl Teller {
    fn new(state: State) -> (Self, watch::Receiver<State>, watch::Receiver<bool>) {
        let (state, told) = watch::channel(state);
        let (blocked, told_blocked) = watch::channel(false);
        (Self { state, blocked }, told, told_blocked)
    }

    /// Returns when the connection is gone, with what was last heard of it.
    async fn watch(&self, connection: &Connection) -> Option<lapin::Error> {
        let mut events = pin!(connection.events_listener());
        let mut look = interval(LOOK);
        let mut last = None;
        while connection.status().connected() {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Error(error)) => last = Some(error),
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "the broker takes no messages for now");
                        self.blocked.send_replace(true);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker takes messages again");
                        self.blocked.send_replace(false);
                    }
                    _ => {}
                },
                _ = look.tick() => {}
            }
        }
        self.blocked.send_replace(false);
        last
    }
}

/// What was sent before is sent before.
async fn say_goodbye(connection: &Connection) {
    let closing = connection.close(lapin::protocol::constants::REPLY_SUCCESS, "OK".into());
    if !matches!(timeout(CLOSING, closing).await, Ok(Ok(()))) {
        tracing::debug!("the broker did not say goodbye");
    }
}
