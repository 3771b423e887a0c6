//! Alerts of `sonde up`: from a target that fails to a webhook, once for each incident, whatever dies in between.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_tests::api::Caller;
use sonde_tests::hook::{self, text};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
/// Of a webhook that is signed.
const SECRET: &str = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0";

/// A machine that watches a target, and a receiver of webhooks.
struct Fixture {
    target: HttpStub,
    receiver: HttpStub,
    folder: TempDir,
}

impl Fixture {
    async fn new(monitors: &str) -> Self {
        let target = HttpStub::start([
            ("/", Reply::text("fine")),
            ("/gateway", Reply::text("fine")),
        ])
        .await;
        let receiver = hook::receiver().await;
        let folder = tempfile::tempdir().unwrap();
        let defaults = "defaults: { interval: 5s, timeout: 2s, retries: 0, alert: { fail_after: 1, recover_after: 1 } }";
        let monitors = monitors.replace("TARGET", &target.url(""));
        let text = format!("{defaults}\nmonitors:\n{monitors}");
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self {
            target,
            receiver,
            folder,
        }
    }

    async fn up(&self) -> (Running, Caller) {
        let running = Sonde::up(self.folder.path()).serve().await;
        let caller = Caller::of(running.url(""));
        (running, caller)
    }

    async fn channel(&self, up: &Caller) {
        hook::channel(up, &self.receiver, json!({})).await;
    }

    /// What was told, in order: the event and the monitor.
    fn told(&self) -> Vec<(String, String)> {
        let notices = hook::notices(&self.receiver).into_iter();
        notices
            .map(|it| (text(&it["event"]), text(&it["incident"]["monitor"])))
            .collect()
    }

    fn told_is(&self, expected: &[(&str, &str)]) -> bool {
        let told = self.told();
        let told = told
            .iter()
            .map(|(event, monitor)| (event.as_str(), monitor.as_str()));
        told.eq(expected.iter().copied())
    }
}

