//! The API of a fleet: at the primary, through a replica of it while it is away, and over regions.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sonde_core::Scope;
use sonde_tests::api::Caller;
use sonde_tests::fleet::{Fleet, FleetOptions};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_over_regions_and_answers_while_the_primary_is_away() {
    let options = FleetOptions {
        monitors: 2,
        dispatchers: 1,
        ingesters: 1,
        target_delay: Duration::ZERO,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("api", options).await else {
        return;
    };
    let (_api, owner) = fleet.owned().await;

    // Own writes are seen at once, by the API and soon by who dispatches.
    let url = fleet.target.url("/");
    let monitor = json!({ "id": "web", "http": url, "interval": "5s", "regions": ["fra", "iad"] });
    assert_eq!(owner.post("/v1/monitors", &monitor).await.0, 201);
    assert_eq!(owner.get("/v1/monitors/web").await.1["version"], 1);
    let both = async |path: &str| {
        let (_, page) = owner.get(path).await;
        let rows = page["results"].as_array().cloned().unwrap_or_default();
        let has = |region: &str| rows.iter().any(|row| row["region"] == region);
        has("fra") && has("iad")
    };
    wait_until(PATIENCE, async || both("/v1/monitors/web/results").await).await;
    let (_, regions) = owner.get("/v1/regions").await;
    let counts = regions["regions"].as_array().unwrap().iter();
    let counts: Vec<_> = counts.map(|it| (&it["region"], &it["checkers"])).collect();
    assert_eq!(
        counts,
        [(&json!("fra"), &json!(1)), (&json!("iad"), &json!(1))]
    );

    // Now, from both, as they answer; and what was asked for is heard by who follows.
    let mut followed = owner
        .send(Method::GET, "/v1/outcomes?monitor=web", None)
        .await;
    let events = owner.header("accept", "text/event-stream");
    let events = events
        .send(Method::POST, "/v1/monitors/web/run", Some(&json!({})))
        .await;
    let events = events.text().await.unwrap();
    assert_eq!(events.matches("event: result").count(), 2, "{events}");
    assert!(events.contains("\"unanswered\":[]"), "{events}");
    let mut heard = String::new();
    while heard.matches("on_demand").count() < 2 {
        let chunk = tokio::time::timeout(PATIENCE, followed.chunk()).await;
        let chunk = chunk
            .expect("outcomes come")
            .unwrap()
            .expect("and do not end");
        heard.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    wait_until(PATIENCE, async || {
        both("/v1/monitors/web/results?trigger=on_demand").await
    })
    .await;
    every_question_has_an_answer(&owner).await;
    let key = owner
        .new_key(&["monitors:read", "monitors:write"], None)
        .await;
    assert_eq!(key.get("/v1/monitors/web").await.0, 200);
    dispatchers_mark_what_is_in_maintenance(&owner).await;
    let job = jobs_tell_that_they_are_well(&owner).await;
    reads_go_on_without_the_primary(&mut fleet, &owner, &key, &job).await;
}

async fn dispatchers_mark_what_is_in_maintenance(owner: &Caller) {
    let window = json!({ "from": "2026-01-01T00:00:00Z", "to": "2126-01-01T00:00:00Z" });
    let maintenance = json!({
        "title": "a century of patches", "monitors": { "ids": ["web"] }, "schedule": { "once": window },
    });
    let (status, made) = owner.post("/v1/maintenance", &maintenance).await;
    assert_eq!(status, 201, "{made}");
    let newest = async || {
        let path = "/v1/monitors/web/results?limit=1&trigger=schedule";
        owner.get(path).await.1["results"][0]["in_maintenance"].clone()
    };
    wait_until(PATIENCE, async || newest().await == true).await;
    let path = format!("/v1/maintenance/{}", made["id"].as_str().unwrap());
    assert_eq!(owner.delete(&path).await.0, 204);
    wait_until(PATIENCE, async || newest().await == false).await;
}

/// The path that one calls.
async fn jobs_tell_that_they_are_well(owner: &Caller) -> String {
    let monitor = json!({ "id": "backup", "heartbeat": {}, "interval": "1h" });
    let (status, made) = owner.post("/v1/monitors", &monitor).await;
    assert_eq!(status, 201, "{made}");
    let (_, address) = owner.get("/v1/monitors/backup/heartbeat").await;
    let url: reqwest::Url = address["url"].as_str().unwrap().parse().unwrap();
    let job = url.path().to_owned();
    assert_eq!(owner.post(&job, &json!({ "status": "fail" })).await.0, 204);
    wait_until(PATIENCE, async || {
        let (_, page) = owner.get("/v1/monitors/backup/results").await;
        page["results"][0]["outcome"] == "failed"
    })
    .await;
    let (_, summary) = owner.get("/v1/monitors/backup/summary").await;
    assert_eq!(
        (&summary["failed"], &summary["missed"]),
        (&json!(1), &json!(0))
    );
    // Nobody checks where they come from.
    let (_, regions) = owner.get("/v1/regions").await;
    assert!(!regions.to_string().contains("push"), "{regions}");
    let (_, ledger) = owner.get("/v1/ledger").await;
    assert!(!ledger.to_string().contains("push"), "{ledger}");
    job
}

async fn every_question_has_an_answer(owner: &Caller) {
    for path in [
        "/v1/monitors/web/summary",
        "/v1/monitors/web/series?by_region=true",
        "/v1/monitors/web/uptime",
        "/v1/monitors/web/phases?by_region=true",
        "/v1/monitors/web/heatmap",
        "/v1/monitors/web/reasons",
        "/v1/monitors/web/certificates",
        "/v1/summaries",
        "/v1/usage",
        "/v1/fleet",
        "/v1/ledger",
        "/v1/audit",
    ] {
        let (status, body) = owner.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

async fn reads_go_on_without_the_primary(
    fleet: &mut Fleet,
    owner: &Caller,
    key: &Caller,
    job: &str,
) {
    fleet.libsql.process.kill();
    // A job is heard all the same.
    assert_eq!(owner.get(job).await.0, 204);
    let stale = key.send(Method::GET, "/v1/monitors/web", None).await;
    assert_eq!(stale.status(), 200);
    assert!(stale.headers().contains_key("sonde-stale"));
    assert_eq!(owner.get("/v1/monitors").await.0, 200);
    let url = fleet.target.url("/");
    let other = json!({ "id": "other", "http": url, "regions": ["fra"] });
    let (status, problem) = key.post("/v1/monitors", &other).await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("unavailable")),
        "{problem}"
    );

    fleet.libsql.process.restart().await;
    wait_until(PATIENCE, async || {
        let (status, answer) = key.post("/v1/monitors", &other).await;
        assert!([201, 503].contains(&status), "{status} {answer}");
        status == 201
    })
    .await;
    let fresh = key.send(Method::GET, "/v1/monitors/other", None).await;
    assert_eq!(fresh.status(), 200);
    assert!(!fresh.headers().contains_key("sonde-stale"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_to_come_again_while_the_broker_is_away() {
    let options = FleetOptions {
        monitors: 1,
        dispatchers: 1,
        ingesters: 1,
        regions: vec!["fra"],
        empty_regions: vec!["fra"],
        private_broker: true,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("api-heartbeat", options).await else {
        return;
    };
    let (_api, owner) = fleet.owned().await;
    let job = jobs_tell_that_they_are_well(&owner).await;
    fleet.broker.as_mut().unwrap().process.kill();
    let away = owner.send(Method::GET, &job, None).await;
    assert_eq!(away.status(), 503);
    assert!(away.headers().contains_key("retry-after"));
    fleet.broker.as_mut().unwrap().process.restart().await;
    wait_until(PATIENCE, async || owner.get(&job).await.0 == 204).await;
    wait_until(PATIENCE, async || {
        let (_, page) = owner.get("/v1/monitors/backup/results").await;
        page["results"][0]["outcome"] == "ok"
    })
    .await;
}

/// Nothing is dispatched here and nobody checks, so that what is made up goes nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_requests_find_no_fault() {
    let options = FleetOptions {
        monitors: 1,
        dispatchers: 1,
        ingesters: 0,
        regions: vec!["fra"],
        empty_regions: vec!["fra"],
        ..FleetOptions::default()
    };
    let Some(fleet) = Fleet::start("api-fuzz", options).await else {
        return;
    };
    let Some(program) = schemathesis() else {
        return;
    };
    let (api, owner) = fleet.owned().await;
    let key = owner.new_key(&Scope::ALL.map(Scope::as_str), None).await;
    let header = format!("Authorization: {}", key.shown("authorization").unwrap());
    let document = format!("{}v1/openapi.json", api.api());
    let folder = tempfile::tempdir().unwrap();
    let run = tokio::process::Command::new(program)
        .args(["run", &document, "--header", &header, "--no-color"])
        .args([
            "--phases",
            "examples,coverage,fuzzing,stateful",
            "--max-examples",
            EXAMPLES,
        ])
        .args([
            "--checks",
            CHECKS,
            "--seed",
            "1",
            "--no-shrink",
            "--warnings",
            "off",
        ])
        .args([
            "--max-time",
            LONGEST,
            "--request-timeout",
            "20",
            "--continue-on-failure",
        ])
        // They wait for checkers, or for ever, or for a second each; one would take the key away.
        .args([
            "--exclude-path-regex",
            "/(run|checks|outcomes|fleet|regions)$|^/v1/keys/",
        ])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .output();
    let run = tokio::time::timeout(Duration::from_mins(8), run).await;
    let run = run.expect("it ends in time").unwrap();
    let report = String::from_utf8_lossy(&run.stdout);
    let begin = report.find("= FAILURES").unwrap_or_default();
    let shown: String = report[begin..].chars().take(12_000).collect();
    assert!(run.status.success(), "{shown}\n{}", api.log());
    // With a key that is not taken, every answer would be a documented one.
    assert_eq!(key.get("/v1/monitors").await.0, 200);
    assert!(!api.log().contains("panicked"), "{}", api.log());
}

/// Enough to meet each boundary of each parameter.
const EXAMPLES: &str = "10";
const LONGEST: &str = "200";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";

/// The program, where there is one; none is no reason to fail where a developer has none.
fn schemathesis() -> Option<std::ffi::OsString> {
    let program = std::env::var_os("SONDE_TEST_SCHEMATHESIS");
    let strict = std::env::var_os("SONDE_TEST_STRICT").is_some();
    assert!(
        program.is_some() || !strict,
        "SONDE_TEST_SCHEMATHESIS names no program; `tests/run` sets it"
    );
    program
}
