//! Monitors by the API: what a person does with `curl`, and what somebody sends who means no good.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::{Caller, owned};
use sonde_tests::sonde::Sonde;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_monitor_is_made_checked_run_changed_and_removed_and_the_audit_log_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let target = HttpStub::start([("/", Reply::text("fine"))]).await;
    let monitor = json!({
        "id": "web",
        "http": { "url": target.url("/"), "headers": { "X-Key": "hunter2" } },
        "interval": "5s",
    });
    let (status, made) = owner.post("/v1/monitors", &monitor).await;
    assert_eq!((status, &made["version"]), (201, &json!(1)), "{made}");
    assert_eq!(owner.post("/v1/monitors", &monitor).await.0, 409);

    // Seen at once, checked soon.
    assert_eq!(owner.get("/v1/monitors/web").await.1["id"], "web");
    wait_until(PATIENCE, async || {
        let (_, page) = owner.get("/v1/monitors/web/results").await;
        page["results"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty())
    })
    .await;
    let (status, run) = owner.post("/v1/monitors/web/run", &json!({})).await;
    assert_eq!(
        (status, &run["results"][0]["outcome"]),
        (200, &json!("ok")),
        "{run}"
    );
    let events = owner
        .header("accept", "text/event-stream")
        .send(
            Method::POST,
            "/v1/monitors/web/run",
            Some(&json!({ "regions": ["local"] })),
        )
        .await;
    let events = events.text().await.unwrap();
    assert!(
        events.starts_with("event: result\n") && events.contains("event: done"),
        "{events}"
    );
    let nowhere = json!({ "regions": ["nowhere"] });
    let (status, problem) = owner.post("/v1/monitors/web/run", &nowhere).await;
    assert_eq!((status, &problem["code"]), (422, &json!("no_such_region")));
    let (status, run) = owner
        .post("/v1/checks", &json!({ "http": target.url("/") }))
        .await;
    assert_eq!(
        (status, &run["results"][0]["monitor"]),
        (200, &json!("ad-hoc")),
        "{run}"
    );

    // Only what is named changes; what somebody else changed meanwhile is not overwritten.
    let (status, paused) = patch(&owner, "\"1\"", &json!({ "paused": true })).await;
    assert_eq!(
        (status, &paused["config"]["paused"]),
        (200, &json!(true)),
        "{paused}"
    );
    assert_eq!(paused["config"]["interval"], "5s");
    let (status, problem) = patch(&owner, "\"1\"", &json!({ "paused": false })).await;
    assert_eq!((status, &problem["code"]), (412, &json!("changed")));
    // What was read can be sent back: the secret stays.
    let (status, same) = owner
        .call(Method::PUT, "/v1/monitors/web", Some(&paused["config"]))
        .await;
    assert_eq!((status, &same["version"]), (200, &json!(2)), "{same}");
    // But it goes nowhere else.
    let elsewhere = json!({ "http": { "url": "http://127.0.0.1:9/" } });
    let (status, problem) = patch(&owner, "*", &elsewhere).await;
    assert_eq!(
        (status, &problem["errors"][0]["path"]),
        (422, &json!("http")),
        "{problem}"
    );

    assert_eq!(owner.delete("/v1/monitors/web").await.0, 204);
    assert_eq!(owner.get("/v1/monitors/web").await.0, 404);
    let (_, audit) = owner.get("/v1/audit?kind=monitor&id=web").await;
    let told = audit["entries"].as_array().unwrap().iter();
    let told: Vec<_> = told
        .map(|it| (&it["action"], &it["actor"]["name"]))
        .collect();
    let ada = &json!("ada@example.org");
    let [removed, updated, created] = ["removed", "updated", "created"].map(|it| json!(it));
    assert_eq!(told, [(&removed, ada), (&updated, ada), (&created, ada)]);
    assert!(!audit.to_string().contains("hunter2"));
}

