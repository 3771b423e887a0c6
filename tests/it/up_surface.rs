//! What `sonde up` shows: JSON, page, metrics, `/check`; and how it takes configuration, good and bad.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sonde_tests::api::{self, Caller};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::{promtool, wait_until};

const PATIENCE: Duration = Duration::from_secs(40);

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("sonde.yaml"), text).unwrap();
}

async fn get(up: &Running, path: &str) -> (u16, Value) {
    let answer = sonde_tests::http::get(up.url(path)).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

async fn text(up: &Running, path: &str) -> String {
    sonde_tests::http::get(up.url(path))
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

async fn states(up: &Running) -> Vec<(String, String)> {
    let (_, list) = get(up, "/v1/monitors").await;
    let text = |monitor: &Value, key: &str| monitor[key].as_str().unwrap().to_owned();
    let monitors = list["monitors"].as_array().unwrap();
    monitors
        .iter()
        .map(|monitor| (text(monitor, "id"), text(monitor, "state")))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(id, state)| ((*id).to_owned(), (*state).to_owned()))
        .collect()
}

#[tokio::test]
async fn without_a_file_it_watches_its_own_example_service_with_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let up = Sonde::up(folder.path()).serve().await;
    wait_until(PATIENCE, async || {
        let states = states(&up).await;
        // ICMP needs a right that not every machine gives: then its state is unknown, never down.
        !states.is_empty()
            && states
                .iter()
                .all(|(id, state)| state == "up" || (id == "ping" && state == "unknown"))
    })
    .await;
    let (_, list) = get(&up, "/v1/monitors").await;
    let kinds: Vec<_> = list["monitors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["kind"].as_str().unwrap())
        .collect();
    for kind in ["http", "tcp", "dns", "icmp", "tls"] {
        assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
    }
    let page = text(&up, "/").await;
    assert!(
        page.contains("id=\"headline\"") && page.contains("<dt>uptime</dt>"),
        "{page}"
    );
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn results_can_be_listed_filtered_paged_and_summed_up() {
    let target = HttpStub::start([("/", Reply::text("up")), ("/bad", Reply::status(503))]).await;
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (target.url("/"), target.url("/bad"));
    let text = format!(
        "defaults: {{ interval: 5s, timeout: 2s, retries: 0 }}\nmonitors:\n  good: {{ http: \"{good}\" }}\n  bad: {{ http: \"{bad}\" }}\n"
    );
    write(folder.path(), &text);
    let up = Sonde::up(folder.path()).serve().await;
    let answer = sonde_tests::http::client()
        .post(up.url("/check"))
        .send()
        .await
        .unwrap();
    let now: Value = answer.json().await.unwrap();
    assert_eq!(now["summary"]["total"], 2);
    assert_eq!(
        (&now["summary"]["ok"], &now["summary"]["failed"]),
        (&1.into(), &1.into()),
        "{now:#}"
    );
    assert_eq!(now["results"][0]["monitor"], "bad");
    assert_eq!(now["results"][0]["reason"], "http_status");

    wait_until(PATIENCE, async || {
        let (_, summary) = get(&up, "/v1/monitors/bad/summary").await;
        summary["failed"].as_u64().unwrap() >= 2
    })
    .await;
    let (_, summary) = get(&up, "/v1/monitors/good/summary").await;
    assert_eq!(summary["uptime"], 1.0, "{summary:#}");
    assert!(summary["p50_us"].as_u64().unwrap() > 0);
    let (_, first) = get(&up, "/v1/monitors/bad/results?limit=1&outcome=failed").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, second) = get(
        &up,
        &format!("/v1/monitors/bad/results?limit=1&cursor={cursor}"),
    )
    .await;
    assert_ne!(
        first["results"][0]["check_id"],
        second["results"][0]["check_id"]
    );
    let (_, none) = get(&up, "/v1/monitors/good/results?outcome=failed").await;
    assert_eq!(none["results"].as_array().unwrap().len(), 0);
    dashboards_show_the_same(&up).await;
    assert!(up.terminate().await.success());
}

/// Within a range that has ended, so that every answer is about the same checks.
async fn dashboards_show_the_same(up: &Running) {
    let to = sonde_core::Clock::now(&sonde_core::SystemClock);
    let question = |path: &str| {
        let from = to - Duration::from_hours(1);
        format!(
            "/v1/{path}{}from={from}&to={to}",
            if path.contains('?') { '&' } else { '?' }
        )
    };
    // What was due before is stored within its interval.
    wait_until(PATIENCE, async || {
        let (_, rows) = get(
            up,
            &format!("/v1/monitors/good/results?from={to}&trigger=schedule"),
        )
        .await;
        rows["results"].as_array().unwrap().len() > 1
    })
    .await;
    let (_, all) = get(up, &question("summaries")).await;
    for (index, id) in ["bad", "good"].into_iter().enumerate() {
        let (_, one) = get(up, &question(&format!("monitors/{id}/summary"))).await;
        let seen = &all["summaries"][index];
        assert_eq!(seen["monitor"], id, "{all:#}");
        for number in [
            "count", "ok", "failed", "missed", "uptime", "p50_us", "p99_us",
        ] {
            assert_eq!(seen[number], one[number], "{number}: {all:#}");
        }
    }
    let (_, phases) = get(up, &question("monitors/good/phases?step=1h&by_region=true")).await;
    let bucket = &phases["buckets"][0];
    assert_eq!(bucket["region"], "local", "{phases:#}");
    assert!(
        bucket["mean_us"]["wait"].as_u64().unwrap() > 0,
        "{phases:#}"
    );
    assert_eq!(bucket["mean_us"]["tls"], Value::Null);
    let (_, heat) = get(up, &question("monitors/good/heatmap?step=1h")).await;
    let counts = heat["buckets"].as_array().unwrap().iter();
    let counts = counts.flat_map(|it| it["counts"].as_array().unwrap());
    let measured: u64 = counts.map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(measured, all["summaries"][1]["ok"], "{heat:#}");
    let (_, reasons) = get(up, &question("monitors/bad/reasons")).await;
    let first = &reasons["reasons"][0];
    assert_eq!(
        (&first["reason"], &first["outcome"]),
        (&"http_status".into(), &"failed".into())
    );
    assert_eq!(first["count"], all["summaries"][0]["failed"], "{reasons:#}");
    for (status, is_found) in [(503, true), (200, false)] {
        let (_, rows) = get(
            up,
            &question(&format!("monitors/bad/results?status={status}")),
        )
        .await;
        assert_eq!(
            !rows["results"].as_array().unwrap().is_empty(),
            is_found,
            "{rows:#}"
        );
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let up = Sonde::up(folder.path()).serve().await;
    let (_, list) = get(&up, "/v1/monitors").await;
    let id = list["monitors"][0]["id"].as_str().unwrap();
    for (path, status, field) in [
        ("/v1/monitors/nope", 404, Value::Null),
        ("/v1/monitors/No%20Slug/results", 404, Value::Null),
        ("/v1/nothing", 404, Value::Null),
        ("/v1", 404, Value::Null),
        ("/v1/monitors/%FF", 400, Value::Null),
        (
            &format!("/v1/monitors/{id}/results?lmit=1"),
            400,
            "lmit".into(),
        ),
        (
            &format!("/v1/monitors/{id}/results?limit=1&limit=2"),
            400,
            Value::Null,
        ),
        (
            &format!("/v1/monitors/{id}/results?limit=0"),
            400,
            "limit".into(),
        ),
        (
            &format!("/v1/monitors/{id}/results?limit=x"),
            400,
            "limit".into(),
        ),
        (
            &format!("/v1/monitors/{id}/results?outcome=fine"),
            400,
            "outcome".into(),
        ),
        (
            &format!("/v1/monitors/{id}/results?cursor=zzz"),
            400,
            "cursor".into(),
        ),
        (
            &format!("/v1/monitors/{id}/results?region=A!"),
            400,
            "region".into(),
        ),
        (
            &format!("/v1/monitors/{id}/summary?from=yesterday"),
            400,
            "from".into(),
        ),
        (
            &format!("/v1/monitors/{id}/summary?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
            400,
            "from".into(),
        ),
    ] {
        let (got, problem) = get(&up, path).await;
        assert_eq!(
            (got, &problem["errors"][0]["path"]),
            (status, &field),
            "{path}: {problem:#}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_are_valid_and_leave_with_their_monitor() {
    let target = HttpStub::start([("/", Reply::text("up"))]).await;
    let (folder, url) = (tempfile::tempdir().unwrap(), target.url("/"));
    let two = format!(
        "defaults: {{ interval: 5s, timeout: 2s }}\nmonitors:\n  a: {{ http: \"{url}\" }}\n  b: {{ http: \"{url}?b\" }}\n"
    );
    write(folder.path(), &two);
    let up = Sonde::up(folder.path()).serve().await;
    let has = async |part: &str| text(&up, "/metrics").await.contains(part);
    wait_until(PATIENCE, async || {
        has("monitor=\"a\"").await && has("monitor=\"b\"").await
    })
    .await;
    let metrics = text(&up, "/metrics").await;
    promtool::check_metrics(&metrics).await;
    for name in [
        format!("http_health_check_total{{target=\"{url}\",status=\"success\"}}"),
        format!("http_response_time_seconds_bucket{{le=\"0.001\",target=\"{url}\"}}"),
        "sonde_check_up{monitor=\"a\",region=\"local\",kind=\"http\"} 1".to_owned(),
    ] {
        assert!(metrics.contains(&name), "{name} is not in\n{metrics}");
    }

    write(
        folder.path(),
        &two.lines().take(3).collect::<Vec<_>>().join("\n"),
    );
    wait_until(PATIENCE, async || {
        states(&up).await == pairs(&[("a", "up")])
    })
    .await;
    wait_until(PATIENCE, async || {
        !has("monitor=\"b\"").await && !has("?b").await
    })
    .await;
    assert!(has("monitor=\"a\"").await);
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn a_bad_reload_keeps_the_running_configuration() {
    let target = HttpStub::start([("/", Reply::text("up"))]).await;
    let (folder, url) = (tempfile::tempdir().unwrap(), target.url("/"));
    let good = format!("monitors:\n  shop: {{ http: \"{url}\", interval: 5s, timeout: 2s }}\n");
    write(folder.path(), &good);
    let up = Sonde::up(folder.path()).serve().await;
    wait_until(PATIENCE, async || {
        states(&up).await == pairs(&[("shop", "up")])
    })
    .await;

    write(
        folder.path(),
        "monitors:\n  shop: { htp: x, interval: 1s }\n",
    );
    up.reload();
    wait_until(PATIENCE, async || up.log().contains("did you mean `http`?")).await;
    wait_until(PATIENCE, async || {
        up.log().contains("interval: must be 5s or more")
    })
    .await;
    assert_eq!(states(&up).await, pairs(&[("shop", "up")]));

    write(folder.path(), &good.replace("shop", "store"));
    up.reload();
    wait_until(PATIENCE, async || {
        states(&up).await == pairs(&[("store", "up")])
    })
    .await;
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn a_bad_file_starts_nothing_and_lists_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "monitors:\n  a: { http: \"https://a.example\", intervall: 5s }\n  b: { tcp: nowhere }\n",
    );
    let output = Sonde::up(folder.path()).run().await;
    assert_eq!(output.code, Some(2));
    assert_eq!(output.stderr.lines().count(), 2, "{}", output.stderr);
    assert!(
        output.stderr.contains("(did you mean `interval`?)"),
        "{}",
        output.stderr
    );
    assert!(!folder.path().join("data").exists(), "half of it started");
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_closed_until_it_is_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        Sonde::new(["up", "--data=data", "--checker-listen=0.0.0.0:0"]).directory(folder.path());
    let output = run.run().await;
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("--public"), "{}", output.stderr);

    let arguments = [
        "up",
        "--data=data",
        "--listen=0.0.0.0:0",
        "--checker-listen=127.0.0.1:0",
    ];
    let server = Sonde::new(arguments).directory(folder.path()).serve().await;
    wait_until(PATIENCE, async || server.log().contains("/setup#")).await;
    let log = server.log();
    let (before, _) = log.split_once("/setup#").unwrap();
    let (_, base) = before.rsplit_once(' ').unwrap();
    let nobody = Caller::of(base);
    assert_eq!(nobody.get("/v1/monitors").await.0, 401);
    assert_eq!(nobody.get("/metrics").await.0, 404);
    let token = api::set_up_token(&log);
    let ada = serde_json::json!({ "token": token, "email": "ada@example.org", "name": "Ada", "password": api::PASSWORD });
    let owner = nobody.session("/v1/setup", &ada).await;
    assert_eq!(owner.get("/v1/monitors").await.0, 200);
    // The link is used up.
    assert_eq!(nobody.post("/v1/setup", &ada).await.0, 401);
}

#[tokio::test]
async fn what_is_not_for_this_machine_or_this_path_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let up = Sonde::up(folder.path()).serve().await;
    let client = sonde_tests::http::client();
    let posted = client.put(up.url("/v1/monitors")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    let problem: Value = posted.json().await.unwrap();
    assert_eq!(problem["code"], "method_not_allowed");
    // A page of another site that had its name lead here.
    let rebound = client
        .get(up.url("/v1/monitors"))
        .header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 421);
}
