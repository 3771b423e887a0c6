//! The AMQP backend on a real broker: the conformance suites, and what only a broker has.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::{FrequencyClass, QueueSettings, Region, RetryPolicy};
use sonde_queue::amqp::{Amqp, Management, Options, TopologyProblem};
use sonde_queue::{
    DeadLetters, Outgoing, Queue, QueueDeclaration, QueueError, QueueName, Route, Topology,
};
use sonde_tests::services;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn start(url: &str) -> Amqp {
    Amqp::start(Options {
        url: url.to_owned(),
        name: "sonde test".to_owned(),
    })
    .unwrap()
}

/// On a virtual host of its own, which is deleted with the guard.
async fn fresh(name: &str, topology: &Topology) -> Option<(Amqp, services::Amqp)> {
    let broker = services::amqp(name).await?;
    let amqp = start(&broker.url);
    amqp.declare(topology).await.unwrap();
    Some((amqp, broker))
}

/// Only what is there for every queue.
async fn bare() -> Option<(Amqp, services::Amqp)> {
    fresh("queue", &Topology::default()).await
}

async fn with_watermark() -> Option<(Amqp, services::Amqp)> {
    let watermark = QueueDeclaration {
        max_length: Some(1),
        ..QueueDeclaration::unbounded(QueueName::Watermark, None)
    };
    let cron = QueueDeclaration::unbounded(QueueName::Cron, Some(Route::Cron));
    let queues = vec![watermark, cron];
    fresh("election", &Topology { queues }).await
}

sonde_queue::queue_conformance!(queue, bare());
sonde_queue::bus_conformance!(bus, bare());
sonde_queue::election_conformance!(election, with_watermark());

fn topology() -> Topology {
    let class = |name: &str, seconds| FrequencyClass {
        name: name.parse().unwrap(),
        period: Duration::from_secs(seconds),
        prefetch: 10,
    };
    let settings = QueueSettings {
        retry: RetryPolicy {
            retries: 3,
            initial: Duration::ZERO,
            factor: 2.0,
            max: Duration::ZERO,
            jitter: 0.0,
        },
        delivery_limit: 3,
        frequencies: vec![class("5s", 5), class("1m", 60)],
        partitions: 2,
        alerting: true,
    };
    let region = |name: &str| Region::new(name).unwrap();
    Topology::new(&settings, &[region("fra"), region("iad")], 2)
}

async fn problems(amqp: &Amqp, broker: &services::Amqp) -> [Vec<TopologyProblem>; 2] {
    let management = Management::new(&broker.management_url, &broker.url).unwrap();
    let verified = amqp.verify(&topology()).await.unwrap();
    [verified, management.diff(&topology()).await.unwrap()]
}

#[tokio::test]
async fn a_declared_topology_has_no_problems() {
    let Some((amqp, broker)) = fresh("declared", &topology()).await else {
        return;
    };
    assert_eq!(problems(&amqp, &broker).await, [vec![], vec![]]);
    amqp.declare(&topology()).await.unwrap();
    assert_eq!(problems(&amqp, &broker).await, [vec![], vec![]]);
}

#[tokio::test]
async fn what_is_missing_is_named_and_not_created() {
    let Some(broker) = services::amqp("missing").await else {
        return;
    };
    let amqp = start(&broker.url);
    for _ in 0..2 {
        for found in problems(&amqp, &broker).await {
            let missing = |queue: &QueueDeclaration| TopologyProblem::Missing(queue.name.clone());
            let queues: Vec<_> = topology().queues.iter().map(missing).collect();
            let (exchanges, rest) = found.split_at(7);
            assert_eq!(rest, queues);
            for exchange in exchanges {
                assert!(matches!(exchange, TopologyProblem::Exchange { .. }));
            }
        }
    }
}

