//! The AMQP backend when connections break, go silent or are closed, queues vanish, and the broker dies or is short of
//! memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::Timestamp;
use sonde_queue::amqp::Amqp;
use sonde_queue::{
    Announcement, Bus, Consumer, Delivery, Election, Leader, Office, Outgoing, Queue,
    QueueDeclaration, QueueError, QueueName, Route, Topic, Topology, WatermarkMessage,
};
use sonde_tests::stub::link::Link;
use sonde_tests::{services, wait_until};
use tokio::time::timeout;
use url::Url;

use crate::amqp::start;

/// A broker that comes back, and whoever waits for it with growing pauses.
const PATIENCE: Duration = Duration::from_mins(1);

fn topology() -> Topology {
    let watermark = QueueDeclaration {
        max_length: Some(1),
        ..QueueDeclaration::unbounded(QueueName::Watermark, None)
    };
    let queues = vec![
        QueueDeclaration::unbounded(QueueName::Ledger, Some(Route::Ledger)),
        watermark,
    ];
    Topology { queues }
}

/// A virtual host, somebody whose way there breaks, and somebody else.
struct Setting {
    broker: services::Amqp,
    link: Link,
    /// Through the link.
    amqp: Amqp,
    /// Not through the link.
    other: Amqp,
}

impl Setting {
    async fn new(name: &str) -> Option<Self> {
        let broker = services::amqp(name).await?;
        let mut url: Url = broker.url.parse().unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let link = Link::start(target.parse::<SocketAddr>().unwrap()).await;
        url.set_host(Some(&link.address().ip().to_string()))
            .unwrap();
        url.set_port(Some(link.address().port())).unwrap();
        // So that silence is noticed after two seconds instead of ten.
        url.set_query(Some("heartbeat=1"));
        let other = start(&broker.url);
        other.declare(&topology()).await.unwrap();
        Some(Self {
            amqp: start(url.as_str()),
            broker,
            link,
            other,
        })
    }
}

fn message(payload: &(impl ToString + ?Sized)) -> Outgoing {
    let payload = payload.to_string().into_bytes();
    let route = Route::Ledger;
    Outgoing { route, payload }
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    let received = timeout(PATIENCE, consumer.receive()).await;
    received.expect("a message was lost").unwrap()
}

/// As producers do: again and again until it is confirmed.
async fn publish(queue: &dyn Queue, messages: &[Outgoing]) {
    let publishing = async {
        while let Err(error) = queue.publish(messages.to_vec()).await {
            assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
        }
    };
    let published = timeout(PATIENCE, publishing).await;
    published.expect("nothing can be published any more");
}

