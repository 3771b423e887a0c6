//! The real components under test: a virtual host or a database of a test's own on those that `tests/run` started,
//! and whole components of a test's own, for tests that kill them.
//!
//! Without the variable that names a component there is none, which is said on stderr; with `SONDE_TEST_STRICT` that
//! fails the test instead.

mod chromedriver;
mod oidc;
mod private;
mod s3;
mod smtp;

use std::env;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

pub use chromedriver::{Chromedriver, axe, chromedriver};
pub use oidc::{OidcProvider, oidc_provider};
pub use private::{Broker, Engine, Libsql, Process, broker, engine, libsql};
pub use s3::{S3, s3};
pub use smtp::{SmtpSink, smtp_sink};

/// For one request to a component: creating a virtual host on a busy machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A virtual host of RabbitMQ. Deleted when dropped.
pub struct Amqp {
    /// `amqp://…/VHOST`, as `SONDE_AMQP_URL` takes it.
    pub url: String,
    /// Of the broker, as `SONDE_AMQP_MANAGEMENT_URL` takes it.
    pub management_url: String,
    pub vhost: String,
}

/// A fresh virtual host on the broker of `SONDE_TEST_AMQP_URL`; `name` tells whose it is.
pub async fn amqp(name: &str) -> Option<Amqp> {
    let url = setting("SONDE_TEST_AMQP_URL", "RabbitMQ")?;
    let management_url = setting(
        "SONDE_TEST_AMQP_MANAGEMENT_URL",
        "RabbitMQ's management API",
    )?;
    Some(Amqp::create(&url, &management_url, name).await)
}

impl Amqp {
    async fn create(url: &str, management_url: &str, name: &str) -> Self {
        let vhost = unique(name);
        let mut url: Url = url.parse().expect("SONDE_TEST_AMQP_URL is a URL");
        url.set_path(&vhost);
        let user = match url.username() {
            "" => "guest".to_owned(),
            user => user.to_owned(),
        };
        let amqp = Self {
            url: url.into(),
            management_url: management_url.trim_end_matches('/').to_owned(),
            vhost,
        };
        let vhost = format!("/api/vhosts/{}", amqp.vhost);
        amqp.manage(Method::PUT, &vhost, json!({})).await;
        let permissions = format!("/api/permissions/{}/{user}", amqp.vhost);
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        amqp.manage(Method::PUT, &permissions, everything).await;
        amqp
    }

    /// The management API. `path` begins with `/api/`; an answer without a body is null.
    pub async fn manage(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.management_url);
        let request = crate::http::client()
            .request(method, &url)
            .timeout(PATIENCE);
        let answer = request.json(&body).send().await;
        let answer = answer.expect("the management API answers");
        let status = answer.status();
        let text = answer.text().await.expect("its answers are text");
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Every queue's name and the number of its messages, ready and unacknowledged. The broker counts anew every
    /// five seconds.
    pub async fn queues(&self) -> Vec<(String, u64)> {
        let path = format!("/api/queues/{}?columns=name,messages", self.vhost);
        let queues = self.manage(Method::GET, &path, Value::Null).await;
        let queues = queues.as_array().cloned().unwrap_or_default();
        queues
            .iter()
            .map(|queue| {
                let name = queue["name"].as_str().unwrap_or_default().to_owned();
                (name, queue["messages"].as_u64().unwrap_or_default())
            })
            .collect()
    }

    /// Publishes one persistent message, as a producer would. True when it reached a queue.
    pub async fn publish(&self, exchange: &str, key: &str, payload: &[u8]) -> bool {
        use base64::Engine as _;
        let path = format!("/api/exchanges/{}/{exchange}/publish", self.vhost);
        let message = json!({
            "properties": {"delivery_mode": 2},
            "routing_key": key,
            "payload": base64::engine::general_purpose::STANDARD.encode(payload),
            "payload_encoding": "base64",
        });
        let answer = self.manage(Method::POST, &path, message).await;
        answer["routed"] == true
    }

    /// A queue that gets a copy of what is published to an exchange with one of these keys.
    pub async fn eavesdrop(&self, queue: &str, exchange: &str, keys: &[String]) {
        let path = format!("/api/queues/{}/{queue}", self.vhost);
        let durable = json!({"durable": true});
        self.manage(Method::PUT, &path, durable).await;
        for key in keys {
            let path = format!("/api/bindings/{}/e/{exchange}/q/{queue}", self.vhost);
            let binding = json!({"routing_key": key});
            self.manage(Method::POST, &path, binding).await;
        }
    }

    /// Takes up to so many messages out of a queue: routing keys and payloads. What is not JSON is null.
    pub async fn take(&self, queue: &str, count: usize) -> Vec<(String, Value)> {
        self.get(queue, count, "ack_requeue_false").await
    }

