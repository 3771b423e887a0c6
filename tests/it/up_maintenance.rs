//! Maintenance from the API to the rows of `sonde up`: checks go on, and what comes of them does not count.

use std::time::Duration;

use reqwest::{Method, header};
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::sonde::Sonde;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(40);

/// Scheduled rows of a monitor: whether each is in maintenance.
async fn marks(up: &Caller, monitor: &str) -> Vec<bool> {
    let path = format!("/v1/monitors/{monitor}/results?limit=1000&trigger=schedule");
    let (status, page) = up.get(&path).await;
    assert_eq!(status, 200, "{page}");
    let rows = page["results"].as_array().unwrap().iter();
    rows.map(|row| row["in_maintenance"].as_bool().unwrap())
        .collect()
}

fn nightly(monitors: &Value) -> Value {
    json!({
        "title": "patches",
        "monitors": monitors,
        "schedule": { "recurring": {
            "rrule": "FREQ=DAILY", "timezone": "Europe/Berlin", "starts_at": "2024-01-01T02:30", "duration": "2d",
        } },
    })
}

#[tokio::test]
async fn failures_in_a_window_are_seen_and_do_not_count() {
    let target = HttpStub::start([("/", Reply::status(503))]).await;
    let folder = tempfile::tempdir().unwrap();
    let url = target.url("/");
    let defaults = "defaults: { interval: 5s, timeout: 2s, retries: 0 }";
    let file = format!("{defaults}\nmonitors:\n  other: {{ http: \"{url}\" }}\n");
    std::fs::write(folder.path().join("sonde.yaml"), file).unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));

    let shop = json!({
        "id": "shop", "http": url, "interval": "5s", "timeout": "2s", "retries": 0, "paused": true,
    });
    let (status, made) = up.post("/v1/monitors", &shop).await;
    assert_eq!(status, 201, "{made}");
    let body = nightly(&json!({ "ids": ["shop"] }));
    let (status, made) = up.post("/v1/maintenance", &body).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["active"], true, "{made:#}");
    assert_eq!(made["next"].as_array().unwrap().len(), 10, "{made:#}");
    let resumed = json!({ "paused": false });
    let (status, made_active) = up
        .call(Method::PATCH, "/v1/monitors/shop", Some(&resumed))
        .await;
    assert_eq!(status, 200, "{made_active}");

    wait_until(PATIENCE, async || marks(&up, "shop").await.len() >= 2).await;
    assert!(marks(&up, "shop").await.into_iter().all(|marked| marked));
    let (_, summary) = up.get("/v1/monitors/shop/summary").await;
    assert!(summary["failed"].as_u64().unwrap() >= 2, "{summary:#}");
    assert_eq!(summary["uptime"], Value::Null);
    let others = marks(&up, "other").await;
    assert!(!others.is_empty() && others.into_iter().all(|marked| !marked));

    let path = format!("/v1/maintenance/{}", made["id"].as_str().unwrap());
    assert_eq!(up.delete(&path).await.0, 204);
    wait_until(PATIENCE, async || marks(&up, "shop").await.contains(&false)).await;
    let (_, summary) = up.get("/v1/monitors/shop/summary").await;
    assert_eq!(summary["uptime"], 0.0, "{summary:#}");
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_window_is_planned_listed_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    let body = nightly(&json!("all"));
    let made = up.send(Method::POST, "/v1/maintenance", Some(&body)).await;
    let path = made.headers()[header::LOCATION].to_str().unwrap();
    let (path, etag) = (path.to_owned(), made.headers()[header::ETAG].clone());
    let (_, list) = up.get("/v1/maintenance").await;
    assert_eq!(list["maintenance"].as_array().unwrap().len(), 1);
    assert_eq!(list["maintenance"][0]["schedule"], body["schedule"]);

    let mut changed = body.clone();
    changed["schedule"] = json!({
        "once": { "from": "2030-01-01T10:00:00Z", "to": "2030-01-01T12:00:00Z" }
    });
    let careful = up.header("if-match", etag.to_str().unwrap());
    let (status, now) = careful.call(Method::PUT, &path, Some(&changed)).await;
    assert_eq!(status, 200, "{now}");
    assert_eq!(
        (&now["active"], &now["version"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(now["next"], json!([]), "it is more than a year away");
    let late = careful.call(Method::PUT, &path, Some(&changed)).await;
    assert_eq!(late.0, 412);

    assert_eq!(up.delete(&path).await.0, 204);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(up.call(method, &path, Some(&changed)).await.0, 404);
    }
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn what_is_wrong_with_a_window_is_told_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    let mut wrong = nightly(&json!("all"));
    wrong["schedule"]["recurring"]["rrule"] = json!("FREQ=SECONDLY");
    wrong["schedule"]["recurring"]["timezone"] = json!("Mars/Olympus");
    let unknown = nightly(&json!({ "ids": ["nobody-made-it"] }));
    let paths = [
        (
            wrong,
            &["schedule.recurring.rrule", "schedule.recurring.timezone"][..],
        ),
        (unknown, &["monitors.ids[0]"]),
    ];
    for (body, expected) in paths {
        let (status, problem) = up.post("/v1/maintenance", &body).await;
        assert_eq!(status, 422, "{problem}");
        let errors = problem["errors"].as_array().unwrap().iter();
        let mut paths: Vec<_> = errors.map(|it| it["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, expected, "{problem:#}");
    }
    assert!(running.terminate().await.success());
}
