//! The command line as scripts use it: exit codes, formats, waiting, Checkup's files.

use std::path::Path;

use serde_json::Value;
use sonde_tests::promtool;
use sonde_tests::sonde::{Output, Sonde};
use sonde_tests::stub::dns::{Answer, DnsStub};
use sonde_tests::stub::http::{HttpStub, Reply};
use tempfile::TempDir;

async fn run(folder: &Path, arguments: &[&str]) -> Output {
    Sonde::new(arguments).directory(folder).run().await
}

fn folder(file: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    folder
}

/// A target that is up at `/`, slow by its monitor's standards at `/slow`, and down at `/bad`.
async fn target() -> (HttpStub, TempDir) {
    let routes = [
        ("/", Reply::text("up")),
        ("/slow", Reply::text("up")),
        ("/bad", Reply::status(503)),
    ];
    let stub = HttpStub::start(routes).await;
    let (good, slow, bad) = (stub.url("/"), stub.url("/slow"), stub.url("/bad"));
    let text = format!(
        "defaults: {{ retries: 0 }}\nmonitors:\n  good: {{ http: \"{good}\", tags: [smoke] }}\n  \
         slow: {{ http: \"{slow}\", degraded: [latency > 1us] }}\n  bad: {{ http: \"{bad}\" }}\n"
    );
    (stub, folder("sonde.yaml", &text))
}

#[tokio::test]
async fn exit_codes_tell_failed_from_wrong() {
    let (_stub, folder) = target().await;
    let empty = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["check"][..], 1),
        (&["check", "--only", "tag:smoke"], 0),
        (&["check", "--only", "good", "--only", "slow"], 0),
        (&["check", "--only", "slow", "--strict"], 1),
        (&["check", "--only", "nothing-like-it"], 2),
        (&["check", "-c", "missing.yaml"], 2),
        (&["check", "--format", "xml"], 2),
        (&["config", "check"], 0),
        (&["probe", "ftp://a.example"], 2),
        (&["ledger", "--data", "nowhere"], 2),
    ] {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {}", output.stderr);
        assert!(
            code < 2 || (output.stdout.is_empty() && !output.stderr.is_empty()),
            "{arguments:?}"
        );
    }
    let nothing = run(empty.path(), &["check"]).await;
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("there is no sonde.yaml"),
        "{}",
        nothing.stderr
    );
}

#[tokio::test]
async fn every_format_says_the_same() {
    let (_stub, folder) = target().await;
    let json = run(folder.path(), &["check", "--format", "json"]).await;
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    let summary = &document["summary"];
    let counts =
        ["total", "ok", "degraded", "failed", "missed"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 1, 1, 0]);
    let results = document["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .any(|result| result["reason"] == "http_status")
    );

    let ndjson = run(folder.path(), &["check", "--format", "ndjson"]).await;
    let lines: Vec<Value> = ndjson
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);

    let junit = run(folder.path(), &["check", "--format", "junit"]).await;
    assert!(
        junit.stdout.contains(r#"tests="3""#) && junit.stdout.contains(r#"failures="1""#),
        "{}",
        junit.stdout
    );
    let tap = run(folder.path(), &["check", "--format", "tap"]).await;
    assert!(
        tap.stdout.starts_with("TAP version 14\n1..3\n"),
        "{}",
        tap.stdout
    );
    assert_eq!(
        tap.stdout
            .lines()
            .filter(|line| line.starts_with("not ok "))
            .count(),
        1
    );
    let prometheus = run(folder.path(), &["check", "--format", "prometheus"]).await;
    promtool::check_metrics(&prometheus.stdout).await;
}

