//! What pages are looked at with: a `sonde up` whose monitors are up, down, degraded and paused, with incidents that have
//! a past, a channel and a report; and one without any monitor.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tls::TlsServer;
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

pub(crate) struct Scene {
    pub(crate) up: Running,
    /// Of the monitor `down`, open and with a comment.
    pub(crate) incident: String,
    /// Of the monitor `slow`, open.
    pub(crate) degraded: String,
    _target: HttpStub,
    _secure: HttpStub,
    _folder: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let slow = Reply::text("late").after(Duration::from_millis(50));
        let long = format!("/{}", "a-path-without-an-end".repeat(12));
        let target = HttpStub::start([
            ("/", Reply::text("fine")),
            ("/down", Reply::status(503).body("out of order")),
            ("/slow", slow),
            ("/back", Reply::status(500)),
            (&long, Reply::text("fine")),
        ]);
        let target = target.await;
        let authority = Authority::new("Test");
        let identity = authority.issue(&["localhost", "127.0.0.1"], Validity::Left(DAY * 80));
        let routes = [("/", Reply::text("fine"))];
        let secure = HttpStub::start_tls(TlsServer::new(&identity), routes).await;
        let tls = json!({ "ca": authority.pem() });
        let monitors = json!({
            "back": { "http": target.url("/back") },
            "down": { "http": target.url("/down"), "name": "The shop <of> “Ada”" },
            "long": { "http": target.url(&long), "name": "Averylongnamewithoutanyplacetobreak".repeat(4) },
            "paused": { "http": target.url("/"), "paused": true },
            "secure": { "http": { "url": secure.url("/"), "tls": tls } },
            "slow": { "http": target.url("/slow"), "degraded": ["latency > 20ms"] },
            "up": { "http": target.url("/"), "tags": ["prod"] },
        });
        let folder = tempfile::tempdir().unwrap();
        let up = serve(&folder, &monitors).await;
        let caller = Caller::of(up.url(""));
        let mut incidents = Value::Null;
        let mut come = async |status: &str, monitors: &[&str]| {
            wait_until(PATIENCE, async || {
                incidents = incidents_of(&caller).await;
                let come = |monitor: &&str| incidents[status][monitor].is_string();
                monitors.iter().all(come)
            })
            .await;
        };
        come("open", &["back", "down", "slow"]).await;
        target.set("/back", Reply::text("fine"));
        come("resolved", &["back"]).await;
        let open = |monitor: &str| incidents["open"][monitor].as_str().unwrap().to_owned();
        let (incident, degraded) = (open("down"), open("slow"));
        let comment = json!({ "text": "The disk is full.\nSomebody is on the way." });
        let path = format!("/v1/incidents/{incident}/comments");
        let (status, said) = caller.post(&path, &comment).await;
        assert!(status < 300, "{said}");
        let webhook = json!({ "send": { "webhook": { "url": target.url("/") } } });
        let report = json!({ "channel": "ops", "every": "day", "at": "09:00", "zone": "UTC" });
        for (path, body) in [("/v1/channels/ops", webhook), ("/v1/reports/daily", report)] {
            let (status, made) = caller.call(Method::PUT, path, Some(&body)).await;
            assert_eq!(status, 201, "{made}");
        }
        Self {
            up,
            incident,
            degraded,
            _target: target,
            _secure: secure,
            _folder: folder,
        }
    }
}

/// One that watches nothing.
pub(crate) async fn empty() -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let up = serve(&folder, &json!({})).await;
    (up, folder)
}

async fn serve(folder: &TempDir, monitors: &Value) -> Running {
    let defaults = json!({
        "interval": "5s",
        "timeout": "2s",
        "retries": 0,
        "alert": { "fail_after": 1, "recover_after": 1 },
    });
    let text = json!({ "defaults": defaults, "monitors": monitors });
    std::fs::write(folder.path().join("sonde.yaml"), text.to_string()).unwrap();
    Sonde::up(folder.path()).serve().await
}

/// Their ids, by status and monitor.
async fn incidents_of(caller: &Caller) -> Value {
    let (_, page) = caller.get("/v1/incidents").await;
    let mut ids = json!({});
    for incident in page["incidents"].as_array().into_iter().flatten() {
        let text = |key: &str| incident[key].as_str().unwrap().to_owned();
        ids[text("status")][text("monitor")] = incident["id"].clone();
    }
    ids
}