async fn patch(caller: &Caller, version: &str, body: &Value) -> (u16, Value) {
    let caller = caller.header("if-match", version);
    caller
        .call(Method::PATCH, "/v1/monitors/web", Some(body))
        .await
}

#[tokio::test]
async fn what_the_file_keeps_is_changed_there_and_what_the_api_made_survives() {
    let folder = tempfile::tempdir().unwrap();
    let (server, owner) = owned(folder.path()).await;
    let (_, shop) = owner.get("/v1/monitors/shop").await;
    assert_eq!(shop["managed_by"], "sonde.yaml", "{shop}");
    let (status, problem) = owner.delete("/v1/monitors/shop").await;
    assert_eq!((status, &problem["code"]), (409, &json!("managed_by_file")));
    let monitor =
        json!({ "id": "mine", "tcp": "127.0.0.1:9", "interval": "1h", "depends_on": ["shop"] });
    assert_eq!(owner.post("/v1/monitors", &monitor).await.0, 201);
    let orphan = json!({ "id": "orphan", "tcp": "127.0.0.1:9", "depends_on": ["none"] });
    let (status, problem) = owner.post("/v1/monitors", &orphan).await;
    assert_eq!(
        (status, &problem["errors"][0]["path"]),
        (422, &json!("depends_on[0]"))
    );
    let text = "monitors: { web: { tcp: '127.0.0.1:9', interval: 1h } }";
    std::fs::write(folder.path().join("sonde.yaml"), text).unwrap();
    let ids = async |caller: &Caller| {
        let (_, list) = caller.get("/v1/monitors").await;
        let list = list["monitors"].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    wait_until(PATIENCE, async || ids(&owner).await == ["mine", "web"]).await;
    assert!(server.terminate().await.success());
    let server = Sonde::up(folder.path()).serve().await;
    let body = json!({ "email": "ada@example.org", "password": sonde_tests::api::PASSWORD });
    let owner = Caller::of(server.url(""))
        .session("/v1/session", &body)
        .await;
    assert_eq!(ids(&owner).await, ["mine", "web"]);
}

#[tokio::test]
async fn listings_are_read_page_by_page_and_results_by_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    for id in ["a", "b", "c"] {
        let monitor = json!({ "id": id, "tcp": "127.0.0.1:9", "interval": "1h" });
        assert_eq!(owner.post("/v1/monitors", &monitor).await.0, 201);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = owner.get(&format!("/v1/monitors?limit=3{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let ids = page["monitors"].as_array().unwrap().iter();
        seen.extend(ids.map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["a", "b", "c", "shop"]);
    let run = owner.post("/v1/monitors/a/run", &json!({})).await;
    assert_eq!(run.1["results"][0]["outcome"], "failed", "{}", run.1);
    wait_until(PATIENCE, async || {
        let (_, rows) = owner.get("/v1/monitors/a/results?trigger=on_demand").await;
        rows["results"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty())
    })
    .await;
    for (path, field) in [
        ("/v1/monitors?limit=0", "limit"),
        ("/v1/monitors?limit=x", "limit"),
        ("/v1/monitors?limt=1", "limt"),
        ("/v1/monitors/a/results?outcome=bad", "outcome"),
        ("/v1/monitors/a/results?from=yesterday", "from"),
        ("/v1/monitors/a/results?cursor=x", "cursor"),
        ("/v1/monitors/a/results?region=No%20Region", "region"),
        ("/v1/monitors/a/results?status=7", "status"),
        ("/v1/monitors/a/results?status=fine", "status"),
        ("/v1/monitors/a/series?step=1ms", "step"),
        ("/v1/monitors/a/phases?step=1ms", "step"),
        ("/v1/monitors/a/heatmap?step=soon", "step"),
        ("/v1/monitors/a/heatmap?by_region=true", "by_region"),
        ("/v1/monitors/a/reasons?region=No%20Region", "region"),
        ("/v1/monitors/a/certificates?step=1h", "step"),
        ("/v1/summaries?from=yesterday", "from"),
        ("/v1/monitors/a/uptime?days=1000", "days"),
        ("/v1/audit?kind=sheep", "kind"),
        ("/v1/ledger?from=2026-01-01T00:00:00Z", "from"),
        ("/v1/outcomes?after=x", "Last-Event-ID"),
    ] {
        let (status, problem) = owner.get(path).await;
        assert_eq!(status, 400, "{path}: {problem}");
        let told = problem["errors"][0]["path"].as_str().unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap();
        assert!(told == field || detail.contains(field), "{path}: {problem}");
    }
    for path in [
        "/v1/monitors/none",
        "/v1/monitors/none/results",
        "/v1/monitors/none/phases",
        "/v1/monitors/none/heatmap",
        "/v1/monitors/none/reasons",
        "/v1/monitors/none/certificates",
        "/v1/keys/none",
        "/v1/nothing",
    ] {
        assert_eq!(owner.get(path).await.0, 404, "{path}");
    }
    let answer = owner
        .send(Method::POST, "/v1/audit", Some(&json!({})))
        .await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers().contains_key("allow")
        ),
        (405, true)
    );
}

#[tokio::test]
async fn hostile_bodies_are_refused_with_their_place_and_never_break_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (server, owner) = owned(folder.path()).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let wide = format!(
        "{{\"id\":\"a\",\"name\":\"{}\"}}",
        "x".repeat(2 * 1024 * 1024)
    );
    let bodies: [(&[u8], &[u16]); 9] = [
        (b"", &[400]),
        (b"{", &[400]),
        (b"[]", &[422]),
        (b"\xff\xfe{}", &[400]),
        (b"{\"id\": \"\\ud800\"}", &[400]),
        (deep.as_bytes(), &[400, 422]),
        (wide.as_bytes(), &[413]),
        (
            b"{\"id\":\"a\",\"tcp\":\"a:1\",\"retries\":1e400}",
            &[400, 422],
        ),
        (
            b"{\"id\":\"a\",\"tcp\":\"a:1\",\"retries\":99999999999999999999999}",
            &[400, 422],
        ),
    ];
    // A connection each: after a body that it did not read, the server closes.
    let post = async |body: &[u8], kind: &str| {
        let request = sonde_tests::http::client().post(server.url("/v1/monitors"));
        let request = request
            .header("content-type", kind)
            .header("cookie", owner_cookie(&owner));
        let answer = request.body(body.to_vec()).send().await;
        answer.map(|answer| answer.status().as_u16())
    };
    for (body, expected) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        match post(body, "application/json").await {
            Ok(status) => assert!(expected.contains(&status), "{shown}: {status}"),
            // It may close while the rest is still on its way.
            Err(error) => assert!(body.len() > 1024 * 1024, "{shown}: {error}"),
        }
    }
    for kind in ["application/x-www-form-urlencoded", "text/plain"] {
        assert_eq!(post(b"id=a", kind).await.unwrap(), 415, "{kind}");
    }
}

