//! A small shop's monitors, with a past in the store before `sonde up` starts and a present that stubs make.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sonde_config::{Inputs, Options, Origin};
use sonde_core::{Clock as _, Monitor, QueueSettings, Region, SystemClock, WorkspaceId};
use sonde_results::Results as _;
use sonde_results::libsql::LibsqlResults;
use sonde_seal::SealingKeys;
use sonde_store::ConfigStore as _;
use sonde_store::libsql::LibsqlStore;
use sonde_tests::api::Caller;
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

use crate::history::{self, Past};
use crate::incidents;

const REGION: &str = "fra";
/// For the first checks to come and an incident to open.
const PATIENCE: Duration = Duration::from_mins(2);
/// Rows of one write.
const BATCH: usize = 2_000;

/// Ends with its value.
pub(crate) struct Demonstration {
    up: Running,
    /// One that is open, with a timeline.
    pub(crate) incident: String,
    _targets: HttpStub,
    _names: DnsStub,
    _folder: TempDir,
}

impl Demonstration {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let names = [
            "www.shop.example",
            "api.shop.example",
            "pay.shop.example",
            "db.shop.example",
        ];
        let names = DnsStub::start(names.map(|name| (name, Answer::loopback()))).await;
        let targets = HttpStub::start([
            ("/", answer(40)),
            ("/search", answer(420)),
            ("/v1/health", answer(25)),
            ("/v1/orders", answer(70)),
            (
                "/checkout",
                Reply::status(503).after(Duration::from_millis(90)),
            ),
        ]);
        let targets = targets.await;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let text = configuration(targets.server().port(), names.address().port()).to_string();
        std::fs::write(folder.path().join("sonde.yaml"), &text)?;
        remember(&folder.path().join("data"), &monitors(&text)?).await?;
        let up = Sonde::up(folder.path())
            .argument(format!("--region={REGION}"))
            .argument(format!("--resolver={}", names.address()))
            .serve()
            .await;
        let caller = Caller::of(up.url(""));
        let incident = open_incident(&caller).await;
        all_are_known(&caller).await;
        look_after(&caller, &incident).await?;
        Ok(Self {
            up,
            incident,
            _targets: targets,
            _names: names,
            _folder: folder,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.up.url(path)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let status = self.up.terminate().await;
        ensure!(status.success(), "`sonde up` ended with {status}");
        Ok(())
    }
}

fn answer(milliseconds: u64) -> Reply {
    Reply::text("fine").after(Duration::from_millis(milliseconds))
}

fn configuration(web: u16, dns: u16) -> Value {
    let at = |host: &str, path: &str| format!("http://{host}.shop.example:{web}{path}");
    json!({
        "defaults": {
            "interval": "10s",
            "timeout": "5s",
            "retries": 0,
            "regions": [REGION],
            "alert": { "fail_after": 1, "recover_after": 1 },
        },
        "monitors": {
            "checkout": { "name": "Checkout", "http": at("pay", "/checkout"), "tags": ["shop", "money"] },
            "search": { "name": "Search", "http": at("www", "/search"), "degraded": ["latency > 400ms"], "tags": ["shop"] },
            "home": { "name": "Home page", "http": at("www", "/"), "expect": ["status == 200", "body contains fine"], "tags": ["shop"] },
            "api": { "name": "API", "http": at("api", "/v1/health"), "tags": ["api"] },
            "orders": { "name": "Orders API", "http": at("api", "/v1/orders"), "depends_on": ["api"], "tags": ["api"] },
            "database": { "name": "Database", "tcp": format!("db.shop.example:{web}") },
            "names": { "name": "Name server", "dns": { "name": "www.shop.example", "type": "A", "server": format!("127.0.0.1:{dns}") } },
        },
    })
}

/// As `sonde up` will read them.
fn monitors(text: &str) -> anyhow::Result<Vec<Monitor>> {
    let queues = queues()?;
    let region = Region::new(REGION).context("a region")?;
    let loaded = sonde_config::parse(&Inputs {
        name: "sonde.yaml",
        text,
        origin: Origin::Machine {
            env: &|_| None,
            read_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        },
        queues: &queues,
        options: Options {
            check_interval: None,
            allow_exec: false,
            default_region: Some(region),
        },
    });
    Ok(loaded?.config.monitors)
}

fn queues() -> anyhow::Result<QueueSettings> {
    let text = sonde_config::DEFAULT_QUEUES;
    Ok(sonde_config::parse_queues("queues.toml", text)?)
}

async fn remember(data: &Path, monitors: &[Monitor]) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let results = LibsqlResults::open(&data.join("results.db")).await?;
    // It keeps no secret: those of a machine are sealed with a key that it makes at its first start.
    let store = LibsqlStore::open(&data.join("config.db"), SealingKeys::none()).await?;
    store
        .replace_monitors(&WorkspaceId::local(), monitors)
        .await?;
    let queues = queues()?;
    let now = SystemClock.now();
    for monitor in monitors {
        let past = Past::of(monitor.id.as_str());
        let rows: Vec<_> = history::rows(monitor, past, &queues, now).collect();
        for rows in rows.chunks(BATCH) {
            results.store(rows).await?;
        }
        incidents::remember(&store, monitor, past, now).await?;
    }
    Ok(())
}

async fn open_incident(caller: &Caller) -> String {
    let mut id = None;
    wait_until(PATIENCE, async || {
        let (_, page) = caller
            .get("/v1/incidents?status=open&monitor=checkout")
            .await;
        id = page["incidents"][0]["id"].as_str().map(str::to_owned);
        id.is_some()
    })
    .await;
    id.expect("it was awaited")
}

/// A monitor that this start has not checked yet is unknown.
async fn all_are_known(caller: &Caller) {
    wait_until(PATIENCE, async || {
        let (_, list) = caller.get("/v1/monitors").await;
        let monitors = list["monitors"].as_array().cloned().unwrap_or_default();
        let known = |monitor: &Value| {
            !["unknown", "pending"].contains(&monitor["state"].as_str().unwrap_or("unknown"))
        };
        !monitors.is_empty() && monitors.iter().all(known)
    })
    .await;
}

async fn look_after(caller: &Caller, incident: &str) -> anyhow::Result<()> {
    let path = format!("/v1/incidents/{incident}");
    let said = json!({ "text": "The payment provider confirms: their gateway is out. We show a notice in the shop." });
    for (what, body) in [("acknowledge", json!({})), ("comments", said)] {
        let (status, answer) = caller.post(&format!("{path}/{what}"), &body).await;
        ensure!(status < 300, "{what}: {status} {answer}");
    }
    Ok(())
}
