//! Maintenance from the API to the rows of `sonde up`: checks go on, and what comes of them does not count.

use std::time::Duration;

use reqwest::{Client, Method, Response, header};
use serde_json::{Value, json};
use sonde_tests::sonde::{Running, Sonde};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(40);

async fn send(up: &Running, method: Method, path: &str, body: &Value) -> Response {
    let request = Client::new().request(method, up.url(path)).json(body);
    request.send().await.unwrap()
}

async fn get(up: &Running, path: &str) -> Value {
    reqwest::get(up.url(path))
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Scheduled rows of a monitor: whether each is in maintenance.
async fn marks(up: &Running, monitor: &str) -> Vec<bool> {
    let page = get(up, &format!("/v1/monitors/{monitor}/results?limit=1000")).await;
    let rows = page["results"].as_array().unwrap();
    let scheduled = rows.iter().filter(|row| row["trigger"] == "schedule");
    scheduled
        .map(|row| row["in_maintenance"].as_bool().unwrap())
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
    let up = Sonde::up(folder.path()).serve().await;

    let body = nightly(&json!({ "ids": ["shop"] }));
    let made = send(&up, Method::POST, "/v1/maintenance", &body).await;
    assert_eq!(made.status(), 201);
    let path = made.headers()[header::LOCATION]
        .to_str()
        .unwrap()
        .to_owned();
    let made: Value = made.json().await.unwrap();
    assert_eq!(
        (&made["active"], made["next"].as_array().unwrap().len()),
        (&json!(true), 10),
        "{made:#}"
    );
    let shop =
        json!({ "id": "shop", "http": url, "interval": "5s", "timeout": "2s", "retries": 0 });
    let made = send(&up, Method::POST, "/v1/monitors", &shop).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());

    wait_until(PATIENCE, async || marks(&up, "shop").await.len() >= 2).await;
    assert!(marks(&up, "shop").await.into_iter().all(|marked| marked));
    let summary = get(&up, "/v1/monitors/shop/summary").await;
    assert!(summary["failed"].as_u64().unwrap() >= 2, "{summary:#}");
    assert_eq!(summary["uptime"], Value::Null);
    let others = marks(&up, "other").await;
    assert!(!others.is_empty() && others.into_iter().all(|marked| !marked));

    let removed = send(&up, Method::DELETE, &path, &json!({})).await;
    assert_eq!(removed.status(), 204);
    wait_until(PATIENCE, async || marks(&up, "shop").await.contains(&false)).await;
    let summary = get(&up, "/v1/monitors/shop/summary").await;
    assert_eq!(summary["uptime"], 0.0, "{summary:#}");
    assert!(up.terminate().await.success());
}

#[tokio::test]
async fn a_window_is_planned_listed_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let up = Sonde::up(folder.path()).serve().await;
    let body = nightly(&json!("all"));
    let made = send(&up, Method::POST, "/v1/maintenance", &body).await;
    let etag = made.headers()[header::ETAG].clone();
    let made: Value = made.json().await.unwrap();
    let path = format!("/v1/maintenance/{}", made["id"].as_str().unwrap());
    let list = get(&up, "/v1/maintenance").await;
    assert_eq!(list["maintenance"].as_array().unwrap().len(), 1);
    assert_eq!(list["maintenance"][0]["schedule"], body["schedule"]);

    let mut changed = body.clone();
    changed["schedule"] = json!({
        "once": { "from": "2030-01-01T10:00:00Z", "to": "2030-01-01T12:00:00Z" }
    });
    let put = |tag: header::HeaderValue| {
        let request = Client::new().put(up.url(&path)).json(&changed);
        request.header(header::IF_MATCH, tag).send()
    };
    let answer = put(etag.clone()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let now: Value = answer.json().await.unwrap();
    assert_eq!(
        (&now["active"], &now["version"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(now["next"], json!([]), "it is more than a year away");
    assert_eq!(put(etag).await.unwrap().status(), 412);

    let mut wrong = body;
    wrong["schedule"]["recurring"]["rrule"] = json!("FREQ=SECONDLY");
    wrong["schedule"]["recurring"]["timezone"] = json!("Mars/Olympus");
    let refused = send(&up, Method::POST, "/v1/maintenance", &wrong).await;
    assert_eq!(refused.status(), 422);
    let problem: Value = refused.json().await.unwrap();
    let errors = problem["errors"].as_array().unwrap();
    let mut paths: Vec<_> = errors.iter().map(|error| error["path"].clone()).collect();
    paths.sort_by_key(ToString::to_string);
    let expected = ["schedule.recurring.rrule", "schedule.recurring.timezone"];
    assert_eq!(paths, expected, "{problem:#}");

    assert_eq!(
        send(&up, Method::DELETE, &path, &json!({})).await.status(),
        204
    );
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(send(&up, method, &path, &changed).await.status(), 404);
    }
    assert!(up.terminate().await.success());
}
