//! `sonde run` while it starts: what is in the way, and what goes on all the same.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_tests::services::{self, Amqp, Libsql};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

/// A store, of results or of configuration, that is away.
const NOBODY: &str = "http://127.0.0.1:1";

const PATIENCE: Duration = Duration::from_mins(1);

/// What the processes of a fleet find: a configuration, and the queues of region `fra`.
struct Site {
    amqp: Amqp,
    libsql: Libsql,
    target: HttpStub,
    folder: TempDir,
}

impl Site {
    async fn new(name: &str) -> Option<Self> {
        let site = Self {
            amqp: services::amqp(name).await?,
            libsql: services::libsql().await?,
            target: HttpStub::start([("/", Reply::text("up"))]).await,
            folder: tempfile::tempdir().unwrap(),
        };
        site.succeed(&["migrate"]).await;
        site.configure(&["fra"]).await;
        site.succeed(&["queues", "apply", "--regions", "fra"]).await;
        Some(site)
    }

    fn sonde(&self, arguments: &[&str]) -> Sonde {
        Sonde::new(arguments)
            .directory(self.folder.path())
            .env("SONDE_AMQP_URL", &self.amqp.url)
            .env("SONDE_LIBSQL_URL", &self.libsql.url)
            .patience(PATIENCE)
    }

    async fn succeed(&self, arguments: &[&str]) {
        let output = self.sonde(arguments).run().await;
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    }

    /// One monitor for each region, of the target, every five seconds.
    async fn configure(&self, regions: &[&str]) {
        let mut text = "defaults: { interval: 5s, timeout: 4s }\nmonitors:\n".to_owned();
        for region in regions {
            let url = self.target.url("/");
            writeln!(
                text,
                "  {region}: {{ http: \"{url}\", regions: [{region}] }}"
            )
            .unwrap();
        }
        std::fs::write(self.folder.path().join("sonde.yaml"), text).unwrap();
        self.succeed(&["config", "load"]).await;
    }

    /// Roles in a process, whose results store is away.
    fn process(&self, roles: &str) -> Sonde {
        let arguments = [
            "run", "--role", roles, "--region", "fra", "--egress", "open",
        ];
        self.sonde(&arguments)
            .argument("--checker-listen=127.0.0.1:0")
            .env("SONDE_CLICKHOUSE_URL", NOBODY)
    }
}

/// What `/-/ready` says; nothing while the process does not answer.
async fn readiness(running: &Running) -> String {
    let answer = sonde_tests::http::client()
        .get(running.url("/-/ready"))
        .send()
        .await;
    match answer {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// Waits until `/-/ready` says just this.
async fn says(running: &Running, expected: &str) {
    wait_until(PATIENCE, async || readiness(running).await == expected).await;
}

#[tokio::test]
async fn a_checker_is_ready_once_it_takes_tasks() {
    let Some(site) = Site::new("checker-ready").await else {
        return;
    };
    // Nobody leads, so that it asks for the time in vain for some seconds.
    let running = site.process("checker").serve().await;
    says(&running, "checker: it takes no tasks yet\n").await;
    says(&running, "ok\n").await;
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn checks_go_on_when_the_results_store_is_away_at_the_start() {
    let Some(site) = Site::new("store-away").await else {
        return;
    };
    let running = site.process("dispatcher,checker,ingester").serve().await;
    wait_until(PATIENCE, async || !site.target.requests().is_empty()).await;
    let obstacle = "results store: it takes no results: they wait in the queues\n";
    says(&running, obstacle).await;
    wait_until(PATIENCE, async || {
        let queues = site.amqp.queues().await;
        let mut results = queues
            .iter()
            .filter(|(name, _)| name.starts_with("results.store."));
        results.any(|(_, messages)| *messages > 0)
    })
    .await;
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_role_that_ends_while_another_waits_for_its_service_ends_the_process() {
    let Some(site) = Site::new("ends-early").await else {
        return;
    };
    let process = site.process("dispatcher,checker");
    let process = process.env("SONDE_LIBSQL_URL", NOBODY);
    let output = process.argument("--exit-when-idle=1s").run().await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn a_results_store_with_another_schema_is_for_a_person_to_see_to() {
    let Some(site) = Site::new("schema").await else {
        return;
    };
    let Some(clickhouse) = services::clickhouse("schema").await else {
        return;
    };
    let process = site.process("checker,ingester");
    let output = process
        .env("SONDE_CLICKHOUSE_URL", &clickhouse.url)
        .run()
        .await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("sonde migrate"), "{output:?}");
}

/// A dispatcher that may declare queues, once it dispatches.
async fn dispatcher(site: &Site) -> Running {
    let process = site.process("dispatcher").argument("--apply-topology");
    let running = process.serve().await;
    says(&running, "ok\n").await;
    running
}

/// Waits until all queues of a region are there.
async fn has_queues(site: &Site, region: &str) {
    wait_until(PATIENCE, async || {
        let queues = site.amqp.queues().await;
        let count = |region: &str| {
            let suffix = format!(".{region}");
            let names = queues.iter().map(|(name, _)| name);
            names.filter(|name| name.ends_with(&suffix)).count()
        };
        count(region) == count("fra")
    })
    .await;
}

#[tokio::test]
async fn the_queues_of_a_region_that_comes_later_are_declared_before_its_checks_are_dispatched() {
    let Some(site) = Site::new("region-later").await else {
        return;
    };
    let running = dispatcher(&site).await;
    site.configure(&["fra", "syd"]).await;
    has_queues(&site, "syd").await;
    wait_until(PATIENCE, async || {
        let queues = site.amqp.queues().await;
        let queue = queues.iter().find(|(name, _)| name == "checks.5s.syd");
        queue.is_some_and(|(_, tasks)| *tasks > 0)
    })
    .await;
    let metrics = sonde_tests::http::client()
        .get(running.url("/metrics"))
        .send()
        .await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let none = "sonde_dispatcher_unroutable_total 0\n";
    assert!(metrics.contains(none), "{metrics}");
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_region_whose_queues_cannot_be_declared_is_tried_again_and_holds_up_no_other() {
    let Some(site) = Site::new("region-refused").await else {
        return;
    };
    let path = format!("/api/queues/{}/checks.now.bad", site.amqp.vhost);
    let other = json!({"durable": true});
    site.amqp.manage(Method::PUT, &path, other).await;
    let running = dispatcher(&site).await;
    site.configure(&["bad", "fra", "syd"]).await;
    has_queues(&site, "syd").await;
    let refused = "queue checks.now.bad is declared otherwise";
    wait_until(PATIENCE, async || running.log().contains(refused)).await;
    site.amqp.delete_queue("checks.now.bad").await;
    has_queues(&site, "bad").await;
    assert!(running.terminate().await.success());
}
