//! A whole fleet for tests that hurt it: real processes on a virtual host, a database and a libSQL server of its own,
//! with a link in front of every service for every process.
//!
//! A test starts one, waits until checks flow, breaks something, waits until they flow again, and then has the fleet
//! [settle](Fleet::settle): from then on every slot has to be accounted for.

mod accounts;
mod member;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sonde_config::DEFAULT_QUEUES;
use sonde_core::{Clock as _, SystemClock, Timestamp};
use tempfile::TempDir;

pub use accounts::Accounts;
pub use member::{Member, Role};

use crate::api::{Caller, PASSWORD, set_up_token};
use crate::services::{self, Amqp, Broker, Clickhouse, Engine, Libsql};
use crate::sonde::{Output, Sonde};
use crate::stub::http::{HttpStub, Reply};
use crate::wait::comes_within;

/// For what a healthy fleet does within seconds, on a machine that two fleets share.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a fleet is made up.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    pub monitors: usize,
    pub interval: Duration,
    pub regions: Vec<&'static str>,
    pub dispatchers: usize,
    pub checkers_per_region: usize,
    pub ingesters: usize,
    pub alerters: usize,
    /// How long the target takes to answer: so long a check is in flight.
    pub target_delay: Duration,
    /// A RabbitMQ node of its own, to be killed.
    pub private_broker: bool,
    /// A ClickHouse engine of its own, to be killed.
    pub private_engine: bool,
    /// The checkers of this region live so many seconds in the future.
    pub skewed: Option<(&'static str, i32)>,
    /// In which no checker is started.
    pub empty_regions: Vec<&'static str>,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            monitors: 200,
            interval: Duration::from_secs(5),
            regions: vec!["fra", "iad"],
            dispatchers: 2,
            checkers_per_region: 1,
            ingesters: 2,
            alerters: 0,
            target_delay: Duration::from_millis(300),
            private_broker: false,
            private_engine: false,
            skewed: None,
            empty_regions: Vec::new(),
        }
    }
}

