//! A fleet on this machine: private components, and the roles of the release build as processes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sonde_seal::SealingKeys;
use sonde_store::libsql::{LibsqlStore, Primary};
use sonde_tests::services::{self, Amqp, Broker, Clickhouse, Engine, Libsql};
use sonde_tests::sonde::{Output, Running, Sonde};
use tempfile::TempDir;

use crate::processes::{Usage, own_children, usage};

const HINT: &str = "use tests/bench, which starts it";
/// Loading a hundred thousand monitors on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// 32 bytes, as any would do.
const TASK_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// The components that every fleet here shares.
pub(crate) struct Components {
    pub(crate) broker: Broker,
    pub(crate) engine: Engine,
    broker_pid: u32,
    engine_pid: u32,
}

impl Components {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let broker = started(async || services::broker().await);
        let (broker, broker_pid) = broker.await.context(HINT)?;
        let engine = started(async || services::engine().await);
        let (engine, engine_pid) = engine.await.context(HINT)?;
        Ok(Self {
            broker,
            engine,
            broker_pid,
            engine_pid,
        })
    }

    pub(crate) fn broker_usage(&self) -> Usage {
        usage(self.broker_pid)
    }

    pub(crate) fn engine_usage(&self) -> Usage {
        usage(self.engine_pid)
    }
}

/// What `start` started, and its process: the one that was not there before.
async fn started<T>(start: impl AsyncFnOnce() -> Option<T>) -> anyhow::Result<(T, u32)> {
    let before = own_children();
    let component = start().await.context("a component is missing")?;
    let new = own_children().into_iter().find(|it| !before.contains(it));
    Ok((component, new.context("a component has no process")?))
}

/// A virtual host, a database and a primary of its own, migrated and with its queues declared.
pub(crate) struct Fleet {
    pub(crate) amqp: Amqp,
    pub(crate) clickhouse: Clickhouse,
    libsql: Libsql,
    libsql_pid: u32,
    pub(crate) folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// A process of the fleet.
pub(crate) struct Role {
    pub(crate) running: Running,
    client: reqwest::Client,
}

impl Fleet {
    pub(crate) async fn create(components: &Components, regions: &str) -> anyhow::Result<Self> {
        Self::with(components, regions, false).await
    }

    /// The same with queues for alerters, which fill where none is.
    pub(crate) async fn alerting(components: &Components, regions: &str) -> anyhow::Result<Self> {
        Self::with(components, regions, true).await
    }

    async fn with(components: &Components, regions: &str, alerting: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let queues = folder.path().join("queues.toml");
        let (on, off) = ("alerting = true", "alerting = false");
        let text = sonde_config::DEFAULT_QUEUES;
        std::fs::write(
            &queues,
            if alerting {
                text.to_owned()
            } else {
                text.replace(on, off)
            },
        )?;
        let amqp = components.broker.vhost("bench").await;
        let clickhouse = components.engine.database("bench").await;
        let libsql = started(async || services::libsql().await);
        let (libsql, libsql_pid) = libsql.await.context(HINT)?;
        let environment = vec![
            ("SONDE_AMQP_URL", amqp.url.clone()),
            ("SONDE_AMQP_MANAGEMENT_URL", amqp.management_url.clone()),
            ("SONDE_CLICKHOUSE_URL", clickhouse.url.clone()),
            ("SONDE_LIBSQL_URL", libsql.url.clone()),
            ("SONDE_TASK_KEY", TASK_KEY.to_owned()),
            ("SONDE_QUEUES", queues.display().to_string()),
        ];
        let fleet = Self {
            amqp,
            clickhouse,
            libsql,
            libsql_pid,
            folder,
            environment,
        };
        fleet.done(&["migrate"]).await?;
        fleet
            .done(&["queues", "apply", "--regions", regions])
            .await?;
        Ok(fleet)
    }

    /// From now on every process gets this too.
    pub(crate) fn set(&mut self, variable: &'static str, value: String) {
        self.environment.retain(|(name, _)| *name != variable);
        self.environment.push((variable, value));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Sonde {
        let command = Sonde::new(arguments)
            .directory(self.folder.path())
            .patience(PATIENCE);
        let set = |command: Sonde, (name, value): &(&str, String)| command.env(name, value);
        self.environment.iter().fold(command, set)
    }

    /// Runs a command that must succeed.
    pub(crate) async fn done(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let output = self.command(arguments).run().await;
        ensure!(
            output.code == Some(0),
            "`sonde {}` failed: {}{}",
            arguments.join(" "),
            output.stdout,
            output.stderr
        );
        Ok(output)
    }

    /// Makes `text` the configuration.
    pub(crate) async fn load(&self, text: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join("sonde.yaml");
        std::fs::write(&file, text)?;
        let file = file.display().to_string();
        self.done(&["config", "load", "-c", &file]).await?;
        Ok(())
    }

    /// The command that plays `roles`, with its data in a folder called `name`.
    pub(crate) fn role(&self, roles: &str, name: &str, region: &str) -> Sonde {
        let listen = "--checker-listen=127.0.0.1:0";
        self.command(&["run", "--role", roles, "--region", region, listen])
            .argument("--egress=open")
            .argument("--data")
            .argument(self.folder.path().join(name))
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(
        &self,
        roles: &str,
        name: &str,
        region: &str,
    ) -> anyhow::Result<Role> {
        let running = self.role(roles, name, region).serve().await;
        let client = sonde_tests::http::client();
        let role = Role { running, client };
        sonde_tests::wait_until(PATIENCE, async || role.is_ready().await).await;
        Ok(role)
    }

    /// The primary.
    pub(crate) async fn store(&self) -> anyhow::Result<LibsqlStore> {
        let primary = Primary {
            url: self.libsql.url.clone(),
            token: String::new(),
            ca: None,
        };
        Ok(LibsqlStore::remote(&primary, SealingKeys::none()).await?)
    }

    pub(crate) fn libsql_usage(&self) -> Usage {
        usage(self.libsql_pid)
    }

    /// The rows of a SELECT without a FORMAT.
    pub(crate) async fn rows(&self, select: &str) -> Vec<Value> {
        self.clickhouse.rows(select).await
    }
}

impl Role {
    async fn is_ready(&self) -> bool {
        let answer = self.client.get(self.running.url("/-/ready")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The sum of a metric over all its label sets; 0 when it has none yet.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let answer = self.client.get(self.running.url("/metrics")).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labelled) => labelled.rsplit_once('}')?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.split_whitespace().next()?.parse::<f64>().ok()
        });
        Ok(values.sum())
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.running.pid())
    }
}

/// What the fleets here seal their tasks with.
pub(crate) fn task_keys() -> anyhow::Result<SealingKeys> {
    Ok(SealingKeys::parse(TASK_KEY)?)
}

/// `count` monitors of one target, every five seconds, with the assertions that people write.
pub(crate) fn configuration(count: u32, regions: &str, url: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "defaults: {{ interval: 5s, timeout: 5s, retries: 0, regions: [{regions}] }}\nmonitors:\n"
    );
    for n in 0..count {
        let expect = r#"status in 200..299, 'json $.database == "up"', header content-type contains json, latency < 5s"#;
        let line = writeln!(
            text,
            "  m{n}: {{ http: \"{url}?n={n}\", expect: [{expect}] }}"
        );
        line.expect("text grows as long as there is memory");
    }
    text
}
