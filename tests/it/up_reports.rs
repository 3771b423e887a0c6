//! Reports of `sonde up`: what a day came to, told once by mail and to a webhook, however often the process starts.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::{Clock, SystemClock};
use sonde_tests::api::Caller;
use sonde_tests::services::{SmtpSink, faketime, smtp_sink};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const DAY: i64 = 24 * 60 * 60;

struct Fixture {
    target: HttpStub,
    receiver: HttpStub,
    sink: SmtpSink,
    folder: TempDir,
}

impl Fixture {
    async fn new(sink: SmtpSink) -> Self {
        let target = HttpStub::start([("/", Reply::text("fine"))]).await;
        let receiver = HttpStub::start([("/hook", Reply::text(""))]).await;
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "defaults: {{ interval: 5s, timeout: 2s, retries: 0, alert: {{ fail_after: 1, recover_after: 1 }} }}\n\
             monitors:\n  shop: {{ http: {0}, name: Shop }}\n  other: {{ http: {0}?other }}\n",
            target.url("/")
        );
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        Self {
            target,
            receiver,
            sink,
            folder,
        }
    }

    /// So many seconds from now.
    async fn up(&self, later: i64) -> (Running, Caller) {
        let up = Sonde::up(self.folder.path())
            .env("SONDE_SMTP_URL", &self.sink.url)
            .env("SONDE_SMTP_FROM", "sonde@example.com")
            .env("SONDE_PUBLIC_URL", "https://sonde.example/");
        let up = faketime(later)
            .into_iter()
            .fold(up, |up, (name, value)| up.env(&name, value));
        let running = up.serve().await;
        let caller = Caller::of(running.url(""));
        (running, caller)
    }

    /// An incident of both monitors, from its beginning to its end.
    async fn outage(&self, up: &Caller) {
        for (reply, status) in [
            (Reply::status(503), "open"),
            (Reply::text("fine"), "resolved"),
        ] {
            self.target.set("/", reply);
            wait_until(PATIENCE, async || {
                let (_, page) = up.get(&format!("/v1/incidents?status={status}")).await;
                page["incidents"].as_array().unwrap().len() == 2
            })
            .await;
        }
    }

    fn reports(&self) -> Vec<Value> {
        let requests = self.receiver.requests().into_iter();
        let notices =
            requests.map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
        notices
            .filter(|notice| notice["event"] == "report")
            .collect()
    }
}

/// A zone in which it is before noon, so that it is one day for as long as a test takes.
fn zone() -> &'static str {
    let now = SystemClock.now().to_string();
    let hour: u32 = now[11..13].parse().unwrap();
    if hour < 12 { "UTC" } else { "Etc/GMT+12" }
}

async fn put(up: &Caller, path: &str, body: Value) -> (u16, Value) {
    up.call(Method::PUT, path, Some(&body)).await
}