#[tokio::test]
async fn what_differs_is_told_in_words() {
    let Some(broker) = services::amqp("differs").await else {
        return;
    };
    let path = |name: &str| format!("/api/queues/{}/{name}", broker.vhost);
    let quorum = json!({"x-queue-type": "quorum", "x-message-ttl": 7000, "x-max-length": 9});
    let queue = json!({"durable": true, "arguments": quorum});
    broker
        .manage(Method::PUT, &path("checks.5s.fra"), queue)
        .await;
    broker
        .manage(Method::PUT, &path("checks.5s.old"), json!({}))
        .await;
    let amqp = start(&broker.url);
    let declared = amqp.declare(&topology()).await;
    let Err(QueueError::Conflict { what, text }) = declared else {
        panic!("{declared:?}");
    };
    assert_eq!(what, "queue checks.5s.fra");
    assert!(text.contains("PRECONDITION_FAILED"), "{text}");

    let [verified, compared] = problems(&amqp, &broker).await;
    let conflict = |found: &[TopologyProblem]| {
        let texts = found.iter().filter_map(|problem| match problem {
            TopologyProblem::Conflict { queue, text } => Some(format!("{queue}: {text}")),
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    let verified = conflict(&verified);
    assert_eq!(verified.len(), 1);
    assert!(verified[0].contains("inequivalent arg"), "{verified:?}");
    let expected = "checks.5s.fra: x-dead-letter-exchange is missing, not \"sonde.dead\", \
        x-dead-letter-strategy is missing, not \"at-least-once\", x-delivery-limit is missing, not 3, \
        x-message-ttl is 7000, not 5000, x-overflow is missing, not \"reject-publish\", \
        x-max-length is 9, not missing";
    assert_eq!(conflict(&compared), [expected]);
    let surplus = TopologyProblem::Surplus("checks.5s.old".to_owned());
    assert!(compared.contains(&surplus));
}

#[tokio::test]
async fn a_lost_binding_is_found_and_made_again() {
    let Some((amqp, broker)) = fresh("binding", &topology()).await else {
        return;
    };
    let (vhost, binding) = (&broker.vhost, "e/sonde.results/q/results.ledger/ledger");
    let path = format!("/api/bindings/{vhost}/{binding}");
    broker.manage(Method::DELETE, &path, Value::Null).await;
    let management = Management::new(&broker.management_url, &broker.url).unwrap();
    let missing = TopologyProblem::MissingBinding {
        queue: QueueName::Ledger,
        exchange: "sonde.results",
        key: "ledger".to_owned(),
    };
    assert_eq!(management.diff(&topology()).await.unwrap(), [missing]);
    assert_eq!(problems(&amqp, &broker).await, [vec![], vec![]]);
}

#[tokio::test]
async fn results_reach_the_store_and_the_alerter() {
    let Some((amqp, _broker)) = fresh("results", &topology()).await else {
        return;
    };
    let message = |partition| Outgoing {
        route: Route::Results { partition },
        payload: partition.to_string().into_bytes(),
    };
    amqp.publish(vec![message(0), message(1)]).await.unwrap();
    for partition in [0, 1] {
        for queue in [
            QueueName::Store { partition },
            QueueName::Alert { partition },
        ] {
            let mut consumer = amqp.consume(&queue, 1).await.unwrap();
            let received = timeout(PATIENCE, consumer.receive()).await.unwrap();
            let delivery = received.unwrap();
            assert_eq!(delivery.payload, message(partition).payload);
            delivery.ack().await.unwrap();
        }
    }
}

/// Those that are returned come in any order and with any confirmation.
#[tokio::test]
async fn every_message_that_nobody_takes_is_named() {
    let Some((amqp, _broker)) = fresh("returned", &topology()).await else {
        return;
    };
    let message = |partition| Outgoing {
        route: Route::Results { partition },
        payload: vec![b'x'; 1000],
    };
    let nowhere = |index: &usize| index % 7 == 3;
    let messages = (0..500).map(|index| message(if nowhere(&index) { 9 } else { 1 }));
    let published = amqp.publish(messages.collect()).await;
    let Err(QueueError::Unroutable { route, indexes }) = published else {
        panic!("{published:?}");
    };
    assert_eq!(route, Route::Results { partition: 9 });
    assert_eq!(indexes, (0..500).filter(nowhere).collect::<Vec<_>>());
    // The next batch hears nothing of it.
    amqp.publish(vec![message(1)]).await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_consumer_had_not_handed_out_goes_back() {
    let Some((amqp, _broker)) = fresh("dropped", &topology()).await else {
        return;
    };
    let queue = QueueName::Store { partition: 0 };
    let message = |number: u32| Outgoing {
        route: Route::Results { partition: 0 },
        payload: number.to_string().into_bytes(),
    };
    amqp.publish((0..4).map(message).collect()).await.unwrap();
    let mut consumer = amqp.consume(&queue, 10).await.unwrap();
    let held = timeout(PATIENCE, consumer.receive()).await.unwrap();
    let held = held.unwrap();
    drop(consumer);

    let mut next = amqp.consume(&queue, 10).await.unwrap();
    let mut payloads = Vec::new();
    for _ in 1..4 {
        let received = timeout(PATIENCE, next.receive()).await.unwrap();
        let delivery = received.unwrap();
        payloads.push(delivery.payload.clone());
        delivery.ack().await.unwrap();
    }
    payloads.sort();
    assert_eq!(payloads, [b"1", b"2", b"3"]);
    // What was handed out is still its holder's.
    held.ack().await.unwrap();
    drop(next);
    amqp.close().await;
}

#[tokio::test]
async fn a_wait_on_the_broker_ends_in_the_queue_of_notifications() {
    let Some(broker) = services::amqp("notifications").await else {
        return;
    };
    let delay = Duration::from_millis(300);
    let retry = QueueDeclaration {
        time_to_live: Some(delay),
        dead_letters: DeadLetters::Notifications,
        ..QueueDeclaration::unbounded(QueueName::NotificationsRetry { delay }, None)
    };
    let queues = vec![
        QueueDeclaration::unbounded(QueueName::Notifications, None),
        retry,
    ];
    let amqp = start(&broker.url);
    amqp.declare(&Topology { queues }).await.unwrap();
    let name = QueueName::NotificationsRetry { delay }.to_string();
    let published = broker.publish("sonde.notifications", &name, b"again");
    assert!(published.await);
    let mut consumer = amqp.consume(&QueueName::Notifications, 1).await.unwrap();
    let received = timeout(PATIENCE, consumer.receive()).await.unwrap();
    let delivery = received.unwrap();
    assert_eq!(delivery.payload, b"again");
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn after_closing_everything_says_so() {
    let Some((amqp, _broker)) = fresh("closing", &topology()).await else {
        return;
    };
    let mut consumer = amqp.consume(&QueueName::Ledger, 1).await.unwrap();
    let connected = amqp.connected();
    amqp.close().await;
    assert!(!*connected.borrow());
    let received = timeout(PATIENCE, consumer.receive()).await.unwrap();
    assert!(matches!(received.map(|_| ()), Err(QueueError::Closed)));
    let route = Route::Ledger;
    let payload = Vec::new();
    let published = amqp.publish(vec![Outgoing { route, payload }]).await;
    assert!(matches!(published, Err(QueueError::Closed)));
}