    /// The same, and leaves them where they are.
    pub async fn look(&self, queue: &str, count: usize) -> Vec<(String, Value)> {
        self.get(queue, count, "ack_requeue_true").await
    }

    async fn get(&self, queue: &str, count: usize, mode: &str) -> Vec<(String, Value)> {
        let path = format!("/api/queues/{}/{queue}/get", self.vhost);
        let get = json!({"count": count, "ackmode": mode, "encoding": "auto"});
        let messages = self.manage(Method::POST, &path, get).await;
        let messages = messages.as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .map(|message| {
                let text = |name: &str| message[name].as_str().unwrap_or_default();
                let payload = serde_json::from_str(text("payload")).unwrap_or_default();
                (text("routing_key").to_owned(), payload)
            })
            .collect()
    }

    pub async fn delete_queue(&self, queue: &str) {
        let path = format!("/api/queues/{}/{queue}", self.vhost);
        self.manage(Method::DELETE, &path, Value::Null).await;
    }
}

impl Drop for Amqp {
    fn drop(&mut self) {
        let url = format!("{}/api/vhosts/{}", self.management_url, self.vhost);
        finish(crate::http::client().delete(url).timeout(PATIENCE).send());
    }
}

/// A database of ClickHouse. Dropped with the value.
pub struct Clickhouse {
    /// With the database and without compression, as `SONDE_CLICKHOUSE_URL` takes it.
    pub url: String,
    pub database: String,
    /// Only the address.
    pub base_url: String,
}

/// A fresh database on the engine of `SONDE_TEST_CLICKHOUSE_URL`; `name` tells whose it is.
pub async fn clickhouse(name: &str) -> Option<Clickhouse> {
    let base_url = setting("SONDE_TEST_CLICKHOUSE_URL", "ClickHouse")?;
    Some(Clickhouse::create(&base_url, name).await)
}

impl Clickhouse {
    async fn create(base_url: &str, name: &str) -> Self {
        let database = unique(name).replace('-', "_");
        let base_url = base_url.trim_end_matches('/').to_owned();
        query(&base_url, &format!("CREATE DATABASE {database}")).await;
        Self {
            url: format!("{base_url}/?database={database}&compression=none"),
            database,
            base_url,
        }
    }

    /// Runs one statement in the database and returns what the engine answered, in the format that the statement
    /// names.
    pub async fn query(&self, sql: &str) -> String {
        query(&self.url, sql).await
    }

    /// The rows of a SELECT without a FORMAT, as JSON objects. 64-bit numbers are numbers.
    pub async fn rows(&self, select: &str) -> Vec<Value> {
        let sql = format!(
            "{select} SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow"
        );
        let rows = self.query(&sql).await;
        rows.lines()
            .map(|row| serde_json::from_str(row).expect("the engine writes JSON"))
            .collect()
    }
}

impl Drop for Clickhouse {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {}", self.database);
        let request = crate::http::client().post(&self.base_url).timeout(PATIENCE);
        finish(request.body(statement).send());
    }
}

async fn query(url: &str, sql: &str) -> String {
    let request = crate::http::client().post(url).timeout(PATIENCE);
    let answer = request.body(sql.to_owned()).send().await;
    let answer = answer.expect("the engine answers");
    let status = answer.status();
    let text = answer.text().await.expect("its answers are text");
    assert!(status.is_success(), "{sql}: {text}");
    text
}

/// The browser that `SONDE_TEST_CHROMIUM` names.
pub fn chromium() -> Option<String> {
    setting("SONDE_TEST_CHROMIUM", "Chromium")
}

/// The variable's value, or None and a loud line.
fn setting(variable: &str, component: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skip(&format!(
            "{component} is needed: {variable} is not set, `tests/run` sets it"
        ));
    }
    value
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn skip(reason: &str) {
    let strict = env::var("SONDE_TEST_STRICT").is_ok_and(|value| value == "1");
    assert!(!strict, "{reason}");
    eprintln!("!!! SKIPPED: {reason}");
}

/// The environment of a process that lives in the future.
pub fn faketime(seconds: i64) -> [(String, String); 3] {
    let library = env::var("SONDE_TEST_FAKETIME");
    let library = library.expect("SONDE_TEST_FAKETIME names libfaketime; `tests/run` sets it");
    [
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// A name that no other test and no earlier run has.
fn unique(name: &str) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("sonde-{name}-{random:016x}")
}

/// Awaits a request where nothing can be awaited. What comes of it does not matter: the component may be gone.
fn finish<F>(request: F)
where
    F: Future<Output = reqwest::Result<reqwest::Response>> + Send + 'static,
{
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let _ = runtime.block_on(request);
        std::io::Result::Ok(())
    });
    let _ = thread.join();
}
