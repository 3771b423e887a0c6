//! One process of a fleet, and its own ways to the services.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::{Fleet, PATIENCE};
use crate::services::faketime;
use crate::sonde::{Running, Sonde};
use crate::stub::link::Link;
use crate::wait::comes_within;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Dispatcher,
    Checker { region: &'static str },
    Ingester,
    Api,
    Alerter,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Checker { .. } => "checker",
            Self::Ingester => "ingester",
            Self::Api => "api",
            Self::Alerter => "alerter",
        }
    }
}

/// A process, which may be dead.
pub struct Member {
    pub name: String,
    pub role: Role,
    /// Between this process and the broker.
    pub broker: Link,
    /// Between this process and ClickHouse.
    pub clickhouse: Link,
    /// Between this process and the libSQL primary.
    pub primary: Link,
    /// Where it keeps its replica.
    pub data: std::path::PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
    /// Of processes that it was before.
    earlier: String,
}

impl Member {
    pub(super) async fn start(fleet: &Fleet, name: String, role: Role) -> Self {
        let broker = link(&fleet.amqp.url).await;
        let clickhouse = link(&fleet.clickhouse.url).await;
        let primary = link(&fleet.libsql.url).await;
        let data = fleet.directory.path().join(&name);
        let mut environment: Vec<_> = fleet
            .environment()
            .into_iter()
            .map(|(variable, value)| {
                let value = match variable {
                    "SONDE_AMQP_URL" => through(&broker, &value),
                    "SONDE_CLICKHOUSE_URL" => through(&clickhouse, &value),
                    "SONDE_LIBSQL_URL" => through(&primary, &value),
                    _ => value,
                };
                (variable.to_owned(), value)
            })
            .collect();
        let mut arguments: Vec<_> = ["run", "--role", role.as_str(), "--egress", "open"]
            .into_iter()
            .chain(["--checker-listen", "127.0.0.1:0", "--grace", "30s"])
            .map(str::to_owned)
            .collect();
        arguments.extend(["--data".to_owned(), data.display().to_string()]);
        if let Role::Checker { region } = role {
            arguments.extend(["--region".to_owned(), region.to_owned()]);
            let skewed = fleet.options.skewed.filter(|skewed| skewed.0 == region);
            environment.extend(
                skewed
                    .into_iter()
                    .flat_map(|(_, seconds)| faketime(i64::from(seconds))),
            );
        }
        if role == Role::Api {
            // Made up requests come faster than those of people, and would all be told so.
            environment.push(("SONDE_REQUESTS_PER_MINUTE".into(), "1000000".into()));
        }
        let mut member = Self {
            name,
            role,
            broker,
            clickhouse,
            primary,
            data,
            arguments,
            environment,
            running: None,
            earlier: String::new(),
        };
        member.begin().await;
        member
    }

    /// Starts it (again) and waits until it is ready.
    pub async fn begin(&mut self) {
        self.spawn().await;
        let ready = comes_within(PATIENCE, async || self.is_ready().await);
        assert!(
            ready.await,
            "{} does not become ready:\n{}",
            self.name,
            self.log()
        );
    }

    /// Starts it (again) and waits only until it listens: what it needs may be away.
    pub async fn spawn(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let mut sonde = Sonde::new(&self.arguments).patience(PATIENCE);
        for (name, value) in &self.environment {
            sonde = sonde.env(name, value);
        }
        self.running = Some(sonde.serve().await);
    }

    async fn is_ready(&self) -> bool {
        self.get("/-/ready").await.is_some()
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        let running = self.take();
        running.kill().await;
    }

    /// SIGTERM; waits until it has drained, and expects that it ends well.
    pub async fn stop(&mut self) {
        let running = self.take();
        let status = running.terminate().await;
        assert!(status.success(), "{}: {status}\n{}", self.name, self.log());
    }

    /// SIGSTOP: it stands still, and its connections stay open.
    pub fn freeze(&self) {
        self.running().freeze();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.running().thaw();
    }

    /// A process that ended without being asked to: its log.
    pub fn died(&mut self) -> Option<String> {
        let running = self.running.as_mut()?;
        (!running.is_running()).then(|| running.log())
    }

    /// The value of a metric, summed over its series.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").await?;
        let values = metrics.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let found = series.split('{').next()?;
            (found == name).then(|| value.parse::<f64>().ok()).flatten()
        });
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The body of a 200. None while it is dead or frozen.
    async fn get(&self, path: &str) -> Option<String> {
        let url = self.running.as_ref()?.url(path);
        let request = crate::http::client()
            .get(url)
            .timeout(Duration::from_secs(5));
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        answer.text().await.ok()
    }

    /// Where an API is served.
    pub fn api(&self) -> String {
        self.running().api()
    }

    /// All that it has printed, also before it was started again.
    pub fn log(&self) -> String {
        let now = self.running.as_ref().map(Running::log);
        format!("{}{}", self.earlier, now.unwrap_or_default())
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn take(&mut self) -> Running {
        let running = self.running.take().expect("it runs");
        self.earlier.push_str(&running.log());
        running
    }
}

async fn link(url: &str) -> Link {
    let url: Url = url.parse().expect("services have URLs");
    let addresses = url.socket_addrs(|| None);
    let addresses = addresses.expect("services have addresses and ports");
    Link::start(addresses[0]).await
}

/// The same service, through a link.
fn through(link: &Link, url: &str) -> String {
    let SocketAddr::V4(address) = link.address() else {
        unreachable!("links listen on IPv4");
    };
    let mut url: Url = url.parse().expect("services have URLs");
    let host = url.set_host(Some(&address.ip().to_string()));
    let port = url.set_port(Some(address.port()));
    assert!(host.is_ok() && port.is_ok(), "URLs of services have hosts");
    url.into()
}
