//! What every backend must do. Each test takes a fresh, empty queue and declares what it needs.
//!
//! Nothing here relies on more than a broker's quorum queues promise: order holds only until something is redelivered,
//! and time limits are real and short.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test code")]

pub mod bus;
pub mod election;

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{Frequency, Region};
use tokio::time::{interval, timeout};

use crate::{
    Consumer, DeadLetters, Death, Delivery, Outgoing, Queue, QueueDeclaration, QueueError,
    QueueName, Route, Topology,
};

/// Every wait has an end: a backend that loses a message fails rather than hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a message to show up that should not.
const SILENCE: Duration = Duration::from_millis(300);
const TIME_TO_LIVE: Duration = Duration::from_millis(300);

fn frequency() -> Frequency {
    Frequency::new("5s").unwrap()
}

fn checks() -> QueueName {
    QueueName::Checks {
        frequency: frequency(),
        region: Region::local(),
    }
}

fn route() -> Route {
    Route::Checks {
        frequency: frequency(),
        region: Region::local(),
    }
}

/// The dead letters and one queue of checks.
async fn declare(
    queue: &dyn Queue,
    time_to_live: Option<Duration>,
    delivery_limit: Option<u32>,
) -> Topology {
    let limits = |name, bound_to, time_to_live, delivery_limit| QueueDeclaration {
        time_to_live,
        delivery_limit,
        dead_letters: DeadLetters::Dead,
        ..QueueDeclaration::unbounded(name, bound_to)
    };
    let queues = vec![
        QueueDeclaration::unbounded(QueueName::Dead, None),
        limits(checks(), Some(route()), time_to_live, delivery_limit),
    ];
    let topology = Topology { queues };
    queue.declare(&topology).await.unwrap();
    topology
}

fn outgoing(payload: &impl ToString) -> Outgoing {
    let payload = payload.to_string().into_bytes();
    let route = route();
    Outgoing { route, payload }
}

async fn publish(queue: &dyn Queue, payloads: &[&str]) {
    let messages = payloads.iter().map(outgoing).collect();
    queue.publish(messages).await.unwrap();
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    let received = timeout(PATIENCE, consumer.receive()).await;
    received.expect("a message was lost").unwrap()
}

async fn nothing_comes(consumer: &mut dyn Consumer) -> bool {
    timeout(SILENCE, consumer.receive()).await.is_err()
}

/// Brokers count lazily: waits until the depth is the expected one.
async fn depth_becomes(queue: &dyn Queue, name: &QueueName, expected: u64) {
    let mut ticks = interval(Duration::from_millis(10));
    let reached = timeout(PATIENCE, async {
        while queue.depth(name).await.unwrap().ready != expected {
            ticks.tick().await;
        }
    });
    assert!(reached.await.is_ok(), "depth of {name} is not {expected}");
}

pub async fn delivers_in_order_and_once(queue: &dyn Queue) {
    declare(queue, None, None).await;
    publish(queue, &["1", "2", "3"]).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    for expected in [b"1", b"2", b"3"] {
        let delivery = next(&mut *consumer).await;
        assert_eq!(delivery.payload, expected);
        assert_eq!((delivery.redeliveries, delivery.death), (0, None));
        delivery.ack().await.unwrap();
    }
    assert!(nothing_comes(&mut *consumer).await, "acked and came back");
}

pub async fn declaring_again_changes_nothing(queue: &dyn Queue) {
    let topology = declare(queue, None, Some(2)).await;
    publish(queue, &["1"]).await;
    queue.declare(&topology).await.unwrap();
    depth_becomes(queue, &checks(), 1).await;
}

pub async fn dropped_is_redelivered_and_counted(queue: &dyn Queue) {
    declare(queue, None, None).await;
    publish(queue, &["1"]).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    for count in 0..3 {
        let delivery = next(&mut *consumer).await;
        assert_eq!(delivery.payload, b"1");
        assert_eq!(delivery.redeliveries, count);
        drop(delivery);
    }
}

