//! Alerts of a fleet: each incident once and told once, whatever dies meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sonde_tests::api::Caller;
use sonde_tests::fleet::{Fleet, FleetOptions, Role};
use sonde_tests::hook::{self, told_once};
use sonde_tests::stub::http::Reply;
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
    let receiver = hook::receiver().await;
    let (_api, owner) = fleet.owned().await;
    hook::channel(&owner, &receiver, json!({})).await;
    fleet.flows().await;

    // The results store is away from here on, and whoever leads dies as soon as it has told somebody.
    fleet.engine.as_mut().unwrap().process.kill();
    fleet.target.set("/", Reply::status(503));
    wait_until(PATIENCE, async || !receiver.requests().is_empty()).await;
    let leader = fleet.alerting().await;
    fleet.alerters[leader].kill().await;
    wait_until(PATIENCE, async || told_once(&receiver).len() == MONITORS).await;

    // The broker goes and comes; nobody decides twice, and silence of the broker is none of the targets.
    fleet.broker.as_mut().unwrap().process.kill();
    fleet.alerters[leader].spawn().await;
    fleet.broker.as_mut().unwrap().process.restart().await;
    fleet.target.set("/", Reply::text("up"));
    wait_until(PATIENCE, async || {
        told_once(&receiver).values().all(|told| told.len() == 2)
    })
    .await;
    wait_until(PATIENCE, async || open(&owner).await == 0).await;

    for (monitor, told) in told_once(&receiver) {
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
    let receiver = hook::receiver().await;
    let (_api, owner) = fleet.owned().await;
    hook::channel(&owner, &receiver, json!({})).await;
    fleet.flows().await;
    let mut checkers = fleet.checkers.iter();
    let there = checkers.find(|it| it.role == Role::Checker { region: "iad" });
    let there = there.unwrap();
    there.broker.silence();
    wait_until(PATIENCE, async || told_once(&receiver).contains_key("@iad")).await;
    there.broker.heal();
    wait_until(PATIENCE, async || told_once(&receiver)["@iad"].len() == 2).await;
    let expected = BTreeMap::from([(
        "@iad".to_owned(),
        vec!["opened".to_owned(), "resolved".to_owned()],
    )]);
    assert_eq!(told_once(&receiver), expected);
    let (_, page) = owner.get("/v1/incidents").await;
    let incidents = page["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{page}");
    assert_eq!(incidents[0]["monitor"], "@iad");
}

async fn open(owner: &Caller) -> usize {
    let (_, page) = owner.get("/v1/incidents?status=open&limit=100").await;
    page["incidents"].as_array().map_or(usize::MAX, Vec::len)
}