#[tokio::test]
async fn waiting_ends_when_all_pass() {
    let late = Reply::text("up").but_first(3, Reply::status(503));
    let stub = HttpStub::start([("/", late)]).await;
    let folder = folder(
        "sonde.yaml",
        &format!(
            "defaults: {{ retries: 0 }}\nmonitors:\n  late: {{ http: \"{}\" }}\n",
            stub.url("/")
        ),
    );
    let output = run(folder.path(), &["check", "--wait", "25s"]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(stub.requests().len(), 4);
    assert!(
        output.stderr.contains("waiting for late: http_status"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn a_reader_that_leaves_early_is_no_error_of_ours() {
    let (_stub, folder) = target().await;
    let binary = sonde_tests::sonde::binary().await.display().to_string();
    let shell = format!("{binary} check --format json 2>err | head -c 1 >/dev/null; cat err");
    let output = tokio::process::Command::new("sh")
        .args(["-c", &shell])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        !words.contains("panicked") && !words.contains("Broken pipe"),
        "{words}"
    );
}

#[tokio::test]
async fn checkups_file_keeps_its_meaning() {
    let stub = HttpStub::start([
        ("/", Reply::status(204)),
        ("/moved", Reply::redirect(302, "/")),
    ])
    .await;
    let dns = DnsStub::start([("shop.test.", Answer::addresses([[192, 0, 2, 1].into()]))]).await;
    let (url, tcp, dns) = (stub.url(""), stub.server().address(), dns.address());
    let text = format!(
        r#"{{ "checkers": [
          {{ "type": "http", "endpoint_name": "Site", "endpoint_url": "{url}/" }},
          {{ "type": "http", "endpoint_name": "Slow", "endpoint_url": "{url}/", "threshold_rtt": 1 }},
          {{ "type": "http", "endpoint_name": "Moved", "endpoint_url": "{url}/moved" }},
          {{ "type": "http", "endpoint_name": "Moved on purpose", "endpoint_url": "{url}/moved", "up_status": 302 }},
          {{ "type": "tcp", "endpoint_name": "Port", "endpoint_url": "{tcp}" }},
          {{ "type": "dns", "endpoint_name": "Name", "endpoint_url": "{dns}", "hostname_fqdn": "shop.test." }},
          {{ "type": "exec", "name": "Command", "command": "true" }}
        ], "storage": {{ "type": "fs" }} }}"#
    );
    let folder = folder("checkup.json", &text);
    let output = run(
        folder.path(),
        &["check", "--allow-exec", "--format", "json"],
    )
    .await;
    assert!(
        output.stderr.contains("storage: not taken over"),
        "{}",
        output.stderr
    );
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let mut outcomes: Vec<_> = document["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            format!(
                "{}: {}",
                result["name"].as_str().unwrap(),
                result["outcome"].as_str().unwrap()
            )
        })
        .collect();
    outcomes.sort();
    let expected = [
        "Command: ok",
        "Moved on purpose: ok",
        "Moved: failed",
        "Name: ok",
        "Port: ok",
        "Site: ok",
        "Slow: degraded",
    ];
    assert_eq!(outcomes, expected, "{document:#}");
    assert_eq!(output.code, Some(1));
}

#[tokio::test]
async fn what_is_imported_is_accepted_and_what_has_no_equivalent_is_said() {
    let text = "\
endpoints:
  - name: Shop
    url: https://shop.example
    conditions: ['[STATUS] == 200', '[IP] == 192.0.2.1']
";
    let folder = folder("config.yaml", text);
    let output = run(folder.path(), &["import", "gatus", "config.yaml"]).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let note =
        "note: config.yaml:4:37: endpoints[0].conditions[1]: `[IP] == 192.0.2.1` has no equivalent";
    assert!(output.stderr.contains(note), "{}", output.stderr);
    std::fs::write(folder.path().join("sonde.yaml"), output.stdout).unwrap();
    let checked = run(folder.path(), &["config", "check"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    for arguments in [
        &["import", "checkup", "config.yaml"][..],
        &["import", "blackbox", "config.yaml"],
        &["import", "gatus", "config.yaml", "--module", "m"],
        &["import", "gatus", "missing.yaml"],
        &["import", "nagios", "config.yaml"],
    ] {
        let output = run(folder.path(), arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {}", output.stderr);
        assert_eq!(output.stdout, "");
    }
}