pub async fn requeued_is_redelivered(queue: &dyn Queue) {
    declare(queue, None, None).await;
    publish(queue, &["1"]).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    next(&mut *consumer).await.requeue().await.unwrap();
    let again = next(&mut *consumer).await;
    assert_eq!(again.payload, b"1");
    again.ack().await.unwrap();
}

async fn expect_dead(queue: &dyn Queue, payload: &[u8], death: Death) {
    let mut dead = queue.consume(&QueueName::Dead, 1).await.unwrap();
    let delivery = next(&mut *dead).await;
    assert_eq!(delivery.payload, payload);
    assert_eq!(delivery.death, Some(death));
    delivery.ack().await.unwrap();
    assert!(nothing_comes(&mut *dead).await, "died twice");
}

pub async fn rejected_is_dead_lettered(queue: &dyn Queue) {
    declare(queue, None, Some(3)).await;
    publish(queue, &["1"]).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    next(&mut *consumer).await.reject().await.unwrap();
    expect_dead(queue, b"1", Death::Rejected).await;
    assert!(nothing_comes(&mut *consumer).await, "dead, and came back");
}

pub async fn over_the_delivery_limit_is_dead_lettered(queue: &dyn Queue) {
    declare(queue, None, Some(2)).await;
    publish(queue, &["1"]).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    for _ in 0..3 {
        drop(next(&mut *consumer).await);
    }
    expect_dead(queue, b"1", Death::DeliveryLimit).await;
    assert!(nothing_comes(&mut *consumer).await, "dead, and came back");
}

pub async fn expired_is_dead_lettered_though_nobody_consumes(queue: &dyn Queue) {
    declare(queue, Some(TIME_TO_LIVE), None).await;
    publish(queue, &["1"]).await;
    expect_dead(queue, b"1", Death::Expired).await;
    depth_becomes(queue, &checks(), 0).await;
}

pub async fn expired_is_not_delivered(queue: &dyn Queue) {
    declare(queue, Some(TIME_TO_LIVE), None).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    publish(queue, &["1", "2"]).await;
    let held = next(&mut *consumer).await;
    depth_becomes(queue, &QueueName::Dead, 1).await;
    expect_dead(queue, b"2", Death::Expired).await;
    assert_eq!(held.payload, b"1");
    held.ack().await.unwrap();
    assert!(nothing_comes(&mut *consumer).await);
}

pub async fn prefetch_bounds_what_is_unsettled(queue: &dyn Queue) {
    declare(queue, None, None).await;
    publish(queue, &["1", "2", "3"]).await;
    let mut consumer = queue.consume(&checks(), 2).await.unwrap();
    let first = next(&mut *consumer).await;
    let second = next(&mut *consumer).await;
    assert!(nothing_comes(&mut *consumer).await, "more than prefetch");
    first.ack().await.unwrap();
    let third = next(&mut *consumer).await;
    assert_eq!(third.payload, b"3");
    second.ack().await.unwrap();
    third.ack().await.unwrap();
}

pub async fn competing_consumers_share_the_messages(queue: &dyn Queue) {
    declare(queue, None, None).await;
    queue
        .publish((0..20).map(|n| outgoing(&n)).collect())
        .await
        .unwrap();
    let mut one = queue.consume(&checks(), 1).await.unwrap();
    let mut two = queue.consume(&checks(), 1).await.unwrap();
    let held = next(&mut *one).await;
    let mut seen = drain(&mut *two).await;
    seen.push(held.payload.clone());
    held.ack().await.unwrap();
    seen.extend(drain(&mut *one).await);
    assert_each_once(&seen, 20);
}

async fn drain(consumer: &mut dyn Consumer) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let Ok(received) = timeout(SILENCE, consumer.receive()).await {
        let delivery = received.unwrap();
        payloads.push(delivery.payload.clone());
        delivery.ack().await.unwrap();
    }
    payloads
}

