//! The components that tests get are theirs alone, can be hurt, and leave nothing behind.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sonde_tests::services::{self, OidcProvider};
use sonde_tests::{http, wait_until};
use url::{Url, form_urlencoded};

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

/// With any port.
const CALLBACK: &str = "http://127.0.0.1/callback";

/// From RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[tokio::test]
async fn whoever_signs_in_at_the_provider_gets_a_code_for_a_token_that_says_so() {
    let Some(provider) = services::oidc_provider(&[CALLBACK]).await else {
        return;
    };
    let discovery = discovery(&provider).await;
    let callback = provider
        .sign_in(&authorize_url(&discovery), "ann@shop.test")
        .await;
    assert!(callback.starts_with("http://127.0.0.1:8321/callback?"));
    let returned = query(&callback);
    assert_eq!(returned["state"], "the state");
    assert_eq!(returned["iss"], provider.issuer);

    let wrong = token(&discovery, &returned["code"], "x".repeat(43).as_str()).await;
    assert_eq!(wrong["error"], "invalid_grant");
    let callback = provider
        .sign_in(&authorize_url(&discovery), "ann@shop.test")
        .await;
    let answer = token(&discovery, &query(&callback)["code"], VERIFIER).await;
    let claims = claims(answer["id_token"].as_str().unwrap());
    let expected = json!({
        "iss": provider.issuer,
        "aud": "sonde-test",
        "sub": "ann@shop.test",
        "email": "ann@shop.test",
        "email_verified": true,
        "name": "ann@shop.test by name",
        "nonce": "the nonce",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&claims[name], value, "{name} in {claims}");
    }
}

#[tokio::test]
async fn the_provider_knows_people_without_a_verified_address_and_lets_them_say_no() {
    let Some(provider) = services::oidc_provider(&[CALLBACK]).await else {
        return;
    };
    let discovery = discovery(&provider).await;
    let login = "unverified@shop.test";
    let callback = provider.sign_in(&authorize_url(&discovery), login).await;
    let answer = token(&discovery, &query(&callback)["code"], VERIFIER).await;
    let claims = claims(answer["id_token"].as_str().unwrap());
    assert_eq!(claims["email_verified"], false);

    let callback = provider.refuse(&authorize_url(&discovery)).await;
    assert_eq!(query(&callback)["error"], "access_denied");
}

async fn discovery(provider: &OidcProvider) -> Value {
    let url = format!("{}/.well-known/openid-configuration", provider.issuer);
    let discovery: Value = http::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(discovery["issuer"], provider.issuer);
    discovery
}

fn authorize_url(discovery: &Value) -> String {
    let mut url: Url = discovery["authorization_endpoint"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    url.query_pairs_mut()
        .append_pair("client_id", OidcProvider::CLIENT_ID)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", "http://127.0.0.1:8321/callback")
        .append_pair("scope", "openid email profile")
        .append_pair("state", "the state")
        .append_pair("nonce", "the nonce")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256");
    url.into()
}

fn query(url: &str) -> HashMap<String, String> {
    let url: Url = url.parse().unwrap();
    url.query_pairs().into_owned().collect()
}

async fn token(discovery: &Value, code: &str, verifier: &str) -> Value {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", "http://127.0.0.1:8321/callback")
        .append_pair("code_verifier", verifier)
        .finish();
    let endpoint = discovery["token_endpoint"].as_str().unwrap();
    let request = http::client()
        .post(endpoint)
        .basic_auth(OidcProvider::CLIENT_ID, Some(OidcProvider::CLIENT_SECRET))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body);
    request.send().await.unwrap().json().await.unwrap()
}

/// Without a look at the signature.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
