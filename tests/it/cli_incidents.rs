//! `sonde incidents`, against a machine whose target is down.

use std::time::Duration;

use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::sonde::{Output, Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);

struct Shell {
    running: Running,
    up: Caller,
    _target: HttpStub,
    folder: TempDir,
}

impl Shell {
    /// With an incident of each of two monitors.
    async fn new() -> Self {
        let target = HttpStub::start([("/", Reply::status(503))]).await;
        let folder = tempfile::tempdir().unwrap();
        let alert = "alert: { fail_after: 1, recover_after: 1 }";
        let defaults = format!("defaults: {{ interval: 5s, timeout: 2s, retries: 0, {alert} }}");
        let url = target.url("/");
        let monitors = format!("shop: {{ http: {url} }}\n  mail: {{ http: {url} }}");
        let text = format!("{defaults}\nmonitors:\n  {monitors}\n");
        std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
        let running = Sonde::up(folder.path()).serve().await;
        let up = Caller::of(running.url(""));
        wait_until(PATIENCE, async || {
            let (_, page) = up.get("/v1/incidents").await;
            page["incidents"].as_array().unwrap().len() == 2
        })
        .await;
        Self {
            running,
            up,
            _target: target,
            folder,
        }
    }

    /// Expects an exit code.
    async fn ends(&self, code: i32, arguments: &[&str]) -> Output {
        let arguments = [&["incidents"], arguments].concat();
        let sonde = Sonde::new(&arguments).directory(self.folder.path());
        let output = sonde.env("SONDE_URL", self.running.url("")).run().await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        output
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        let output = self.ends(0, &arguments).await;
        serde_json::from_str(&output.stdout).unwrap()
    }
}

#[tokio::test]
async fn incidents_are_listed_shown_commented_acknowledged_and_resolved() {
    let shell = Shell::new().await;
    let list = shell.ends(0, &["list", "--status", "open"]).await;
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{list:?}");
    assert!(lines[0].starts_with("status"), "{list:?}");

    let first = shell
        .ends(0, &["list", "--limit", "1", "--format", "ndjson"])
        .await;
    let one: Value = serde_json::from_str(&first.stdout).unwrap();
    let cursor = first
        .stderr
        .trim()
        .strip_prefix("there are more: --cursor ")
        .unwrap();
    let rest = shell.json(&["list", "--cursor", cursor]).await;
    let rest = rest["incidents"].as_array().unwrap();
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_ne!(rest[0]["id"], one["id"]);

    let shop = shell.json(&["list", "--monitor", "shop"]).await;
    assert_eq!(shop["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(shop["next_cursor"], Value::Null);
    let id = shop["incidents"][0]["id"].as_str().unwrap();
    shell.ends(0, &["comment", id, "the disk was full"]).await;
    let acknowledged = shell.json(&["ack", id]).await;
    assert_eq!(acknowledged["acknowledged_by"], "this machine");
    let again = shell.ends(2, &["ack", id]).await;
    assert!(
        again
            .stderr
            .contains("the incident is acknowledged already"),
        "{again:?}"
    );
    let shown = shell.ends(0, &["show", id]).await.stdout;
    for part in [
        "DOWN: shop",
        "http_status",
        "acknowledged by this machine",
        "the disk was full",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let resolved = shell.ends(0, &["resolve", id]).await.stdout;
    assert!(resolved.contains("resolved by this machine"), "{resolved}");
    let again = shell.ends(2, &["resolve", id]).await;
    assert!(again.stderr.contains("resolved already"), "{again:?}");
    let (_, incident) = shell.up.get(&format!("/v1/incidents/{id}")).await;
    assert_eq!(incident["status"], "resolved");
    assert!(shell.running.terminate().await.success());
}

#[tokio::test]
async fn what_is_asked_for_in_vain_is_named() {
    let shell = Shell::new().await;
    let none = "00000000-0000-0000-0000-000000000009";
    let missing = shell.ends(2, &["show", none]).await.stderr;
    assert!(
        missing.contains(&format!("incident `{none}` not found")),
        "{missing}"
    );
    let malformed = shell.ends(2, &["show", "shop"]).await.stderr;
    assert!(malformed.contains("'shop'"), "{malformed}");
    let status = shell.ends(2, &["list", "--status", "closed"]).await.stderr;
    assert!(
        status.contains("expected open, acknowledged or resolved"),
        "{status}"
    );
    let cursor = shell.ends(2, &["list", "--cursor", "none"]).await.stderr;
    assert!(cursor.contains("cursor: must be"), "{cursor}");
    let none = shell.ends(0, &["list", "--monitor", "none"]).await;
    assert_eq!(none.stdout, "no incidents\n");
    let (_, page) = shell.up.get("/v1/incidents").await;
    let id = page["incidents"][0]["id"].as_str().unwrap();
    let empty = shell.ends(2, &["comment", id, " "]).await.stderr;
    assert!(
        empty.contains("text: must be 1 to 10000 characters"),
        "{empty}"
    );
    let away = Sonde::new(["incidents", "list", "--url", "http://127.0.0.1:1"]);
    let away = away.directory(shell.folder.path()).run().await;
    assert_eq!(away.code, Some(3), "{away:?}");
    assert_eq!(json!(away.stdout), "");
    assert!(shell.running.terminate().await.success());
}
