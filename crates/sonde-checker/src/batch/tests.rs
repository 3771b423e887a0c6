//! A broker that is away, and one that takes only some.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use sonde_core::{Check, Monitor, MonitorId, QueueSettings, Region, Timestamp, WorkspaceId};
use sonde_queue::memory::MemoryQueue;
use sonde_queue::{
    Consumer, Depth, Outgoing, QueueName, ResultsMessage, Route, SealingKeys, TaskMessage, Topology,
};

use super::*;

/// A queue that refuses the first `failures` batches of results.
struct Unwell {
    queue: MemoryQueue,
    failures: AtomicU32,
}

#[async_trait]
impl Queue for Unwell {
    async fn declare(&self, topology: &Topology) -> Result<(), QueueError> {
        self.queue.declare(topology).await
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), QueueError> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(QueueError::Unavailable {
                backend: "test",
                source: "no".into(),
            });
        }
        self.queue.publish(messages).await
    }

    async fn consume(
        &self,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, QueueError> {
        self.queue.depth(queue).await
    }
}

const STORE: QueueName = QueueName::Store { partition: 0 };

async fn task(queue: &Unwell) -> Done {
    let check = Check::sample(Timestamp::UNIX_EPOCH);
    let (name, route) = (
        QueueName::Now {
            region: Region::local(),
        },
        Route::Now {
            region: Region::local(),
        },
    );
    let task = Outgoing {
        route,
        payload: TaskMessage::encode(&check, &SealingKeys::none()),
    };
    queue.queue.publish(vec![task]).await.unwrap();
    let mut consumer = queue.consume(&name, 1).await.unwrap();
    let delivery = consumer.receive().await.unwrap();
    Done {
        result: CheckResult::sample(),
        delivery,
        prefetch: 1,
    }
}

async fn start(failures: u32) -> Arc<Unwell> {
    let settings = QueueSettings {
        retry: Monitor::sample().retry,
        delivery_limit: 3,
        frequencies: Vec::new(),
        partitions: 1,
        alerting: false,
    };
    let queue = Unwell {
        queue: MemoryQueue::new(),
        failures: AtomicU32::new(failures),
    };
    queue
        .declare(&Topology::new(&settings, &[Region::local()], 1))
        .await
        .unwrap();
    Arc::new(queue)
}

fn publisher(queue: &Arc<Unwell>) -> Arc<Publisher> {
    Arc::new(Publisher {
        queue: Arc::clone(queue) as _,
        bus: Arc::new(queue.queue.clone()),
        partitions: 1,
        draining: CancellationToken::new(),
        metrics: CheckerMetrics::register(&mut Registry::default()),
    })
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_delays_results_but_loses_none() {
    let queue = start(3).await;
    let (done, finished) = mpsc::channel(CAPACITY);
    done.send(task(&queue).await).await.unwrap();
    drop(done);
    publisher(&queue).run(finished).await.unwrap();
    let message = queue
        .consume(&STORE, 1)
        .await
        .unwrap()
        .receive()
        .await
        .unwrap();
    assert_eq!(
        ResultsMessage::decode(&message.payload)
            .unwrap()
            .results
            .len(),
        1
    );
    let left = queue
        .depth(&QueueName::Now {
            region: Region::local(),
        })
        .await
        .unwrap();
    assert_eq!(left.ready, 0, "acknowledged");
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_result_was_not_confirmed_is_delivered_again() {
    let queue = start(u32::MAX).await;
    let (done, finished) = mpsc::channel(CAPACITY);
    done.send(task(&queue).await).await.unwrap();
    let publishing = publisher(&queue).run(finished);
    // The checker dies while the broker still refuses.
    let died = tokio::time::timeout(Duration::from_secs(10), publishing).await;
    assert!(died.is_err());
    let name = QueueName::Now {
        region: Region::local(),
    };
    let back = tokio::time::timeout(Duration::from_secs(10), async {
        while queue.depth(&name).await.unwrap().ready == 0 {
            tokio::task::yield_now().await;
        }
    });
    back.await.expect("back in the queue");
}

/// One whose results travel in this partition of two.
fn monitor_of(partition: u16) -> MonitorId {
    let ids = (0..100).map(|n| MonitorId::new(&format!("m{n}")).unwrap());
    let mut ids = ids.filter(|id| sonde_core::partition(&WorkspaceId::local(), id, 2) == partition);
    ids.next().unwrap()
}

/// The queue of partition 0 is all there is.
#[tokio::test(start_paused = true)]
async fn results_without_a_queue_wait_for_one_and_others_are_sent_once() {
    let queue = start(0).await;
    let (done, finished) = mpsc::channel(CAPACITY);
    let mut lost = task(&queue).await;
    lost.result.monitor = monitor_of(1);
    lost.prefetch = 100;
    let mut kept = task(&queue).await;
    kept.prefetch = 100;
    kept.result.monitor = monitor_of(0);
    done.send(lost).await.unwrap();
    done.send(kept).await.unwrap();
    drop(done);
    let publisher = Publisher {
        partitions: 2,
        ..Arc::into_inner(publisher(&queue)).unwrap()
    };
    let publishing = Arc::new(publisher).run(finished);
    let stuck = tokio::time::timeout(Duration::from_secs(30), publishing).await;
    assert!(stuck.is_err(), "a result without a queue is not done");
    let sent = queue.depth(&STORE).await.unwrap();
    assert_eq!(sent.ready, 1, "sent once though tried often");
}
