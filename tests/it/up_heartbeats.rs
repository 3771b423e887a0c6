//! Heartbeats of `sonde up`: a job that stays away is told, whatever dies in between, and so is one that fails.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::hook::{self, text};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::HttpStub;
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

/// A machine that waits for a job, and a receiver of webhooks.
struct Fixture {
    receiver: HttpStub,
    folder: TempDir,
}

impl Fixture {
    async fn new(monitors: &str) -> Self {
        let receiver = hook::receiver().await;
        let folder = tempfile::tempdir().unwrap();
        let text = format!("monitors:\n{monitors}");
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self { receiver, folder }
    }

    async fn up(&self) -> (Running, Caller) {
        let running = Sonde::up(self.folder.path()).serve().await;
        let caller = Caller::of(running.url(""));
        (running, caller)
    }

    async fn channel(&self, up: &Caller) {
        hook::channel(up, &self.receiver, json!({})).await;
    }

    /// What was told: the event, and why.
    fn told(&self) -> Vec<(String, String)> {
        let notices = hook::notices(&self.receiver).into_iter();
        let told = notices.map(|notice| {
            let region = &notice["incident"]["regions"][0];
            (text(&notice["event"]), text(&region["reason"]))
        });
        told.collect()
    }

    fn told_is(&self, expected: &[(&str, &str)]) -> bool {
        let told = self.told();
        let told = told
            .iter()
            .map(|(event, why)| (event.as_str(), why.as_str()));
        told.eq(expected.iter().copied())
    }
}

/// The path that a job calls. It is told with the address that people reach the server at.
async fn path(up: &Caller, monitor: &str) -> String {
    let (status, address) = up.get(&format!("/v1/monitors/{monitor}/heartbeat")).await;
    assert_eq!(status, 200, "{address}");
    let url: reqwest::Url = address["url"].as_str().unwrap().parse().unwrap();
    url.path().to_owned()
}

/// The newest of its results first, once one has come for that reason: it may be told before it is stored.
async fn results(up: &Caller, monitor: &str, reason: &str) -> Vec<Value> {
    let path = format!("/v1/monitors/{monitor}/results");
    let mut found = Vec::new();
    wait_until(PATIENCE, async || {
        let (_, page) = up.get(&path).await;
        found.clone_from(page["results"].as_array().unwrap());
        found.iter().any(|it| it["reason"] == reason)
    })
    .await;
    found
}

async fn ping(up: &Caller, path: &str) -> StatusCode {
    up.send(Method::GET, path, None).await.status()
}

#[tokio::test]
async fn a_job_that_stays_away_is_told_whatever_dies_in_between() {
    let it = Fixture::new("  backup: { heartbeat: { grace: 5s }, interval: 10s }\n").await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    let job = path(&up, "backup").await;
    assert_eq!(ping(&up, &job).await, 204);
    let last = async |up: &Caller| {
        let (_, page) = up.get("/v1/monitors/backup/results").await;
        page["results"].as_array().unwrap().clone()
    };
    wait_until(PATIENCE, async || last(&up).await.len() == 1).await;
    let first = last(&up).await.remove(0);
    assert_eq!(
        (&first["kind"], &first["region"], &first["outcome"]),
        (&json!("heartbeat"), &json!("push"), &json!("ok"))
    );
    // Its death moves no deadline.
    running.kill().await;
    let (running, up) = it.up().await;
    wait_until(PATIENCE, async || {
        it.told_is(&[("opened", "heartbeat_late")])
    })
    .await;
    let slot = |result: &Value| {
        let slot = result["slot"].as_str().unwrap();
        slot.parse::<sonde_core::Timestamp>().unwrap()
    };
    let late = results(&up, "backup", "heartbeat_late").await;
    // The newest is the first.
    let mut late = late.iter().filter(|it| it["reason"] == "heartbeat_late");
    let late = late.next_back().unwrap();
    assert_eq!(slot(late).since(slot(&first)), Duration::from_secs(15));
    assert_eq!(late["outcome"], "failed");
    let (_, shown) = up.get("/v1/monitors/backup").await;
    assert_eq!(shown["state"], "down");

    // It dies while it is open; the address is the same.
    running.kill().await;
    let (running, up) = it.up().await;
    assert_eq!(path(&up, "backup").await, job);
    assert_eq!(ping(&up, &job).await, 204);
    wait_until(PATIENCE, async || it.told().len() == 2).await;
    assert_eq!(it.told()[1].0, "resolved", "{:?}", it.told());
    let (_, page) = up.get("/v1/incidents").await;
    assert_eq!(page["incidents"].as_array().unwrap().len(), 1);
    // Nobody scheduled it, and nothing of it is missing.
    let (_, summary) = up.get("/v1/monitors/backup/summary").await;
    assert_eq!(summary["missed"], 0, "{summary}");
    let ledger = Sonde::new(["ledger", "--data", "data"]).directory(it.folder.path());
    assert!(running.terminate().await.success());
    let ledger = ledger.run().await;
    assert_eq!(ledger.code, Some(0), "{ledger:?}");
    assert!(!ledger.stdout.contains("push"), "{}", ledger.stdout);
}

