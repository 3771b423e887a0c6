//! What the in-process backend does beyond the conformance suites.

use std::time::Duration;

use sonde_core::{Region, RunId};
use tokio::time::timeout;

use super::*;
use crate::{
    Announcement, Bus, DeadLetters, Election, Office, Outgoing, QueueDeclaration, Route, Topic,
};

crate::queue_conformance!(memory, async { Some((MemoryQueue::new(), ())) });
crate::bus_conformance!(memory_bus, async { Some((MemoryQueue::new(), ())) });
crate::election_conformance!(memory_election, async {
    Some((MemoryElection::new(MemoryQueue::new()), ()))
});

const TIME_TO_LIVE: Duration = Duration::from_mins(1);

async fn queue_of_now() -> (MemoryQueue, QueueName, Route) {
    let region = Region::local();
    let name = QueueName::Now {
        region: region.clone(),
    };
    let route = Route::Now { region };
    let queue = MemoryQueue::new();
    let declaration = QueueDeclaration {
        time_to_live: Some(TIME_TO_LIVE),
        dead_letters: DeadLetters::Dead,
        ..QueueDeclaration::unbounded(name.clone(), Some(route.clone()))
    };
    let queues = vec![declaration];
    queue.declare(&Topology { queues }).await.unwrap();
    (queue, name, route)
}

fn message(route: &Route, payload: &str) -> Vec<Outgoing> {
    let (route, payload) = (route.clone(), payload.into());
    vec![Outgoing { route, payload }]
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_arrives_at_the_very_instant_of_its_expiry() {
    let (queue, _, route) = queue_of_now().await;
    let mut dead = queue.consume(&QueueName::Dead, 1).await.unwrap();
    let start = Instant::now();
    let waiting = timeout(TIME_TO_LIVE * 2, dead.receive());
    let (delivery, published) = tokio::join!(waiting, queue.publish(message(&route, "1")));
    published.unwrap();
    let delivery = delivery.expect("the expiry went unnoticed").unwrap();
    assert_eq!(delivery.death, Some(Death::Expired));
    assert_eq!(start.elapsed(), TIME_TO_LIVE);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_does_not_expire_until_it_is_given_back() {
    let (queue, name, route) = queue_of_now().await;
    queue.publish(message(&route, "1")).await.unwrap();
    let mut consumer = queue.consume(&name, 1).await.unwrap();
    let held = consumer.receive().await.unwrap();
    tokio::time::advance(TIME_TO_LIVE * 2).await;
    assert_eq!(queue.depth(&QueueName::Dead).await.unwrap().ready, 0);
    drop(held);
    assert_eq!(queue.depth(&QueueName::Dead).await.unwrap().ready, 1);
}

#[tokio::test]
async fn what_comes_back_stands_before_what_came_later() {
    let (queue, name, route) = queue_of_now().await;
    for payload in ["1", "2", "3"] {
        queue.publish(message(&route, payload)).await.unwrap();
    }
    let mut consumer = queue.consume(&name, 3).await.unwrap();
    let first = consumer.receive().await.unwrap();
    let second = consumer.receive().await.unwrap();
    drop(first);
    drop(second);
    for expected in ["1", "2", "3"] {
        let delivery = consumer.receive().await.unwrap();
        assert_eq!(delivery.payload, expected.as_bytes());
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn closing_ends_waiting_and_publishing_but_not_settling() {
    let (queue, name, route) = queue_of_now().await;
    queue.publish(message(&route, "1")).await.unwrap();
    let mut consumer = queue.consume(&name, 2).await.unwrap();
    let held = consumer.receive().await.unwrap();
    let close = async { queue.close() };
    let waiting = timeout(TIME_TO_LIVE, consumer.receive());
    let (received, ()) = tokio::join!(waiting, close);
    assert!(matches!(received, Ok(Err(QueueError::Closed))));
    let published = queue.publish(message(&route, "2")).await;
    assert!(matches!(published, Err(QueueError::Closed)));
    held.ack().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_notification_comes_back_when_its_wait_is_over() {
    let delay = Duration::from_secs(10);
    let retry = QueueName::NotificationsRetry { delay };
    // Addressed by a route, because nothing publishes to it yet.
    let declarations = vec![
        QueueDeclaration::unbounded(QueueName::Notifications, None),
        QueueDeclaration {
            time_to_live: Some(delay),
            dead_letters: DeadLetters::Notifications,
            ..QueueDeclaration::unbounded(retry, Some(Route::Poison))
        },
    ];
    let queue = MemoryQueue::new();
    let topology = Topology {
        queues: declarations,
    };
    queue.declare(&topology).await.unwrap();
    queue.publish(message(&Route::Poison, "1")).await.unwrap();
    tokio::time::advance(delay).await;
    let depth = queue.depth(&QueueName::Notifications).await.unwrap();
    assert_eq!(depth.ready, 1);
}

#[tokio::test]
async fn beyond_its_length_a_queue_drops_the_oldest() {
    let declaration = QueueDeclaration {
        max_length: Some(1),
        ..QueueDeclaration::unbounded(QueueName::Poison, Some(Route::Poison))
    };
    let queue = MemoryQueue::new();
    let queues = vec![declaration];
    queue.declare(&Topology { queues }).await.unwrap();
    for payload in ["1", "2"] {
        let published = queue.publish(message(&Route::Poison, payload));
        published.await.unwrap();
    }
    let mut consumer = queue.consume(&QueueName::Poison, 2).await.unwrap();
    let newest = consumer.receive().await.unwrap();
    assert_eq!(newest.payload, b"2");
    assert_eq!(queue.depth(&QueueName::Poison).await.unwrap().ready, 0);
}

#[tokio::test]
async fn a_slow_listener_loses_the_oldest() {
    let queue = MemoryQueue::new();
    let topic = Topic::Run {
        run_id: RunId::from_u64(1),
    };
    let mut listener = queue.listen(std::slice::from_ref(&topic)).await.unwrap();
    for number in 0..3000_u32 {
        let (topic, payload) = (topic.clone(), number.to_string().into_bytes());
        let announced = queue.announce(Announcement { topic, payload });
        announced.await.unwrap();
    }
    queue.close();
    let mut heard = Vec::new();
    while let Ok(announcement) = listener.next().await {
        heard.push(announcement.payload);
    }
    assert_eq!(heard.last().map(Vec::as_slice), Some(&b"2999"[..]));
    assert!(heard.len() < 3000);
}

#[tokio::test]
async fn leadership_can_be_taken_away() {
    let election = MemoryElection::new(queue_of_now().await.0);
    let leader = election.lead(Office::Dispatcher).await.unwrap();
    let route = Route::Now {
        region: Region::local(),
    };
    let publish = async || leader.queue().publish(message(&route, "1")).await;
    publish().await.unwrap();
    election.lose(Office::Dispatcher);
    timeout(TIME_TO_LIVE, leader.lost()).await.unwrap();
    assert!(matches!(publish().await, Err(QueueError::Closed)));
    let next = timeout(TIME_TO_LIVE, election.lead(Office::Dispatcher))
        .await
        .unwrap();
    next.unwrap();
}