#[tokio::test]
async fn hostile_monitors_are_refused_with_their_place_and_reach_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let monitor = |config: Value| {
        let mut monitor = json!({ "id": "evil", "interval": "1h" });
        monitor
            .as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        monitor
    };
    for (config, path) in [
        (
            json!({ "http": { "url": "http://a/", "headers": { "X": "a\r\nHost: b" } } }),
            "http.headers.X",
        ),
        (
            json!({ "http": { "url": "http://a/", "method": "GET / HTTP/1.1\r\nX: y" } }),
            "http.method",
        ),
        (
            json!({ "http": { "url": "file:///etc/passwd" } }),
            "http.url",
        ),
        (
            json!({ "http": { "url": "http://a/", "body": { "file": "/etc/passwd" } } }),
            "http.body.file",
        ),
        (
            json!({ "http": { "url": "http://a/", "tls": { "ca": "/etc/passwd" } } }),
            "http.tls.ca",
        ),
        (json!({ "tcp": "a:1", "name": "a\u{0}b" }), "name"),
        (json!({ "tcp": "a:1", "nme": "x" }), "nme"),
        (json!({ "exec": { "command": "/bin/sh" } }), "exec"),
        (json!({ "tcp": "a:1", "interval": "5000000h" }), "interval"),
        (
            json!({ "tcp": "a:1", "expect": ["body matches ((((((("] }),
            "expect[0]",
        ),
    ] {
        let (status, problem) = owner.post("/v1/monitors", &monitor(config.clone())).await;
        assert_eq!(status, 422, "{config}: {problem}");
        let errors = problem["errors"].as_array().unwrap();
        let told = errors.iter().any(|it| it["path"] == path);
        assert!(told, "{config}: {problem}");
    }
    let injection = json!({ "id": "a'; DROP TABLE resources; --", "tcp": "a:1" });
    assert_eq!(owner.post("/v1/monitors", &injection).await.0, 422);
    let quoted = json!({ "id": "quoted", "tcp": "a:1", "name": "'; DROP TABLE resources; --", "interval": "1h" });
    assert_eq!(owner.post("/v1/monitors", &quoted).await.0, 201);
    // `$` is a dollar sign: nothing of the server's environment gets out.
    let dollar = json!({ "id": "dollar", "tcp": "a:1", "name": "${PATH}", "interval": "1h" });
    assert_eq!(
        owner.post("/v1/monitors", &dollar).await.1["name"],
        "${PATH}"
    );
    assert_eq!(
        owner.get("/v1/monitors/quoted").await.1["name"],
        quoted["name"]
    );
}

