//! Certificates and domains of `sonde up` that come to their end: told beside what else is wrong, once, until they are renewed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_core::{Clock, SystemClock};
use sonde_tests::api::Caller;
use sonde_tests::certificates::{Authority, Validity};
use sonde_tests::sonde::Sonde;
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::stub::tls::TlsServer;
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Two channels at `/slow` and `/urgent`: the first takes only incidents of this cause, the other only those of what is down.
struct Receiver {
    stub: HttpStub,
    cause: &'static str,
}

impl Receiver {
    async fn of(cause: &'static str) -> Self {
        let stub =
            HttpStub::start([("/slow", Reply::text("")), ("/urgent", Reply::text(""))]).await;
        Self { stub, cause }
    }

    async fn register(&self, up: &Caller) {
        for (id, cause) in [("slow", self.cause), ("urgent", "down")] {
            let url = self.stub.url(&format!("/{id}"));
            let body =
                json!({ "send": { "webhook": { "url": url } }, "causes": [cause], "repeat": "1m" });
            put(up, &format!("/v1/channels/{id}"), &body, 201).await;
        }
    }

    fn told(&self, path: &str) -> Vec<Value> {
        let requests = self.stub.requests().into_iter();
        let requests = requests.filter(|request| request.path == path);
        requests
            .map(|request| serde_json::from_slice(&request.body).unwrap())
            .collect()
    }
}

async fn put(up: &Caller, path: &str, body: &Value, expected: u16) {
    let (status, answer) = up.call(Method::PUT, path, Some(body)).await;
    assert_eq!(status, expected, "{answer}");
}

/// Waits until `shop` was checked twice more.
async fn check_on(up: &Caller) {
    let checked = async || {
        let (_, page) = up.get("/v1/monitors/shop/results").await;
        page["results"].as_array().unwrap().len()
    };
    let before = checked().await;
    wait_until(PATIENCE, async || checked().await >= before + 2).await;
}

#[tokio::test]
async fn a_certificate_that_ends_is_told_once_until_it_is_renewed() {
    let authority = Authority::new("Test");
    let target = async |left: Duration| {
        let identity = authority.issue(&["localhost", "127.0.0.1"], Validity::Left(left));
        HttpStub::start_tls(TlsServer::new(&identity), [("/", Reply::text("fine"))]).await
    };
    let (old, new) = (target(DAY * 10).await, target(DAY * 80).await);
    let receiver = Receiver::of("certificate_expiring").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sonde.yaml"), "monitors: {}\n").unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    receiver.register(&up).await;
    let monitor = |url: String| {
        let http = json!({ "url": url, "tls": { "ca": authority.pem() } });
        json!({ "http": http, "interval": "5s", "regions": ["local"] })
    };
    let path = "/v1/monitors/shop";
    put(&up, path, &monitor(old.url("/")), 201).await;
    wait_until(PATIENCE, async || receiver.told("/slow").len() == 1).await;
    let notice = receiver.told("/slow").remove(0);
    let incident = &notice["incident"];
    assert_eq!(notice["event"], "opened");
    assert_eq!(incident["cause"], "certificate_expiring");
    assert_eq!(incident["failed"][0]["expected"], "> 14", "{incident:#}");
    let (_, shown) = up.get(path).await;
    assert_eq!(shown["state"], "up", "it is well all the same");

    running.kill().await;
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    check_on(&up).await;
    put(&up, path, &monitor(new.url("/")), 200).await;
    wait_until(PATIENCE, async || receiver.told("/slow").len() == 2).await;
    assert_eq!(receiver.told("/slow")[1]["event"], "resolved");
    assert!(receiver.told("/urgent").is_empty());
    let (_, page) = up.get("/v1/incidents").await;
    assert_eq!(page["incidents"].as_array().unwrap().len(), 1);
    assert!(running.terminate().await.success());
}

#[tokio::test]
async fn a_domain_that_ends_is_told_once_until_it_is_renewed() {
    let ends_in = |days: u32| {
        let at = SystemClock.now() + DAY * days;
        let registrar = json!(["vcard", [["fn", {}, "text", "Example Registrar"]]]);
        Reply::json(&json!({
            "objectClassName": "domain",
            "ldhName": "shop.test",
            "events": [{ "eventAction": "expiration", "eventDate": at }],
            "entities": [{ "roles": ["registrar"], "vcardArray": registrar }],
        }))
    };
    let registry = HttpStub::start([("/domain/shop.test", ends_in(20))]).await;
    let receiver = Receiver::of("domain_expiring").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sonde.yaml"), "monitors: {}\n").unwrap();
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    receiver.register(&up).await;
    let domain = json!({ "name": "shop.test", "server": registry.url("/") });
    let monitor = json!({ "domain": domain, "interval": "5s", "regions": ["local"] });
    put(&up, "/v1/monitors/shop", &monitor, 201).await;
    wait_until(PATIENCE, async || receiver.told("/slow").len() == 1).await;
    let notice = receiver.told("/slow").remove(0);
    let incident = &notice["incident"];
    assert_eq!(notice["event"], "opened");
    assert_eq!(incident["cause"], "domain_expiring");
    assert_eq!(incident["target"], "shop.test");
    assert_eq!(incident["failed"][0]["assertion"], "domain.days_left");
    assert_eq!(incident["failed"][0]["expected"], "> 30", "{incident:#}");
    let message = incident["regions"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("the registration of shop.test ends "),
        "{message}"
    );
    assert!(
        message.ends_with(", registered with Example Registrar"),
        "{message}"
    );
    let (_, shown) = up.get("/v1/monitors/shop").await;
    assert_eq!(shown["state"], "up", "it is well all the same");

    running.kill().await;
    let running = Sonde::up(folder.path()).serve().await;
    let up = Caller::of(running.url(""));
    check_on(&up).await;
    registry.set("/domain/shop.test", ends_in(385));
    wait_until(PATIENCE, async || receiver.told("/slow").len() == 2).await;
    assert_eq!(receiver.told("/slow")[1]["event"], "resolved");
    assert!(receiver.told("/urgent").is_empty());
    let (_, page) = up.get("/v1/incidents").await;
    assert_eq!(page["incidents"].as_array().unwrap().len(), 1);
    assert!(running.terminate().await.success());
}
