//! The components that tests get are theirs alone, can be hurt, and leave nothing behind.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sonde_tests::{services, wait_until};

#[tokio::test]
async fn every_virtual_host_is_fresh_and_deleted_at_the_end() {
    let Some(first) = services::amqp("fresh").await else {
        return;
    };
    let second = services::amqp("fresh").await.unwrap();
    assert_ne!(first.vhost, second.vhost);
    assert!(first.url.ends_with(&first.vhost));

    let queue = format!("/api/queues/{}/q", first.vhost);
    let durable = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    first.manage(Method::PUT, &queue, durable).await;
    assert!(first.publish("amq.default", "q", b"hello").await);
    assert!(!second.publish("amq.default", "q", b"hello").await);
    assert_eq!(first.queues().await.len(), 1);
    assert!(second.queues().await.is_empty());

    let vhost = format!("{}/api/vhosts/{}", first.management_url, first.vhost);
    drop(first);
    let gone = sonde_tests::http::client().get(vhost).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_database_is_fresh_and_dropped_at_the_end() {
    let Some(first) = services::clickhouse("fresh").await else {
        return;
    };
    let second = services::clickhouse("fresh").await.unwrap();
    first
        .query("CREATE TABLE t (n UInt64) ORDER BY n AS SELECT 18446744073709551615")
        .await;
    let rows = first.rows("SELECT n FROM t").await;
    assert_eq!(rows, [json!({"n": u64::MAX})]);
    let tables = second.rows("SHOW TABLES").await;
    assert_eq!(tables, Vec::<Value>::new());

    let database = first.database.clone();
    drop(first);
    let databases = second.query("SHOW DATABASES").await;
    assert!(!databases.contains(&database), "{databases}");
}

#[tokio::test]
async fn a_libsql_server_keeps_its_data_when_it_is_killed_and_started_again() {
    let Some(mut libsql) = services::libsql().await else {
        return;
    };
    execute(&libsql.url, "CREATE TABLE t (n)").await;
    libsql.process.kill();
    let refused = sonde_tests::http::client().get(&libsql.url).send().await;
    assert!(refused.is_err());
    libsql.process.restart().await;
    execute(&libsql.url, "INSERT INTO t VALUES (1)").await;
}

async fn execute(url: &str, sql: &str) {
    let body = json!({"requests": [{"type": "execute", "stmt": {"sql": sql}}]});
    let request = sonde_tests::http::client()
        .post(format!("{url}/v2/pipeline"))
        .json(&body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["results"][0]["type"], "ok", "{answer}");
}

#[tokio::test]
async fn a_broker_keeps_its_messages_when_it_is_killed_and_started_again() {
    let Some(mut broker) = services::broker().await else {
        return;
    };
    let amqp = broker.vhost("killed").await;
    let queue = format!("/api/queues/{}/q", amqp.vhost);
    let durable = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    amqp.manage(Method::PUT, &queue, durable).await;
    amqp.publish("amq.default", "q", b"hello").await;
    broker.remembers(&amqp, "q").await;
    broker.process.kill();
    broker.process.restart().await;

    let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let messages = amqp
        .manage(Method::POST, &format!("{queue}/get"), get)
        .await;
    assert_eq!(messages[0]["payload"], "hello");

    broker
        .control(&["set_vm_memory_high_watermark", "0.00001"])
        .await;
    wait_until(Duration::from_secs(30), async || {
        let nodes = amqp.manage(Method::GET, "/api/nodes", Value::Null).await;
        nodes[0]["mem_alarm"] == true
    })
    .await;
}

#[tokio::test]
async fn an_engine_can_be_killed_and_started_again() {
    let Some(mut engine) = services::engine().await else {
        return;
    };
    let database = engine.database("killed").await;
    database
        .query("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    database.query("INSERT INTO t VALUES (1)").await;
    engine.process.kill();
    engine.process.restart().await;
    assert_eq!(database.query("SELECT n FROM t").await, "1\n");
}
