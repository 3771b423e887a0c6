//! Alerts of a fleet: each incident once and told once, whatever dies meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sonde_tests::api::Caller;
use sonde_tests::fleet::{Fleet, FleetOptions, Role};
use sonde_tests::stub::http::{HttpStub, Reply};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_mins(2);
const MONITORS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_incident_is_told_once_whatever_dies() {
    let options = FleetOptions {
        monitors: MONITORS,
        dispatchers: 1,
        ingesters: 1,
        alerters: 2,
        target_delay: Duration::ZERO,
        private_broker: true,
        private_engine: true,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("alerts", options).await else {
        return;
    };
    let receiver = HttpStub::start([("/hook", Reply::text(""))]).await;
    let (_api, owner) = fleet.owned().await;
    let send = json!({ "webhook": { "url": receiver.url("/hook") } });
    let hook = json!({ "send": send });
    let (status, made) = owner
        .call(Method::PUT, "/v1/channels/hook", Some(&hook))
        .await;
    assert_eq!(status, 201, "{made}");
    fleet.flows().await;

    // The results store is away from here on, and whoever leads dies as soon as it has told somebody.
    fleet.engine.as_mut().unwrap().process.kill();
    fleet.target.set("/", Reply::status(503));
    wait_until(PATIENCE, async || !receiver.requests().is_empty()).await;
    let leader = fleet.alerting().await;
    fleet.alerters[leader].kill().await;
    wait_until(PATIENCE, async || told(&receiver).len() == MONITORS).await;

    // The broker goes and comes; nobody decides twice, and silence of the broker is none of the targets.
    fleet.broker.as_mut().unwrap().process.kill();
    fleet.alerters[leader].begin_anew().await;
    fleet.broker.as_mut().unwrap().process.restart().await;
    fleet.target.set("/", Reply::text("up"));
    wait_until(PATIENCE, async || {
        told(&receiver).values().all(|told| told.len() == 2)
    })
    .await;
    wait_until(PATIENCE, async || open(&owner).await == 0).await;

    for (monitor, told) in told(&receiver) {
        assert_eq!(told, ["opened", "resolved"], "{monitor}");
    }
    let (_, page) = owner.get("/v1/incidents?limit=100").await;
    assert_eq!(
        page["incidents"].as_array().unwrap().len(),
        MONITORS,
        "{page}"
    );
    fleet.engine.as_mut().unwrap().process.restart().await;
    fleet.settle(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_cut_off_is_one_incident_and_none_of_its_targets() {
    let options = FleetOptions {
        monitors: MONITORS,
        dispatchers: 1,
        ingesters: 1,
        alerters: 1,
        target_delay: Duration::ZERO,
        ..FleetOptions::default()
    };
    let Some(fleet) = Fleet::start("alert-region", options).await else {
        return;
    };
    let receiver = HttpStub::start([("/hook", Reply::text(""))]).await;
    let (_api, owner) = fleet.owned().await;
    let hook = json!({ "send": { "webhook": { "url": receiver.url("/hook") } } });
    let (status, made) = owner
        .call(Method::PUT, "/v1/channels/hook", Some(&hook))
        .await;
    assert_eq!(status, 201, "{made}");
    fleet.flows().await;
    let mut checkers = fleet.checkers.iter();
    let there = checkers.find(|it| it.role == Role::Checker { region: "iad" });
    let there = there.unwrap();
    there.broker.silence();
    wait_until(PATIENCE, async || told(&receiver).contains_key("@iad")).await;
    there.broker.heal();
    wait_until(PATIENCE, async || told(&receiver)["@iad"].len() == 2).await;
    let expected = BTreeMap::from([(
        "@iad".to_owned(),
        vec!["opened".to_owned(), "resolved".to_owned()],
    )]);
    assert_eq!(told(&receiver), expected);
    let (_, page) = owner.get("/v1/incidents").await;
    let incidents = page["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{page}");
    assert_eq!(incidents[0]["monitor"], "@iad");
}

async fn open(owner: &Caller) -> usize {
    let (_, page) = owner.get("/v1/incidents?status=open&limit=100").await;
    page["incidents"].as_array().map_or(usize::MAX, Vec::len)
}

/// What was told of each monitor, in order; what came again under the same id counts once.
fn told(receiver: &HttpStub) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in receiver.requests() {
        let notice: Value = serde_json::from_slice(&request.body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let id = request.headers["webhook-id"].to_str().unwrap().to_owned();
        if seen.insert(id) {
            let of = told.entry(text(&notice["incident"]["monitor"]));
            of.or_default().push(text(&notice["event"]));
        }
    }
    told
}