#[tokio::test]
async fn what_fails_is_told_once_and_so_is_that_it_recovered() {
    let it = Fixture::new("  shop: { http: TARGET/ }\n").await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    it.target.set("/", Reply::status(503));
    wait_until(PATIENCE, async || it.told_is(&[("opened", "shop")])).await;
    let (_, page) = up.get("/v1/incidents?status=open").await;
    let incident = &page["incidents"][0];
    assert_eq!(
        (&incident["monitor"], &incident["cause"]),
        (&json!("shop"), &json!("down"))
    );
    let region = &incident["detail"]["regions"][0];
    assert_eq!(region["reason"], "http_status", "{incident:#}");
    let page = format!("/incidents/{}", incident["id"].as_str().unwrap());
    let path = format!("/v1{page}");
    let shown = up.send(Method::GET, &page, None).await;
    assert_eq!(shown.status(), 200);
    let shown = shown.text().await.unwrap();
    assert!(
        shown.contains("DOWN: shop") && shown.contains("http_status"),
        "{shown}"
    );
    assert_eq!(up.get("/incidents/none").await.0, 404);

    // It dies while the incident is open: what comes next is not another one.
    running.kill().await;
    let (running, up) = it.up().await;
    let acknowledged = up.post(&format!("{path}/acknowledge"), &json!({})).await;
    assert_eq!(acknowledged.0, 200, "{}", acknowledged.1);
    let again = up.post(&format!("{path}/acknowledge"), &json!({})).await;
    assert_eq!(again.0, 403, "{}", again.1);
    wait_until(PATIENCE, async || it.told().len() == 2).await;
    it.target.set("/", Reply::text("fine"));
    wait_until(PATIENCE, async || it.told().len() == 3).await;
    let expected = ["opened", "acknowledged", "resolved"].map(|event| (event, "shop"));
    assert!(it.told_is(&expected), "{:?}", it.told());
    let acknowledged = &hook::notices(&it.receiver)[1];
    assert_eq!(acknowledged["incident"]["acknowledged_by"], "this machine");
    assert_eq!(acknowledged["link"], running.url(&page));
    let (_, incident) = up.get(&path).await;
    let kinds: Vec<_> = incident["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["kind"])
        .collect();
    assert_eq!(kinds, ["opened", "acknowledged", "resolved"]);
    let (_, all) = up.get("/v1/incidents").await;
    assert_eq!(all["incidents"].as_array().unwrap().len(), 1);
    // It has it a moment before that is written down.
    wait_until(PATIENCE, async || {
        let (_, log) = up.get("/v1/channels/hook/log").await;
        let notices = log["notices"].as_array().unwrap();
        notices.len() == 3 && notices.iter().all(|it| it["state"] == "sent")
    })
    .await;
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_parent_that_is_down_is_told_and_not_those_behind_it() {
    let mut monitors = "  gateway: { http: TARGET/gateway }\n".to_owned();
    for n in 0..20 {
        let child = format!("  c{n}: {{ http: TARGET/?{n}, depends_on: [gateway] }}\n");
        monitors.push_str(&child);
    }
    let it = Fixture::new(&monitors).await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    it.target.set("/", Reply::status(503));
    it.target.set("/gateway", Reply::status(503));
    let caused = async || {
        let (_, page) = up.get("/v1/incidents?status=open").await;
        let incidents = page["incidents"].as_array().unwrap();
        incidents
            .iter()
            .filter(|it| it["caused_by"] == "gateway")
            .count()
    };
    wait_until(PATIENCE, async || caused().await == 20).await;
    it.target.set("/", Reply::text("fine"));
    it.target.set("/gateway", Reply::text("fine"));
    wait_until(PATIENCE, async || {
        let (_, page) = up.get("/v1/incidents?status=open").await;
        page["incidents"].as_array().unwrap().is_empty()
    })
    .await;
    wait_until(PATIENCE, async || it.told().len() == 2).await;
    let expected = [("opened", "gateway"), ("resolved", "gateway")];
    assert!(it.told_is(&expected), "{:?}", it.told());
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_channel_that_is_away_hears_of_it_later_and_delays_nobody() {
    let it = Fixture::new("  shop: { http: TARGET/ }\n").await;
    let away = HttpStub::start([("/hook", Reply::status(500))]).await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    let send = json!({ "webhook": { "url": away.url("/hook"), "secret": SECRET } });
    let (status, made) = up
        .call(
            Method::PUT,
            "/v1/channels/away",
            Some(&json!({ "send": send })),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["config"]["send"]["webhook"]["secret"], "REDACTED");
    it.target.set("/", Reply::status(503));
    wait_until(PATIENCE, async || it.told_is(&[("opened", "shop")])).await;
    it.target.set("/", Reply::text("fine"));
    wait_until(PATIENCE, async || it.told().len() == 2).await;
    wait_until(PATIENCE, async || away.requests().len() >= 2).await;
    away.set("/hook", Reply::text(""));
    let sent = async || {
        let (_, log) = up.get("/v1/channels/away/log").await;
        let notices = log["notices"].as_array().unwrap();
        notices.iter().filter(|it| it["state"] == "sent").count()
    };
    wait_until(PATIENCE, async || sent().await == 2).await;
    let requests = away.requests();
    let ids: Vec<_> = requests
        .iter()
        .map(|it| &it.headers["webhook-id"])
        .collect();
    assert_eq!(ids[0], ids[1], "the same at every attempt");
    assert_ne!(&ids[0], ids.last().unwrap());
    let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
    for request in &requests {
        verifier.verify(&request.body, &request.headers).unwrap();
    }
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_channel_is_tried_changed_and_removed() {
    let it = Fixture::new("  shop: { http: TARGET/, paused: true }\n").await;
    let (running, up) = it.up().await;
    it.channel(&up).await;
    let (status, tested) = up.post("/v1/channels/hook/test", &json!({})).await;
    assert_eq!(status, 202, "{tested}");
    wait_until(PATIENCE, async || it.told().len() == 1).await;
    assert_eq!(it.told()[0].0, "test");
    // What stays open there until its end is told is closed again.
    let send = json!({ "grafana_oncall": { "url": it.receiver.url("/hook") } });
    let oncall = json!({ "send": send });
    let made = up.call(Method::PUT, "/v1/channels/oncall", Some(&oncall));
    assert_eq!(made.await.0, 201);
    up.post("/v1/channels/oncall/test", &json!({})).await;
    let (_, log) = up.get("/v1/channels/oncall/log").await;
    let [end, begin] = [0, 1].map(|n| log["notices"][n].clone());
    assert_eq!(
        (&end["incident"], &end["state"]),
        (&begin["incident"], &json!("waiting"))
    );
    assert!(end["due_at"].as_str() > begin["due_at"].as_str(), "{log:#}");
    let wrong = json!({ "send": { "slack": { "url": "nowhere" } }, "after": "30d" });
    let (status, problem) = up
        .call(Method::PUT, "/v1/channels/hook", Some(&wrong))
        .await;
    assert_eq!(status, 422);
    let errors = problem["errors"].as_array().unwrap().iter();
    let mut paths: Vec<_> = errors.map(|it| it["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, ["after", "send.slack.url"], "{problem:#}");
    assert_eq!(up.delete("/v1/channels/hook").await.0, 204);
    assert_eq!(up.get("/v1/channels/hook").await.0, 404);
    assert!(running.terminate().await.success());
}
