//! Certificates of `sonde up` that come to their end: told beside what else is wrong, once, until they are renewed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::sonde::Sonde;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tls::TlsServer;
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_certificate_that_ends_is_told_once_until_it_is_renewed() {
    let authority = Authority::new("Test");
    let target = async |left: Duration| {
        let identity = authority.issue(&["localhost", "127.0.0.1"], Validity::Left(left));
        HttpStub::start_tls(TlsServer::new(&identity), [("/", Reply::text("fine"))]).await
    };
    let (old, new) = (target(DAY * 10).await, target(DAY * 80).await);
    let receiver =
        HttpStub::start([("/slow", Reply::text("")), ("/urgent", Reply::text(""))]).await;
    let told = |path: &str| -> Vec<Value> {
        let requests = receiver.requests().into_iter();
        let requests = requests.filter(|request| request.path == path);
        requests
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect()
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sonde.yaml"), "monitors: {}\n").unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    for (id, causes) in [
        ("slow", json!(["certificate_expiring"])),
        ("urgent", json!(["down"])),
    ] {
        let url = receiver.url(&format!("/{id}"));
        let body =
            json!({ "send": { "webhook": { "url": url } }, "causes": causes, "repeat": "1m" });
        let path = format!("/v1/channels/{id}");
        let (status, made) = up.call(Method::PUT, &path, Some(&body)).await;
        assert_eq!(status, 201, "{made}");
    }
    let monitor = |url: String| {
        let http = json!({ "url": url, "tls": { "ca": authority.pem() } });
        json!({ "http": http, "interval": "5s", "regions": ["local"] })
    };
    let path = "/v1/monitors/shop";
    let body = monitor(old.url("/"));
    let (status, made) = up.call(Method::PUT, path, Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    wait_until(PATIENCE, async || told("/slow").len() == 1).await;
    let notice = told("/slow").remove(0);
    let incident = &notice["incident"];
    assert_eq!(notice["event"], "opened");
    assert_eq!(incident["cause"], "certificate_expiring");
    assert_eq!(incident["failed"][0]["expected"], "> 14", "{incident:#}");
    let (_, shown) = up.get(path).await;
    assert_eq!(shown["state"], "up", "it is well all the same");

    running.kill().await;
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    let checked = async || {
        let (_, page) = up.get("/v1/monitors/shop/results").await;
        page["results"].as_array().unwrap().len()
    };
    let before = checked().await;
    wait_until(PATIENCE, async || checked().await >= before + 2).await;
    let (status, changed) = up
        .call(Method::PUT, path, Some(&monitor(new.url("/"))))
        .await;
    assert_eq!(status, 200, "{changed}");
    wait_until(PATIENCE, async || told("/slow").len() == 2).await;
    assert_eq!(told("/slow")[1]["event"], "resolved");
    assert!(told("/urgent").is_empty());
    let (_, page) = up.get("/v1/incidents").await;
    assert_eq!(page["incidents"].as_array().unwrap().len(), 1);
    assert!(running.terminate().await.success());
}
