//! Messages of a fleet come twice, late, contradicting each other, or make no sense: every slot is accounted for.

use std::time::Duration;

use serde_json::{Value, json};
use sonde_core::{Cadence, CheckResult, Clock as _, Outcome, Reason, SystemClock, Timestamp};
use sonde_tests::fleet::{Fleet, FleetOptions};
use sonde_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(90);

/// The queue that copies of results go to.
const COPIES: &str = "copies";

/// From now on copies of all results are kept.
async fn eavesdrop(fleet: &Fleet) {
    // More partitions than there ever are: keys that nobody publishes with cost nothing.
    let keys: Vec<_> = (0..64).map(|partition| partition.to_string()).collect();
    fleet.amqp.eavesdrop(COPIES, "sonde.results", &keys).await;
}

/// The copies, once there are any.
async fn copies(fleet: &Fleet) -> Vec<(String, Value)> {
    let mut copies = Vec::new();
    wait_until(PATIENCE, async || {
        copies.extend(fleet.amqp.take(COPIES, 10_000).await);
        !copies.is_empty()
    })
    .await;
    copies
}

async fn publish(fleet: &Fleet, partition: &str, message: &Value) {
    let payload = message.to_string();
    let published = fleet
        .amqp
        .publish("sonde.results", partition, payload.as_bytes());
    assert!(published.await, "partition {partition} has no queue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_come_twice_and_once_more_a_minute_later_count_once() {
    let Some(mut fleet) = Fleet::start("twice", FleetOptions::default()).await else {
        return;
    };
    eavesdrop(&fleet).await;
    fleet.flows().await;
    let copies = copies(&fleet).await;
    fleet.amqp.delete_queue(COPIES).await;
    for _ in 0..2 {
        for (partition, message) in &copies {
            publish(&fleet, partition, message).await;
        }
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    // In other batches than at first: two become one.
    for pair in copies.chunks(2) {
        let (partition, mut message) = pair[0].clone();
        match pair.get(1) {
            Some((other, second)) if *other == partition => {
                let results = second["results"].as_array().unwrap().clone();
                message["results"].as_array_mut().unwrap().extend(results);
            }
            Some((other, second)) => publish(&fleet, other, second).await,
            None => {}
        }
        publish(&fleet, &partition, &message).await;
    }
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_missed_and_executed_is_executed_in_any_order() {
    let Some(mut fleet) = Fleet::start("missed-then-ok", FleetOptions::default()).await else {
        return;
    };
    eavesdrop(&fleet).await;
    fleet.flows().await;
    let copies = copies(&fleet).await;
    fleet.amqp.delete_queue(COPIES).await;
    for (partition, message) in &copies {
        let results = message["results"].as_array().unwrap();
        let results = results.iter().map(|result| {
            let result: CheckResult = serde_json::from_value(result.clone()).unwrap();
            let next = Cadence::new(&result.workspace, &result.monitor, fleet.options.interval)
                .first_at_or_after(SystemClock.now() + Duration::from_secs(10));
            // One that is stored as executed already, and one that will be.
            [missed(&result, result.slot), missed(&result, next)]
        });
        let results: Vec<_> = results.flatten().collect();
        let message = json!({"v": message["v"], "results": results});
        publish(&fleet, partition, &message).await;
    }
    let missed = "SELECT count() AS n FROM sonde_checks WHERE outcome = 'missed'";
    wait_until(PATIENCE, async || fleet.count(missed).await > 0).await;
    // Until after the slots that were missed in advance.
    fleet.flows().await;
    fleet.flows().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

/// The same check for a slot, as if nobody had executed it.
fn missed(result: &CheckResult, slot: Timestamp) -> CheckResult {
    let mut missed = result.clone();
    missed.slot = slot;
    missed.check_id = missed.key().check_id();
    missed.outcome = Outcome::Missed;
    missed.reason = Some(Reason::Expired);
    missed.message = None;
    missed.started_at = None;
    missed.attempts.clear();
    missed.phases_us = sonde_core::Phases::default();
    missed.total_us = None;
    missed.checker = None;
    missed.http = None;
    missed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_without_a_checker_is_missed_and_seen() {
    let options = FleetOptions {
        regions: vec!["fra", "gru"],
        empty_regions: vec!["gru"],
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("empty-region", options).await else {
        return;
    };
    fleet.flows_in(&["fra"]).await;
    let output = fleet.run(["fleet", "--format", "json"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains("gru"), "{output:?}");
    fleet.flows_in(&["fra"]).await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.in_region("fra", "missed"), 0, "{accounts:?}");
    assert_eq!(accounts.in_region("gru", "ok"), 0, "{accounts:?}");
    let missed = accounts.in_region("gru", "missed");
    assert!(missed > 0, "{accounts:?}");
    assert_eq!(accounts.count("missed/expired"), missed, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_set_aside_and_delays_nothing() {
    let Some(mut fleet) = Fleet::start("poison", FleetOptions::default()).await else {
        return;
    };
    eavesdrop(&fleet).await;
    fleet.flows().await;
    let (partition, good) = copies(&fleet).await.remove(0);
    fleet.amqp.delete_queue(COPIES).await;

    let amqp = &fleet.amqp;
    for task in [&b"\xff\x00 no JSON"[..], br#"{"v": 99, "check": {}}"#] {
        assert!(amqp.publish("sonde.checks", "5s.fra", task).await);
    }
    let mut mixed = good.clone();
    let results = mixed["results"].as_array_mut().unwrap();
    results.insert(0, json!({"v": 1, "outcome": "wonderful"}));
    results.push(json!("not even an object"));
    publish(&fleet, &partition, &mixed).await;
    publish(&fleet, &partition, &json!({"v": 99, "results": []})).await;
    let ledger = json!({"v": 99, "entries": []}).to_string();
    let published = amqp.publish("sonde.results", "ledger", ledger.as_bytes());
    assert!(published.await);

    fleet.flows().await;
    // Two tasks, two elements of a batch, a batch, and an entry of the ledger.
    let accounts = fleet.settle(6).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checker_two_minutes_in_the_future_is_corrected_and_marked() {
    let options = FleetOptions {
        skewed: Some(("iad", 120)),
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("skewed", options).await else {
        return;
    };
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
    assert!(accounts.in_region("iad", "ok") > 0, "{accounts:?}");
    let executed = "SELECT count() AS n FROM sonde_checks WHERE outcome = 'ok'";
    let wrong = format!("{executed} AND abs(dateDiff('second', slot, started_at)) > 10");
    assert_eq!(fleet.count(&wrong).await, 0);
    let unmarked = format!("{executed} AND region = 'iad' AND NOT suspect");
    assert_eq!(fleet.count(&unmarked).await, 0);
    // A busy machine makes any checker doubt itself; the other's clock must not.
    let offset = fleet.checkers[0].metric("sonde_checker_clock_offset_seconds");
    let offset = offset.await.unwrap();
    assert!(offset.abs() < 5.0, "{offset} s");
}