#[tokio::test]
async fn a_job_that_says_that_it_failed_is_told_at_once() {
    let it = Fixture::new("  backup: { heartbeat: {}, interval: 1d }\n").await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    let job = path(&up, "backup").await;
    let body = json!({ "exit": 3, "duration": "12.5s", "message": "disk full\nat /srv" });
    let (status, answer) = up.post(&job, &body).await;
    assert_eq!(status, 204, "{answer}");
    wait_until(PATIENCE, async || it.told_is(&[("opened", "exec_failed")])).await;
    let result = &results(&up, "backup", "exec_failed").await[0];
    assert_eq!(result["message"], "exit status 3: disk full", "{result}");
    assert_eq!(result["total_us"], 12_500_000);
    assert_eq!(result["evidence"]["body"], "disk full\nat /srv");
    assert_eq!(ping(&up, &format!("{job}/0?duration=2s")).await, 204);
    wait_until(PATIENCE, async || it.told().len() == 2).await;
    // Two within one interval are two.
    wait_until(PATIENCE, async || {
        let (_, page) = up.get("/v1/monitors/backup/results").await;
        page["results"].as_array().unwrap().len() == 2
    })
    .await;
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn an_address_is_a_secret_that_can_be_changed_and_tells_nothing() {
    let monitors =
        "  backup: { heartbeat: {}, interval: 1d }\n  web: { tcp: '127.0.0.1:9', interval: 1h }\n";
    let it = Fixture::new(monitors).await;
    let (running, up) = it.up().await;
    assert_eq!(up.get("/v1/monitors/web/heartbeat").await.0, 404);
    assert_eq!(up.get("/v1/monitors/none/heartbeat").await.0, 404);
    let old = path(&up, "backup").await;
    let rotated = "/v1/monitors/backup/heartbeat/rotate";
    assert_eq!(up.post(rotated, &json!({})).await.0, 200);
    let new = path(&up, "backup").await;
    assert_ne!(old, new);
    assert_eq!(ping(&up, &new).await, 204);
    let mut bodies = Vec::new();
    let other = format!("{new}x");
    for unknown in [
        &old,
        &other,
        "/v1/heartbeats/sonde_beat_",
        "/v1/heartbeats/x",
    ] {
        let (status, body) = up.get(unknown).await;
        assert_eq!(status, 404, "{unknown}");
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(up.send(Method::HEAD, &new, None).await.status(), 405);
    let (status, problem) = up.get(&format!("{new}?status=fine")).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("invalid_parameter"))
    );
    // Nobody asks for a check of what tells by itself.
    let run = up.post("/v1/monitors/backup/run", &json!({})).await;
    assert_eq!(run.0, 422, "{}", run.1);
    let (_, log) = up.get("/v1/audit?kind=heartbeat").await;
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "made, and made anew: {log:#}");
    assert!(!log.to_string().contains("sonde_beat_"));
    // A job that runs wild is held up.
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..100 {
        statuses.insert(ping(&up, &new).await.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    // The command shows the same address.
    let server = running.url("");
    let shown = Sonde::new(["heartbeat", "backup", "--url", &server])
        .run()
        .await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.trim().ends_with(&new), "{shown:?}");
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn sonde_check_leaves_heartbeats_out() {
    let it = Fixture::new("  backup: { heartbeat: {}, interval: 1d }\n").await;
    let checked = Sonde::new(["check"])
        .directory(it.folder.path())
        .run()
        .await;
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stderr.contains("backup"), "{checked:?}");
}