async fn becomes(amqp: &Amqp, connected: bool) {
    let mut state = amqp.connected();
    let change = timeout(PATIENCE, state.wait_for(|it| *it == connected)).await;
    change.expect("the connections do not become so").unwrap();
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_is_waited_for() {
    let Some(setting) = Setting::new("late").await else {
        return;
    };
    setting.link.silence();
    setting.link.cut();
    let Setting { amqp, link, .. } = setting;
    becomes(&amqp, false).await;
    let messages = [message(&1)];
    let consuming = amqp.consume(&QueueName::Ledger, 1);
    let arriving = async {
        link.heal();
        becomes(&amqp, true).await;
    };
    let (consumer, (), ()) = tokio::join!(consuming, publish(&amqp, &messages), arriving);
    let delivery = next(&mut *consumer.unwrap()).await;
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn a_consumer_comes_back_after_its_connection_is_cut() {
    let Some(setting) = Setting::new("cut").await else {
        return;
    };
    let Setting { amqp, link, .. } = &setting;
    publish(&setting.other, &[message(&1)]).await;
    let mut consumer = amqp.consume(&QueueName::Ledger, 10).await.unwrap();
    let held = next(&mut *consumer).await;
    link.cut();
    let again = next(&mut *consumer).await;
    assert_eq!((&*again.payload, again.redeliveries), (&b"1"[..], 1));
    let settled = held.ack().await;
    assert!(
        matches!(settled, Err(QueueError::Unavailable { .. })),
        "{settled:?}"
    );
    again.ack().await.unwrap();
    publish(&setting.other, &[message(&2)]).await;
    let delivery = next(&mut *consumer).await;
    assert_eq!(delivery.payload, b"2");
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn a_publisher_whose_connection_is_cut_is_told_and_can_publish_again() {
    let Some(setting) = Setting::new("told").await else {
        return;
    };
    let Setting { amqp, link, .. } = &setting;
    publish(amqp, &[message(&1)]).await;
    link.silence();
    let publishing = amqp.publish(vec![message(&2)]);
    let cutting = async { link.cut() };
    let (published, ()) = tokio::join!(biased; publishing, cutting);
    assert!(
        matches!(published, Err(QueueError::Unavailable { .. })),
        "{published:?}"
    );
    link.heal();
    publish(amqp, &[message(&2)]).await;
}

/// Each batch once at least: how often does not matter.
#[tokio::test]
async fn nothing_is_lost_while_connections_are_cut_again_and_again() {
    const BATCHES: usize = 40;
    const BATCH: usize = 25;
    let Some(setting) = Setting::new("again").await else {
        return;
    };
    let Setting { amqp, link, .. } = &setting;
    let mut consumer = amqp.consume(&QueueName::Ledger, 50).await.unwrap();
    let producing = async {
        for batch in 0..BATCHES {
            let messages: Vec<_> = (0..BATCH).map(|n| message(&(batch * BATCH + n))).collect();
            if batch % 8 == 4 {
                let cutting = async { link.cut() };
                tokio::join!(biased; publish(amqp, &messages), cutting);
            } else {
                publish(amqp, &messages).await;
            }
        }
    };
    let consuming = async {
        let mut seen = BTreeSet::new();
        while seen.len() < BATCHES * BATCH {
            let delivery = next(&mut *consumer).await;
            seen.insert(delivery.payload.clone());
            // Where the channel is gone it comes again, which is what this is about.
            let _ = delivery.ack().await;
        }
    };
    tokio::join!(producing, consuming);
}

#[tokio::test]
async fn a_silent_connection_is_given_up_and_replaced() {
    let Some(setting) = Setting::new("silent").await else {
        return;
    };
    let Setting { amqp, link, .. } = &setting;
    let mut consumer = amqp.consume(&QueueName::Ledger, 10).await.unwrap();
    becomes(amqp, true).await;
    link.silence();
    becomes(amqp, false).await;
    publish(&setting.other, &[message(&1)]).await;
    link.heal();
    let delivery = next(&mut *consumer).await;
    assert_eq!(delivery.payload, b"1");
    delivery.ack().await.unwrap();
    publish(amqp, &[message(&2)]).await;
}

#[tokio::test]
async fn a_listener_hears_again_after_its_connection_is_cut() {
    let Some(setting) = Setting::new("hears").await else {
        return;
    };
    let Setting { amqp, link, .. } = &setting;
    let mut listener = amqp.listen(&[Topic::RollCall]).await.unwrap();
    link.cut();
    becomes(amqp, false).await;
    // Nothing is kept for who is away, so it is said until it is heard.
    let mut heard = None;
    wait_until(PATIENCE, async || {
        let (topic, payload) = (Topic::RollCall, Vec::new());
        let announcement = Announcement { topic, payload };
        setting.other.announce(announcement).await.unwrap();
        heard = timeout(Duration::from_millis(50), listener.next())
            .await
            .ok();
        heard.is_some()
    })
    .await;
    assert_eq!(heard.unwrap().unwrap().topic, Topic::RollCall);
}

async fn takes_over(setting: &Setting, leader: &dyn Leader) {
    let queue = leader.queue();
    let losing = timeout(PATIENCE, leader.lost());
    let (lost, next) = tokio::join!(
        losing,
        timeout(PATIENCE, setting.other.lead(Office::Dispatcher))
    );
    lost.expect("a leader without a connection");
    let published = queue.publish(vec![message("late")]).await;
    assert!(
        matches!(published, Err(QueueError::Closed)),
        "{published:?}"
    );
    let next = next.expect("nobody takes over").unwrap();
    let watermark = next.watermark().await.unwrap();
    assert_eq!(watermark, Some(saved()));
}

fn saved() -> WatermarkMessage {
    WatermarkMessage::new(Timestamp::from_micros(7), Vec::new())
}

#[tokio::test]
async fn a_leader_whose_connection_is_cut_is_followed_by_another() {
    let Some(setting) = Setting::new("leader-cut").await else {
        return;
    };
    let leader = setting.amqp.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    setting.link.cut();
    takes_over(&setting, &*leader).await;
}

#[tokio::test]
async fn a_leader_that_goes_silent_is_followed_by_another() {
    let Some(setting) = Setting::new("leader-silent").await else {
        return;
    };
    let leader = setting.amqp.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    setting.link.silence();
    takes_over(&setting, &*leader).await;
}

/// The next leader dies in turn, between reading and saving.
#[tokio::test]
async fn a_watermark_survives_a_leader_that_dies_while_it_reads_it() {
    let Some(setting) = Setting::new("reading").await else {
        return;
    };
    let leader = setting.other.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    drop(leader);
    let leader = setting.amqp.lead(Office::Dispatcher).await.unwrap();
    let cutting = async { setting.link.cut() };
    let (_, ()) = tokio::join!(biased; leader.watermark(), cutting);
    takes_over(&setting, &*leader).await;
}

#[tokio::test]
async fn connections_that_the_broker_closes_are_made_again() {
    let Some(setting) = Setting::new("closes").await else {
        return;
    };
    let Setting { broker, other, .. } = &setting;
    let mut consumer = other.consume(&QueueName::Ledger, 10).await.unwrap();
    let leader = other.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    // The management API learns of connections late.
    let path = format!("/api/vhosts/{}/connections", broker.vhost);
    let mut connections = Vec::new();
    wait_until(PATIENCE, async || {
        let answer = broker.manage(Method::GET, &path, Value::Null).await;
        connections = answer.as_array().cloned().unwrap();
        connections.len() == 5
    })
    .await;
    for connection in connections {
        let name = connection["name"].as_str().unwrap();
        let name = name.replace(' ', "%20").replace('>', "%3E");
        let path = format!("/api/connections/{name}");
        broker.manage(Method::DELETE, &path, Value::Null).await;
    }
    takes_over(&setting, &*leader).await;
    publish(other, &[message(&1)]).await;
    next(&mut *consumer).await.ack().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_its_consumer_is_consumed_when_it_is_back() {
    let Some(setting) = Setting::new("deleted").await else {
        return;
    };
    let Setting { broker, other, .. } = &setting;
    let mut consumer = other.consume(&QueueName::Ledger, 10).await.unwrap();
    publish(other, &[message(&1)]).await;
    let held = next(&mut *consumer).await;
    let path = format!("/api/queues/{}/{}", broker.vhost, QueueName::Ledger);
    broker.manage(Method::DELETE, &path, json!({})).await;
    let unroutable = other.publish(vec![message(&2)]).await;
    assert!(matches!(unroutable, Err(QueueError::Unroutable { .. })));
    // Noticed, and not found again yet.
    let silence = timeout(Duration::from_millis(500), consumer.receive()).await;
    assert!(silence.is_err());
    other.declare(&topology()).await.unwrap();
    publish(other, &[message(&3)]).await;
    let delivery = next(&mut *consumer).await;
    assert_eq!(delivery.payload, b"3");
    delivery.ack().await.unwrap();
    // Of no effect, and no harm.
    let _ = held.ack().await;
    publish(other, &[message(&4)]).await;
    next(&mut *consumer).await.ack().await.unwrap();
}

#[tokio::test]
async fn a_broker_short_of_memory_takes_messages_again_later_and_its_leader_stays() {
    let Some(broker) = services::broker().await else {
        return;
    };
    let vhost = broker.vhost("alarm").await;
    let amqp = start(&vhost.url);
    amqp.declare(&topology()).await.unwrap();
    publish(&amqp, &[message(&1)]).await;
    let leader = amqp.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    let mut consumer = amqp.consume(&QueueName::Ledger, 10).await.unwrap();
    broker
        .control(&["set_vm_memory_high_watermark", "absolute", "1"])
        .await;
    let refused = amqp.publish(vec![message(&2)]).await;
    assert!(
        matches!(refused, Err(QueueError::Unavailable { .. })),
        "{refused:?}"
    );
    // Consuming goes on.
    next(&mut *consumer).await.ack().await.unwrap();
    broker
        .control(&["set_vm_memory_high_watermark", "0.4"])
        .await;
    publish(&amqp, &[message(&3)]).await;
    // What was refused may have got through, or not.
    while next(&mut *consumer).await.payload != b"3" {}
    leader.save_watermark(&saved()).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_killed_is_found_again_with_everything_confirmed() {
    let Some(mut broker) = services::broker().await else {
        return;
    };
    let vhost = broker.vhost("killed").await;
    let amqp = start(&vhost.url);
    amqp.declare(&topology()).await.unwrap();
    broker.remembers(&vhost, "results.ledger").await;
    broker.remembers(&vhost, "dispatcher.watermark").await;
    let mut consumer = amqp.consume(&QueueName::Ledger, 1).await.unwrap();
    publish(&amqp, &[message(&1), message(&2)]).await;
    let leader = amqp.lead(Office::Dispatcher).await.unwrap();
    leader.save_watermark(&saved()).await.unwrap();
    let held = next(&mut *consumer).await;
    broker.process.kill();
    let lost = timeout(PATIENCE, leader.lost()).await;
    lost.expect("a leader without a broker");
    broker.process.restart().await;
    let settled = held.ack().await;
    assert!(settled.is_err());
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let delivery = next(&mut *consumer).await;
        seen.insert(delivery.payload.clone());
        delivery.ack().await.unwrap();
    }
    let leader = timeout(PATIENCE, amqp.lead(Office::Dispatcher))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(leader.watermark().await.unwrap(), Some(saved()));
    publish(&amqp, &[message(&3)]).await;
    next(&mut *consumer).await.ack().await.unwrap();
}

/// Else whoever declares it next would lead beside the first.
#[tokio::test]
async fn a_leader_whose_lock_somebody_deletes_gives_up() {
    let Some(broker) = services::broker().await else {
        return;
    };
    let vhost = broker.vhost("lock").await;
    let amqp = start(&vhost.url);
    let leader = amqp.lead(Office::Dispatcher).await.unwrap();
    let (name, lock) = (vhost.vhost.as_str(), "dispatcher.leader");
    broker.control(&["delete_queue", "-p", name, lock]).await;
    let lost = timeout(PATIENCE, leader.lost()).await;
    lost.expect("a leader without a lock");
    let late = leader.queue().publish(vec![message("late")]).await;
    assert!(matches!(late, Err(QueueError::Closed)), "{late:?}");
    timeout(PATIENCE, amqp.lead(Office::Dispatcher))
        .await
        .unwrap()
        .unwrap();
}