#[tokio::test]
async fn what_a_day_came_to_is_told_once_however_often_the_process_starts() {
    let Some(sink) = smtp_sink().await else {
        return;
    };
    let it = Fixture::new(sink).await;
    let (running, up) = it.up(0).await;
    let hook = json!({ "webhook": { "url": it.receiver.url("/hook") } });
    // Of no incident.
    let quiet = ["none"];
    let made = put(
        &up,
        "/v1/channels/hook",
        json!({ "send": hook, "tags": quiet }),
    )
    .await;
    assert_eq!(made.0, 201, "{}", made.1);
    let mail = json!({ "email": { "to": ["boss@example.com"] } });
    put(
        &up,
        "/v1/channels/mail",
        json!({ "send": mail, "tags": quiet }),
    )
    .await;
    for channel in ["hook", "mail"] {
        let report = json!({ "channel": channel, "every": "day", "at": "00:00", "zone": zone() });
        let (status, made) = put(&up, &format!("/v1/reports/{channel}"), report.clone()).await;
        assert_eq!((status, &made["config"]), (201, &report), "{made}");
    }
    it.outage(&up).await;
    assert_eq!(it.reports().len(), 0, "made after it would have been due");
    running.kill().await;

    // The day after, twice, and the day after that.
    for later in [DAY + 60, DAY + 60] {
        let (running, up) = it.up(later).await;
        let sent = async |channel: &str| {
            let (_, log) = up.get(&format!("/v1/channels/{channel}/log")).await;
            let notices = log["notices"].as_array().unwrap();
            notices.iter().any(|it| it["state"] == "sent")
        };
        wait_until(PATIENCE, async || sent("hook").await && sent("mail").await).await;
        running.kill().await;
    }
    let (running, _) = it.up(2 * DAY + 60).await;
    wait_until(PATIENCE, async || it.reports().len() >= 2).await;
    wait_until(PATIENCE, async || it.sink.mails().await.len() >= 2).await;
    assert!(running.terminate().await.success());

    let reports = it.reports();
    assert_eq!(reports.len(), 2, "{reports:#?}");
    assert_ne!(reports[0]["id"], reports[1]["id"]);
    assert_eq!(reports[0]["report"]["to"], reports[1]["report"]["from"]);
    let report = &reports[0]["report"];
    assert_eq!(report["now"]["incidents"], 2, "{report:#}");
    assert!(report["now"]["failed"].as_u64() >= Some(2), "{report:#}");
    assert!(report["now"]["uptime"].as_f64() < Some(1.0), "{report:#}");
    assert_eq!(report["before"]["checks"], 0, "{report:#}");
    assert_eq!(report["monitors"].as_array().unwrap().len(), 2);
    assert_eq!(reports[1]["report"]["before"]["incidents"], 2);
    let mails = it.sink.mails().await;
    assert_eq!(mails.len(), 2);
    assert!(
        mails[0]["headers"]["subject"]
            .as_str()
            .unwrap()
            .contains(" % up, "),
        "{:#}",
        mails[0]
    );
    for (body, part) in [("text", "Shop: "), ("html", "<td align=\"left\">Shop</td>")] {
        assert!(
            mails[0][body].as_str().unwrap().contains(part),
            "{:#}",
            mails[0]
        );
    }
    assert_eq!(mails[0]["defects"], json!([]));
}

#[tokio::test]
async fn a_report_that_cannot_be_told_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = "monitors: { shop: { http: 'http://127.0.0.1:9/', paused: true } }\n";
    std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    let pager = json!({ "send": { "pagerduty": { "routing_key": "k" } } });
    put(&up, "/v1/channels/pager", pager).await;
    for (body, path, part) in [
        (
            json!({ "channel": "none", "every": "day", "at": "09:00" }),
            "channel",
            "there is no channel `none`",
        ),
        (
            json!({ "channel": "pager", "every": "day", "at": "09:00" }),
            "channel",
            "`pagerduty`",
        ),
        (
            json!({ "channel": "pager", "every": "month", "at": "31 09:00" }),
            "at",
            "from 1 to 28",
        ),
        (
            json!({ "channel": "pager", "every": "day", "at": "09:00", "zone": "Mars" }),
            "zone",
            "IANA",
        ),
    ] {
        let (status, problem) = put(&up, "/v1/reports/daily", body).await;
        let error = &problem["errors"][0];
        assert_eq!(
            (status, error["path"].as_str()),
            (422, Some(path)),
            "{problem:#}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(part),
            "{problem:#}"
        );
    }
    assert_eq!(up.get("/v1/reports/daily").await.0, 404);
    assert_eq!(up.delete("/v1/reports/daily").await.0, 404);
    let hook = json!({ "send": { "slack": { "url": "https://hooks.example/x" } } });
    put(&up, "/v1/channels/hook", hook).await;
    let report = json!({ "channel": "hook", "every": "week", "at": "mon 09:00", "tags": ["prod"] });
    assert_eq!(put(&up, "/v1/reports/weekly", report).await.0, 201);
    let (_, list) = up.get("/v1/reports").await;
    assert_eq!(list["reports"][0]["config"]["zone"], "UTC", "{list:#}");
    assert_eq!(up.delete("/v1/reports/weekly").await.0, 204);
    assert!(running.terminate().await.success());
}
