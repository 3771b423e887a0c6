//! The backend on RabbitMQ, for a fleet. Whatever happens to connections, channels and queues, consumers and listeners
//! come back by themselves; publishers get an error and publish again.
//!
//! Publishing and consuming have connections of their own, because a broker that is short of memory or disk stops
//! reading from whoever publishes.

mod bus;
mod consume;
mod declare;
mod election;
mod headers;
mod link;
mod management;
mod names;
mod publish;
mod subscription;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::{Host, Url};

use self::bus::Announcer;
use self::link::{Dialer, Link, State, unavailable};
use self::publish::Publisher;
use crate::{
    Announcement, Bus, Consumer, Depth, Election, Leader, Listener, Office, Outgoing, Queue,
    QueueName, Result, Topic, Topology,
};

pub use declare::TopologyProblem;
pub use management::Management;

/// DESIGN: a silent process loses leadership after three of them.
const HEARTBEAT_SECONDS: u16 = 5;

/// Lapin keeps room for 64 frames per connection: 8 MiB with the broker's 128 KiB, half of one with this. A task fits;
/// batches of results take several.
const FRAME_BYTES: u32 = 8 * 1024;

/// For what dropped consumers give back, and then once more for saying goodbye.
const CLOSING: Duration = Duration::from_secs(5);

pub struct Options {
    /// `amqp://user:password@host:port/vhost`, or `amqps`. `?heartbeat=5` unless it says otherwise.
    pub url: String,
    /// How the broker shows the connections.
    pub name: String,
}

/// A handle; clones share the connections, which end with the last of them.
#[derive(Clone)]
pub struct Amqp {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Arc<Dialer>,
    broker: Broker,
    announcer: Announcer,
    connected: watch::Receiver<bool>,
    tasks: TaskTracker,
    background: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Debug, thiserror::Error)]
#[error("not the URL of an AMQP broker: {0}")]
struct BadUrl(String);

impl Amqp {
    /// Connects in the background, for as long as it takes: only a URL that cannot work is an error. Must be called in
    /// a Tokio runtime.
    pub fn start(options: Options) -> Result<Self> {
        let uri = parse(&options.url).map_err(unavailable)?;
        let name = options.name;
        let dialer = Arc::new(Dialer { uri, name });
        let (tasks, background) = (TaskTracker::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let link = |purpose| {
            let (dialer, background) = (Arc::clone(&dialer), background.clone());
            Link::supervised(dialer, purpose, &tasks, background, stop.clone())
        };
        let broker = Broker::new(link("publishing"), link("consuming"));
        let (sender, connected) = watch::channel(false);
        let states = [broker.publishing.state(), broker.consuming.state()];
        tasks.spawn(async move { tell_when_up(states, &sender).await });
        let shared = Shared {
            announcer: Announcer::new(broker.publishing.clone()),
            broker,
            connected,
            tasks,
            background,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            dialer,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Connects once and goes again: tells why that fails, which is only logged of connections that are tried on and on.
    pub async fn greet(options: &Options) -> Result<()> {
        let uri = parse(&options.url).map_err(unavailable)?;
        let name = options.name.clone();
        let greeted = Dialer { uri, name }.greet().await;
        greeted.map_err(unavailable)
    }

    /// Whether all its connections are up.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.shared.connected.clone()
    }

    /// How the broker differs from `topology`. Creates no queue, but binds again what is there.
    pub async fn verify(&self, topology: &Topology) -> Result<Vec<TopologyProblem>> {
        declare::verify(&self.shared.broker.publishing, topology).await
    }

    /// Sends what is on its way, then ends the connections; everything fails with [`crate::QueueError::Closed`] from
    /// then on. What was received and not settled is delivered again.
    pub async fn close(&self) {
        let Shared {
            tasks,
            background,
            stop,
            ..
        } = &*self.shared;
        background.close();
        let _ = timeout(CLOSING, background.wait()).await;
        stop.cancel();
        tasks.close();
        let _ = timeout(CLOSING, tasks.wait()).await;
    }
}

/// Never says what the URL is: it has a password in it.
fn parse(text: &str) -> Result<AMQPUri, BadUrl> {
    let url: Url = text.parse().map_err(|error| BadUrl(format!("{error}")))?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(BadUrl("it must begin with amqp:// or amqps://".to_owned()));
    }
    let Some(host) = url.host() else {
        return Err(BadUrl("it names no host".to_owned()));
    };
    let bad = |_| BadUrl("its parameters cannot be read".to_owned());
    let mut uri: AMQPUri = text.parse().map_err(bad)?;
    if let Host::Ipv6(address) = host {
        // Lapin's own reading takes such a host for localhost.
        uri.authority.host = address.to_string();
    }
    if uri.vhost.is_empty() {
        // What a trailing slash means to people; a broker has no virtual host without a name.
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query.frame_max.get_or_insert(FRAME_BYTES);
    Ok(uri)
}

async fn tell_when_up(mut states: [watch::Receiver<State>; 2], sender: &watch::Sender<bool>) {
    loop {
        let up = states
            .iter_mut()
            .all(|state| state.borrow_and_update().is_up());
        sender.send_if_modified(|told| std::mem::replace(told, up) != up);
        let [one, other] = &mut states;
        let changed = tokio::select! {
            changed = one.changed() => changed,
            changed = other.changed() => changed,
        };
        if changed.is_err() {
            break; // closed, and said so before
        }
    }
    sender.send_replace(false);
}

/// The queue over connections that somebody else looks after.
struct Broker {
    publishing: Link,
    consuming: Link,
    publisher: Publisher,
}

impl Broker {
    fn new(publishing: Link, consuming: Link) -> Self {
        Self {
            publisher: Publisher::new(publishing.clone()),
            publishing,
            consuming,
        }
    }
}

#[async_trait]
impl Queue for Broker {
    async fn declare(&self, topology: &Topology) -> Result<()> {
        declare::declare(&self.publishing, topology).await
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        self.publisher.publish(&messages).await
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        consume::consume(&self.consuming, queue, prefetch).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        declare::depth(&self.consuming, queue).await
    }
}

#[async_trait]
impl Queue for Amqp {
    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.shared.broker.declare(topology).await
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        self.shared.broker.publish(messages).await
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        self.shared.broker.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.shared.broker.depth(queue).await
    }
}

#[async_trait]
impl Bus for Amqp {
    async fn announce(&self, announcement: Announcement) -> Result<()> {
        self.shared.announcer.announce(announcement).await
    }

    async fn listen(&self, topics: &[Topic]) -> Result<Box<dyn Listener>> {
        bus::listen(&self.shared.broker.consuming, topics).await
    }
}

#[async_trait]
impl Election for Amqp {
    async fn lead(&self, office: Office) -> Result<Arc<dyn Leader>> {
        election::lead(&self.shared.dialer, office, &self.shared.stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_completed() {
        let uri = parse("amqp://guest:guest@[::1]:5673/").unwrap();
        assert_eq!(uri.authority.host, "::1");
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("/", Some(5)));
        let uri = parse("amqps://broker.example/sonde?heartbeat=20").unwrap();
        assert_eq!(
            (uri.vhost.as_str(), uri.query.heartbeat),
            ("sonde", Some(20))
        );
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        for bad in [
            "http://u:secret@broker",
            "amqp:secret",
            "amqp://u:secret@broker?heartbeat=secret",
            "broker:secret",
            "",
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