/// How long something is away: 15 s, or a minute in long runs.
pub fn outage_length() -> Duration {
    let long = std::env::var_os("SONDE_TEST_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 15 })
}

/// Lets an outage take its time.
pub async fn outage() {
    tokio::time::sleep(outage_length()).await;
}

/// A running fleet. Everything of it is gone when it is dropped.
pub struct Fleet {
    pub options: FleetOptions,
    pub dispatchers: Vec<Member>,
    pub checkers: Vec<Member>,
    pub ingesters: Vec<Member>,
    pub alerters: Vec<Member>,
    pub amqp: Amqp,
    pub clickhouse: Clickhouse,
    pub libsql: Libsql,
    pub broker: Option<Broker>,
    pub engine: Option<Engine>,
    /// Answers 200 at `/`.
    pub target: HttpStub,
    directory: TempDir,
    /// When every process was ready: from then on no slot may lack a row.
    dispatched_from: Timestamp,
    /// How many monitors there were then. Those that came later count from their first row.
    original: usize,
}

impl Fleet {
    /// Brings everything up and waits until all processes are ready. None, and a loud line, where a component is
    /// missing.
    pub async fn start(name: &str, options: FleetOptions) -> Option<Self> {
        let broker = if options.private_broker {
            Some(services::broker().await?)
        } else {
            None
        };
        let engine = if options.private_engine {
            Some(services::engine().await?)
        } else {
            None
        };
        let amqp = match &broker {
            Some(broker) => broker.vhost(name).await,
            None => services::amqp(name).await?,
        };
        let clickhouse = match &engine {
            Some(engine) => engine.database(name).await,
            None => services::clickhouse(name).await?,
        };
        let delay = options.target_delay;
        let mut fleet = Self {
            amqp,
            clickhouse,
            libsql: services::libsql().await?,
            broker,
            engine,
            target: HttpStub::start([("/", Reply::text("up").after(delay))]).await,
            directory: tempfile::tempdir().expect("a temporary folder"),
            original: options.monitors,
            options,
            dispatchers: Vec::new(),
            checkers: Vec::new(),
            ingesters: Vec::new(),
            alerters: Vec::new(),
            dispatched_from: SystemClock.now(),
        };
        fleet.prepare().await;
        fleet.launch().await;
        Some(fleet)
    }

    fn queues(&self) -> PathBuf {
        self.directory.path().join("queues.toml")
    }

    /// Schema, configuration, queues: those of alerters only where there is one to empty them.
    async fn prepare(&self) {
        let alerting = format!("alerting = {}", self.options.alerters > 0);
        let queues = DEFAULT_QUEUES.replace("alerting = true", &alerting);
        std::fs::write(self.queues(), queues).expect("the folder can be written");
        self.succeed(["migrate"]).await;
        self.configure(self.options.monitors).await;
        let regions = self.options.regions.join(",");
        self.succeed(["queues", "apply", "--regions", &regions])
            .await;
        if let Some(broker) = &self.broker {
            broker.remembers(&self.amqp, "dispatcher.watermark").await;
        }
    }

    /// Replaces the configuration on the primary by so many monitors of the target: `m0`, `m1` and
    /// so on.
    async fn configure(&self, monitors: usize) {
        let seconds = self.options.interval.as_secs();
        let regions = self.options.regions.join(", ");
        let mut text = format!(
            "defaults: {{ interval: {seconds}s, timeout: 4s, retries: 1, regions: [{regions}], alert: {{ fail_after: 1 }} }}\nmonitors:\n"
        );
        if monitors == 0 {
            text.push_str("  {}\n");
        }
        for n in 0..monitors {
            let url = self.target.url("/");
            writeln!(text, "  m{n}: {{ http: \"{url}\" }}").expect("strings take everything");
        }
        let file = self.directory.path().join("sonde.yaml");
        std::fs::write(&file, text).expect("the folder can be written");
        let file = file.display().to_string();
        self.succeed(["config", "load", "--allow-empty", "-c", &file])
            .await;
    }

    /// Adds monitors, as a user does while everything runs.
    pub async fn grow(&mut self, monitors: usize) {
        self.options.monitors += monitors;
        self.configure(self.options.monitors).await;
    }

    async fn launch(&mut self) {
        let options = &self.options;
        let dispatchers = (0..options.dispatchers).map(|_| Role::Dispatcher);
        let checkers = options
            .regions
            .iter()
            .filter(|region| !options.empty_regions.contains(region))
            .flat_map(|region| {
                std::iter::repeat_n(Role::Checker { region }, options.checkers_per_region)
            });
        let ingesters = (0..options.ingesters).map(|_| Role::Ingester);
        let alerters = (0..options.alerters).map(|_| Role::Alerter);
        let roles = dispatchers.chain(checkers).chain(ingesters).chain(alerters);
        let members: Vec<_> = roles
            .enumerate()
            .map(|(n, role)| Member::start(self, format!("{}-{n}", role.as_str()), role))
            .collect();
        for member in join_all(members).await {
            match member.role {
                Role::Dispatcher => self.dispatchers.push(member),
                Role::Checker { .. } => self.checkers.push(member),
                Role::Ingester => self.ingesters.push(member),
                Role::Alerter => self.alerters.push(member),
                Role::Api => unreachable!("an API is started by who wants one"),
            }
        }
        // A dispatcher is ready before it leads, and accounts for what is due from where it began to lead.
        let begun = comes_within(PATIENCE, async || {
            for dispatcher in &self.dispatchers {
                let watermark = dispatcher
                    .metric("sonde_dispatcher_watermark_seconds")
                    .await;
                if watermark.is_some_and(|watermark| watermark > 0.0) {
                    return true;
                }
            }
            false
        });
        assert!(begun.await, "nothing is dispatched{}", self.logs());
        self.dispatched_from = SystemClock.now();
    }

    /// A command in the fleet's environment, not through links.
    pub async fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let mut sonde = Sonde::new(arguments).directory(self.directory.path());
        for (name, value) in self.environment() {
            sonde = sonde.env(name, value);
        }
        sonde.patience(PATIENCE).run().await
    }

    async fn succeed<const N: usize>(&self, arguments: [&str; N]) {
        let output = self.run(arguments).await;
        assert_eq!(output.code, Some(0), "sonde {arguments:?}: {output:?}");
    }

    fn environment(&self) -> [(&'static str, String); 10] {
        use base64::Engine as _;
        let [key, secret] =
            [7, 8].map(|byte| base64::engine::general_purpose::STANDARD.encode([byte; 32]));
        [
            ("SONDE_AMQP_URL", self.amqp.url.clone()),
            (
                "SONDE_AMQP_MANAGEMENT_URL",
                self.amqp.management_url.clone(),
            ),
            ("SONDE_CLICKHOUSE_URL", self.clickhouse.url.clone()),
            ("SONDE_LIBSQL_URL", self.libsql.url.clone()),
            ("SONDE_QUEUES", self.queues().display().to_string()),
            ("SONDE_TASK_KEY", key),
            ("SONDE_CRON_TOKEN", "trigger".to_owned()),
            ("SONDE_SECRET_KEY", secret),
            ("SONDE_LISTEN", "127.0.0.1:0".to_owned()),
            ("SONDE_REQUESTS_PER_MINUTE", "1000000".to_owned()),
        ]
    }

    /// A process that serves the API.
    pub async fn api(&self) -> Member {
        Member::start(self, "api".to_owned(), Role::Api).await
    }

    /// The same, and its owner.
    pub async fn owned(&self) -> (Member, Caller) {
        let api = self.api().await;
        let set_up = comes_within(PATIENCE, async || api.log().contains("sonde_setup_"));
        assert!(set_up.await, "no link to set it up:\n{}", api.log());
        let ada = json!({
            "token": set_up_token(&api.log()),
            "email": "ada@example.org", "name": "Ada", "password": PASSWORD,
        });
        let owner = Caller::of(api.api()).session("/v1/setup", &ada).await;
        (api, owner)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let dispatchers = self.dispatchers.iter();
        let others = self.ingesters.iter().chain(&self.alerters);
        dispatchers.chain(&self.checkers).chain(others)
    }

    /// The dispatcher that dispatches, as an index; waits until there is one.
    pub async fn leader(&self) -> usize {
        self.leads(&self.dispatchers, "sonde_dispatcher_leading")
            .await
    }

    /// The alerter that decides.
    pub async fn alerting(&self) -> usize {
        self.leads(&self.alerters, "sonde_alerter_leading").await
    }

    async fn leads(&self, members: &[Member], metric: &str) -> usize {
        let mut leader = None;
        comes_within(PATIENCE, async || {
            for (n, member) in members.iter().enumerate() {
                let leading = member.metric(metric).await;
                if leading.is_some_and(|value| value > 0.5) {
                    leader = Some(n);
                }
            }
            leader.is_some()
        })
        .await;
        leader.unwrap_or_else(|| unreachable!("nobody leads{}", self.logs()))
    }

    /// Waits until every monitor has been executed everywhere for a slot after now.
    pub async fn flows(&self) {
        self.flows_in(&self.options.regions).await;
    }

    /// The same for some regions.
    pub async fn flows_in(&self, regions: &[&str]) {
        let since = SystemClock.now().as_micros();
        let names: Vec<_> = regions.iter().map(|region| format!("'{region}'")).collect();
        let sql = format!(
            "SELECT uniqExact(monitor, region) AS n FROM sonde_checks WHERE outcome IN ('ok', 'degraded') \
             AND toUnixTimestamp64Micro(slot) > {since} AND region IN ({})",
            names.join(", ")
        );
        let expected = (self.options.monitors * regions.len()) as u64;
        let mut found = 0;
        let flows = comes_within(PATIENCE, async || {
            found = self.count(&sql).await;
            found == expected
        });
        assert!(
            flows.await,
            "checks do not flow: {found} of {expected}{}",
            self.logs()
        );
    }

    /// The number that a SELECT of one value `n` gives.
    pub async fn count(&self, sql: &str) -> u64 {
        let rows = self.clickhouse.rows(sql).await;
        let n = rows.first().and_then(|row| row["n"].as_u64());
        n.unwrap_or_else(|| unreachable!("{sql}: {rows:?}"))
    }

    /// `sonde fleet --format json`.
    pub async fn status(&self) -> Value {
        let output = self.run(["fleet", "--format", "json"]).await;
        serde_json::from_str(&output.stdout).unwrap_or_default()
    }

    /// The ends of all logs, for messages of failing tests.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for member in self.members() {
            let log = member.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.len().saturating_sub(12);
            let _ = write!(text, "\n--- {}\n{}", member.name, lines[last..].join("\n"));
        }
        text
    }
}
