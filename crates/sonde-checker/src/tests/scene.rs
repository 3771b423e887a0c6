//! What a checker's tests stand on: the in-process queue with one class, and ports of this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sonde_core::{
    Check, CheckResult, Clock, Frequency, FrequencyClass, HttpSpec, Monitor, QueueSettings, Region,
    Spec, SystemClock, Timestamp,
};
use sonde_probe::{Egress, Prober, Settings};
use sonde_queue::memory::MemoryQueue;
use sonde_queue::{
    Announcement, Bus, Consumer, Death, Delivery, Depth, Listener, Outgoing, Queue, QueueError,
    QueueName, Result, ResultsMessage, Route, SealingKeys, TaskMessage, Topic, Topology,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{Checker, CheckerError, CheckerMetrics, CheckerOptions, CheckerParts};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const STORE: QueueName = QueueName::Store { partition: 0 };

pub(super) struct Scene {
    pub(super) queue: Arc<MemoryQueue>,
    /// Nothing listens there.
    closed: SocketAddr,
}

/// A checker that runs.
pub(super) struct Running {
    pub(super) shutdown: CancellationToken,
    checker: JoinSet<std::result::Result<(), CheckerError>>,
}

impl Running {
    pub(super) async fn stop(self) -> std::result::Result<(), CheckerError> {
        self.shutdown.cancel();
        self.ended().await
    }

    pub(super) async fn ended(mut self) -> std::result::Result<(), CheckerError> {
        let ended = timeout(PATIENCE, self.checker.join_next()).await;
        ended.expect("the checker does not end").unwrap().unwrap()
    }
}

fn class() -> FrequencyClass {
    FrequencyClass {
        name: Frequency::new("5s").unwrap(),
        period: Duration::from_secs(5),
        // One: a permit that is not freed is noticed.
        prefetch: 1,
    }
}

impl Scene {
    pub(super) async fn new() -> Self {
        let settings = QueueSettings {
            retry: Monitor::sample().retry,
            delivery_limit: 2,
            frequencies: vec![class()],
            partitions: 1,
            alerting: false,
        };
        let mut topology = Topology::new(&settings, &[Region::local()], 1);
        for queue in &mut topology.queues {
            queue.time_to_live = None;
        }
        let queue = MemoryQueue::new();
        queue.declare(&topology).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            queue: Arc::new(queue),
            closed: listener.local_addr().unwrap(),
        }
    }

    pub(super) fn parts(&self) -> CheckerParts {
        let prober = Prober::new(Settings {
            egress: Egress::open(),
            resolver: None,
            allow_exec: false,
            rdap_bootstrap: None,
            checker_id: "c1".to_owned(),
        });
        CheckerParts {
            queue: Arc::clone(&self.queue) as _,
            bus: Arc::clone(&self.queue) as _,
            keys: SealingKeys::none(),
            id: "c1".to_owned(),
            prober: prober.unwrap(),
            clock: Arc::new(SystemClock),
            region: Region::local(),
            frequencies: vec![class()],
            partitions: 1,
            options: CheckerOptions::default(),
            metrics: CheckerMetrics::register(&mut Registry::default()),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as the scene's other steps")]
    pub(super) fn build(&self, parts: CheckerParts) -> Checker {
        Checker::new(parts)
    }

    #[expect(clippy::unused_self, reason = "reads as the scene's other steps")]
    pub(super) fn run(&self, checker: Checker) -> Running {
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(checker.run(shutdown.clone()));
        Running {
            shutdown,
            checker: running,
        }
    }

    pub(super) fn start(&self, parts: CheckerParts) -> Running {
        self.run(self.build(parts))
    }

    /// Of a port where nothing listens: it fails at once.
    pub(super) fn check(&self) -> Check {
        check_of(self.closed)
    }

    pub(super) async fn publish_check(&self, check: &Check) {
        self.publish(TaskMessage::encode(check, &SealingKeys::none()))
            .await;
    }

    pub(super) async fn publish(&self, payload: Vec<u8>) {
        let route = Route::Checks {
            frequency: class().name,
            region: Region::local(),
        };
        let task = Outgoing { route, payload };
        self.queue.publish(vec![task]).await.unwrap();
    }

    /// Has the checker in the middle of a check until what this returns is dropped.
    pub(super) async fn hold_a_check(&self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.publish_check(&check_of(listener.local_addr().unwrap()))
            .await;
        let accepted = timeout(PATIENCE, listener.accept()).await;
        accepted.expect("no check began").unwrap().0
    }

    pub(super) async fn call_roll(&self) {
        let topic = Topic::RollCall;
        let payload = Vec::new();
        let call = Announcement { topic, payload };
        self.queue.announce(call).await.unwrap();
    }

    async fn next(&self, name: &QueueName) -> Delivery {
        let mut consumer = self.queue.consume(name, 1).await.unwrap();
        let received = timeout(PATIENCE, consumer.receive()).await;
        received.expect("nothing came").unwrap()
    }

    /// The next result, alone in its message.
    pub(super) async fn next_result(&self) -> CheckResult {
        let delivery = self.next(&STORE).await;
        let message = ResultsMessage::decode(&delivery.payload).unwrap();
        delivery.ack().await.unwrap();
        let [result] = &message.results[..] else {
            panic!("{message:?}");
        };
        result.clone()
    }

    pub(super) async fn next_dead(&self) -> (Vec<u8>, Option<Death>) {
        let delivery = self.next(&QueueName::Dead).await;
        let dead = (delivery.payload.clone(), delivery.death);
        delivery.ack().await.unwrap();
        dead
    }

    async fn depth(&self) -> Depth {
        let name = QueueName::Checks {
            frequency: class().name,
            region: Region::local(),
        };
        self.queue.depth(&name).await.unwrap()
    }

    /// Tasks that nobody holds.
    pub(super) async fn waiting(&self) -> u64 {
        self.depth().await.ready
    }

    pub(super) async fn consumers(&self) -> u32 {
        self.depth().await.consumers
    }

    pub(super) async fn until_nobody_consumes(&self) {
        let mut ticks = interval(Duration::from_millis(10));
        let gone = timeout(PATIENCE, async {
            while self.consumers().await > 0 {
                ticks.tick().await;
            }
        });
        gone.await.expect("still consuming");
    }

    /// The queue, whose first consumers fail `failures` times.
    pub(super) fn fails_first(&self, failures: u32) -> Arc<dyn Queue> {
        Arc::new(Failing {
            queue: Arc::clone(&self.queue),
            failures: Arc::new(AtomicU32::new(failures)),
        })
    }

    pub(super) fn panicking_bus(&self) -> Arc<dyn Bus> {
        Arc::new(Panicking(Arc::clone(&self.queue)))
    }
}

fn check_of(address: SocketAddr) -> Check {
    let mut check = Check::sample(SystemClock.now());
    let url = format!("http://{address}/").parse().unwrap();
    let monitor = Arc::make_mut(&mut check.monitor);
    monitor.spec = Spec::Http(Box::new(HttpSpec::get(url)));
    monitor.timeout = PATIENCE;
    monitor.interval = PATIENCE;
    check.deadline = check.slot + PATIENCE;
    check
}

/// The machine's clock, some seconds off, that panics when told to.
pub(super) struct Skewed {
    seconds: i64,
    pub(super) panics: AtomicBool,
}

impl Skewed {
    /// Ahead, or behind when negative.
    pub(super) fn by(seconds: i64) -> Arc<Self> {
        let panics = AtomicBool::new(false);
        Arc::new(Self { seconds, panics })
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        assert!(!self.panics.load(Ordering::Relaxed), "told to panic");
        Timestamp::from_micros(SystemClock.now().as_micros() + self.seconds * 1_000_000)
    }
}

struct Failing {
    queue: Arc<MemoryQueue>,
    failures: Arc<AtomicU32>,
}

struct FailingConsumer {
    consumer: Box<dyn Consumer>,
    failures: Arc<AtomicU32>,
}

#[async_trait]
impl Consumer for FailingConsumer {
    async fn receive(&mut self) -> Result<Delivery> {
        let take = |left: u32| left.checked_sub(1);
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if failed.is_ok() {
            return Err(QueueError::Unavailable {
                backend: "test",
                source: "no".into(),
            });
        }
        self.consumer.receive().await
    }
}

#[async_trait]
impl Queue for Failing {
    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.queue.declare(topology).await
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        self.queue.publish(messages).await
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(FailingConsumer {
            consumer: self.queue.consume(queue, prefetch).await?,
            failures: Arc::clone(&self.failures),
        }))
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.queue.depth(queue).await
    }
}

struct Panicking(Arc<MemoryQueue>);

#[async_trait]
impl Bus for Panicking {
    async fn announce(&self, _: Announcement) -> Result<()> {
        panic!("told to panic")
    }

    async fn listen(&self, topics: &[Topic]) -> Result<Box<dyn Listener>> {
        self.0.listen(topics).await
    }
}
