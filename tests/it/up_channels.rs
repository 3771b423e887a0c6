//! Channels and maintenance as code: in the file of `sonde up`, and by plan, apply and export.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::sonde::{Output, Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

const SECRET: &str = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0";
const OTHER: &str = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=";

const ALL: &str = "\
monitors:
  shop: { http: 'http://127.0.0.1:1/', paused: true }
channels:
  ops:
    send: { webhook: { url: 'https://hooks.example/hunter2', secret: '${HOOK}', headers: { x-key: hunter2 } } }
    tags: [prod]
    repeat: 30m
  chat: { send: { slack: { url: 'https://hooks.slack.com/services/hunter2' } } }
maintenance:
  nightly:
    monitors: { ids: [shop] }
    schedule: { recurring: { rrule: FREQ=DAILY, timezone: Europe/Berlin, starts_at: 2026-11-20T02:30, duration: 30m } }
";

/// A server without a file of its own, and a folder to apply files from.
struct Shell {
    running: Running,
    up: Caller,
    folder: TempDir,
    _home: TempDir,
}

impl Shell {
    async fn new() -> Self {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("sonde.yaml"), "monitors: {}\n").unwrap();
        let running = Sonde::up(home.path()).serve().await;
        let up = Caller::of(running.url(""));
        let shell = Self {
            running,
            up,
            folder,
            _home: home,
        };
        shell.write(ALL);
        shell
    }

    fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("sonde.yaml"), text).unwrap();
    }

    /// Expects an exit code.
    async fn ends(&self, code: i32, arguments: &[&str], secret: &str) -> Output {
        let sonde = Sonde::new(arguments).directory(self.folder.path());
        let sonde = sonde.env("SONDE_URL", self.running.url(""));
        let sonde = sonde.env("SONDE_REGION", "local").env("HOOK", secret);
        let output = sonde.run().await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(!output.stdout.contains("hunter2") && !output.stdout.contains(secret));
        output
    }
}

#[tokio::test]
async fn what_is_exported_changes_nothing_and_what_is_applied_is_what_was_shown() {
    let shell = Shell::new().await;
    let plan = shell.ends(1, &["plan"], SECRET).await;
    assert_eq!(
        plan.stdout,
        "+ shop  http://127.0.0.1:1/\n+ channel chat\n+ channel ops\n+ maintenance nightly\n"
    );
    let applied = shell.ends(0, &["apply", "--yes"], SECRET).await;
    assert_eq!(applied.stdout, plan.stdout);
    // Unchanged secrets are no change, written out or masked.
    shell.ends(0, &["plan", "--prune"], SECRET).await;
    let exported = shell.ends(0, &["export"], SECRET).await.stdout;
    assert!(exported.contains("secret: REDACTED"), "{exported}");
    shell.write(&exported);
    let same = shell.ends(0, &["plan", "--prune"], SECRET).await;
    assert!(
        same.stderr
            .starts_with("0 to add, 0 to change, 0 to remove, 4"),
        "{same:?}"
    );
    shell.ends(0, &["apply", "--yes", "--prune"], SECRET).await;
    let (_, versions) = shell.up.get("/v1/channels").await;
    let versions = versions["channels"].as_array().unwrap().clone();
    assert!(
        versions.iter().all(|channel| channel["version"] == 1),
        "{versions:?}"
    );

    shell.write(&ALL.replace("30m\n  chat", "1h\n  chat"));
    let changed = shell.ends(1, &["plan"], OTHER).await.stdout;
    assert!(changed.contains("    repeat: 30m → 1h\n"), "{changed}");
    assert!(
        changed.contains("send.webhook.secret: REDACTED → REDACTED  (a different secret)"),
        "{changed}"
    );
    assert!(shell.running.terminate().await.success());
}