fn owner_cookie(owner: &Caller) -> String {
    owner.shown("cookie").unwrap_or_default()
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let once = owner.header("idempotency-key", "0b5a");
    let body = json!({ "name": "ci", "scopes": ["monitors:read"] });
    let first = once.post("/v1/keys", &body).await;
    let again = once.post("/v1/keys", &body).await;
    assert_eq!(first.0, 201);
    assert_eq!(first, again);
    let (_, keys) = owner.get("/v1/keys").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    let other = json!({ "name": "cd", "scopes": ["monitors:read"] });
    let (status, problem) = once.post("/v1/keys", &other).await;
    assert_eq!((status, &problem["code"]), (409, &json!("idempotency")));
    // Somebody else's is another one.
    let key = owner
        .new_key(&["keys:read", "keys:write", "monitors:read"], None)
        .await;
    let theirs = key
        .header("idempotency-key", "0b5a")
        .post("/v1/keys", &body)
        .await;
    assert_eq!(theirs.0, 201);
    assert_ne!(theirs.1["id"], first.1["id"]);
}

#[tokio::test]
async fn who_follows_outcomes_and_comes_back_misses_none() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, owner) = owned(folder.path()).await;
    let followed = owner.send(Method::GET, "/v1/outcomes", None).await;
    let mut stream = followed;
    let (status, run) = owner.post("/v1/monitors/shop/run", &json!({})).await;
    assert_eq!(status, 200);
    let check = run["results"][0]["check_id"].as_str().unwrap().to_owned();
    let mut text = String::new();
    while !(text.contains(&check) && text.ends_with("\n\n")) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await;
        let chunk = chunk.expect("it comes").unwrap().expect("it does not end");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let id = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back();
    let id = id.unwrap().to_owned();
    drop(stream);
    let mut missed = Vec::new();
    for _ in 0..3 {
        let (_, run) = owner.post("/v1/monitors/shop/run", &json!({})).await;
        missed.push(run["results"][0]["check_id"].as_str().unwrap().to_owned());
    }
    let back = owner.header("last-event-id", id);
    let mut stream = back.send(Method::GET, "/v1/outcomes", None).await;
    let mut text = String::new();
    while !missed.iter().all(|check| text.contains(check)) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await;
        let chunk = chunk.expect("it comes").unwrap().expect("it does not end");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(!text.contains(&check));
}