fn assert_each_once(payloads: &[Vec<u8>], count: usize) {
    let distinct: BTreeSet<_> = payloads.iter().collect();
    assert_eq!((payloads.len(), distinct.len()), (count, count));
}

pub async fn receiving_is_cancel_safe(queue: &dyn Queue) {
    const MESSAGES: usize = 50;
    declare(queue, None, None).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    let publishing = async {
        for payload in 0..MESSAGES {
            queue.publish(vec![outgoing(&payload)]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut payloads = Vec::new();
    let receiving = timeout(PATIENCE, async {
        while payloads.len() < MESSAGES {
            let brief = Duration::from_micros(100);
            if let Ok(received) = timeout(brief, consumer.receive()).await {
                let delivery = received.unwrap();
                assert_eq!(delivery.redeliveries, 0, "handed out and dropped");
                payloads.push(delivery.payload.clone());
                delivery.ack().await.unwrap();
            }
        }
    });
    let ((), received) = tokio::join!(publishing, receiving);
    received.expect("a cancelled receive lost a message");
    assert_each_once(&payloads, MESSAGES);
}

pub async fn a_message_that_nobody_takes_is_an_error(queue: &dyn Queue) {
    declare(queue, None, None).await;
    let elsewhere = Route::Now {
        region: Region::new("nowhere").unwrap(),
    };
    let lost = Outgoing {
        route: elsewhere.clone(),
        payload: b"1".to_vec(),
    };
    let messages = vec![outgoing(&"0"), lost, outgoing(&"2")];
    let published = timeout(PATIENCE, queue.publish(messages))
        .await
        .expect("the answer was lost");
    let Err(QueueError::Unroutable { route, indexes }) = published else {
        unreachable!("{published:?}");
    };
    assert_eq!((route, indexes), (elsewhere, vec![1]));
    // The others went their way.
    depth_becomes(queue, &checks(), 2).await;
}

pub async fn only_what_is_declared_can_be_consumed(queue: &dyn Queue) {
    let consumed = queue.consume(&checks(), 1).await.map(|_| ());
    assert!(matches!(consumed, Err(QueueError::NotDeclared(name)) if name == checks()));
    let depth = queue.depth(&checks()).await;
    assert!(matches!(depth, Err(QueueError::NotDeclared(_))));
}

pub async fn depth_counts_what_waits(queue: &dyn Queue) {
    declare(queue, None, None).await;
    depth_becomes(queue, &checks(), 0).await;
    publish(queue, &["1", "2", "3"]).await;
    depth_becomes(queue, &checks(), 3).await;
    let mut consumer = queue.consume(&checks(), 1).await.unwrap();
    let held = next(&mut *consumer).await;
    depth_becomes(queue, &checks(), 2).await;
    held.ack().await.unwrap();
}

/// Runs the whole suite against one backend: `queue_conformance!(name, async { Some((fresh_queue, guard)) })`, where the
/// guard is dropped at the end of a test, and nothing skips it.
#[macro_export]
macro_rules! queue_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::queue_conformance!(@tests $backend, $fresh;
            delivers_in_order_and_once,
            declaring_again_changes_nothing,
            dropped_is_redelivered_and_counted,
            requeued_is_redelivered,
            rejected_is_dead_lettered,
            over_the_delivery_limit_is_dead_lettered,
            expired_is_dead_lettered_though_nobody_consumes,
            expired_is_not_delivered,
            prefetch_bounds_what_is_unsettled,
            competing_consumers_share_the_messages,
            receiving_is_cancel_safe,
            a_message_that_nobody_takes_is_an_error,
            only_what_is_declared_can_be_consumed,
            depth_counts_what_waits,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    let Some((queue, _guard)) = $fresh.await else {
                        return;
                    };
                    $crate::conformance::$test(&queue).await;
                }
            )+
        }
    };
}