#[tokio::test]
async fn sections_that_are_not_there_are_left_alone_and_those_that_are_may_be_pruned() {
    let shell = Shell::new().await;
    shell.ends(0, &["apply", "--yes"], SECRET).await;
    let monitors = "monitors:\n  shop: { http: 'http://127.0.0.1:1/', paused: true }\n";
    shell.write(monitors);
    shell.ends(0, &["plan", "--prune"], SECRET).await;
    shell.write(&format!("{monitors}channels: {{}}\n"));
    let refused = shell.ends(2, &["plan", "--prune"], SECRET).await;
    assert!(refused.stderr.contains("no channels"), "{refused:?}");
    let prune = ["apply", "--yes", "--prune", "--allow-empty"];
    let pruned = shell.ends(0, &prune, SECRET).await;
    assert_eq!(pruned.stdout, "- channel chat\n- channel ops\n");
    let (_, left) = shell.up.get("/v1/channels").await;
    assert_eq!(left["channels"], json!([]));

    // What the server finds wrong is told at its place, and nothing is done.
    let wrong = "monitors: {}\nchannels:\n  a: { send: { webhook: { url: 'https://a.example/REDACTED' } } }\n";
    shell.write(wrong);
    let refused = shell.ends(2, &["plan"], SECRET).await.stderr;
    assert!(refused.contains("channels.a: "), "{refused}");
    // The window is for a monitor that would go.
    let none = json!({ "monitors": {}, "prune": true, "maintenance": { "x": {
        "monitors": { "ids": ["shop"] },
        "schedule": { "once": { "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" } },
    } } });
    let (status, problem) = shell.up.post("/v1/plan", &none).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(
        problem["errors"][0]["path"],
        "maintenance.x.monitors.ids[0]"
    );
    assert!(shell.running.terminate().await.success());
}

#[tokio::test]
async fn a_key_that_is_not_for_alerts_plans_no_channels() {
    let folder = tempfile::tempdir().unwrap();
    let (server, owner) = sonde_tests::api::owned(folder.path()).await;
    let key = owner
        .new_key(&["monitors:read", "monitors:write"], None)
        .await;
    let file = json!({ "monitors": {}, "channels": {} });
    assert_eq!(
        key.post("/v1/plan", &json!({ "monitors": {} })).await.0,
        200
    );
    for path in ["/v1/plan", "/v1/apply"] {
        let (status, problem) = key.post(path, &file).await;
        assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")));
    }
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn the_file_of_a_machine_says_who_is_told_and_keeps_it() {
    let target = HttpStub::start([("/", Reply::status(503))]).await;
    let receiver = HttpStub::start([("/hook", Reply::text(""))]).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |channels: &str, maintenance: &str| {
        let defaults =
            "defaults: { interval: 5s, timeout: 2s, retries: 0, alert: { fail_after: 1 } }";
        let monitors = format!("monitors:\n  shop: {{ http: {} }}", target.url("/"));
        let text =
            format!("{defaults}\n{monitors}\nchannels: {channels}\nmaintenance: {maintenance}\n");
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
    };
    let channel = format!(
        "{{ hook: {{ send: {{ webhook: {{ url: '{}', secret: '{SECRET}' }} }} }} }}",
        receiver.url("/hook")
    );
    write(&channel, "{}");
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    wait_until(PATIENCE, async || receiver.requests().len() == 1).await;
    let told: Value = serde_json::from_slice(&receiver.requests()[0].body).unwrap();
    assert_eq!(told["event"], "opened");
    assert!(
        receiver.requests()[0]
            .headers
            .contains_key("webhook-signature")
    );

    let (_, kept) = up.get("/v1/channels/hook").await;
    assert!(
        kept["managed_by"].as_str().unwrap().ends_with("sonde.yaml"),
        "{kept}"
    );
    let send = json!({ "send": { "webhook": { "url": "https://a.example" } } });
    let (status, refused) = up.call(Method::PUT, "/v1/channels/hook", Some(&send)).await;
    assert_eq!((status, &refused["code"]), (409, &json!("managed_by_file")));
    assert_eq!(up.delete("/v1/channels/hook").await.0, 409);

    // Started once more, nothing of it changed.
    running.kill().await;
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    assert_eq!(up.get("/v1/channels/hook").await.1["version"], 1);

    let always = "{ all: { monitors: all, schedule: { once: { from: 2020-01-01T00:00:00Z, to: 2190-01-01T00:00:00Z } } } }";
    write("{}", always);
    wait_until(PATIENCE, async || {
        up.get("/v1/channels/hook").await.0 == 404
    })
    .await;
    let (_, maintenance) = up.get("/v1/maintenance/all").await;
    assert_eq!(maintenance["active"], true, "{maintenance}");
    wait_until(PATIENCE, async || {
        let (_, results) = up.get("/v1/monitors/shop/results?limit=1").await;
        results["results"][0]["in_maintenance"] == true
    })
    .await;
    assert_eq!(up.delete("/v1/maintenance/all").await.0, 409);
    write("{}", "{}");
    wait_until(PATIENCE, async || {
        up.get("/v1/maintenance/all").await.0 == 404
    })
    .await;
    assert!(running.terminate().await.success());
}
