//! Processes of a fleet die, freeze and are restarted: every slot is accounted for.

use std::time::Duration;

use sonde_tests::fleet::{Fleet, FleetOptions, outage};
use sonde_tests::wait_until;

/// For what takes until heartbeats were missed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Checks take a second each: some forty per region are in flight at any time.
fn slow_checks() -> FleetOptions {
    FleetOptions {
        target_delay: Duration::from_secs(1),
        ..FleetOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checker_killed_mid_check_loses_nothing() {
    let Some(mut fleet) = Fleet::start("checker-killed", slow_checks()).await else {
        return;
    };
    fleet.flows().await;
    fleet.checkers[0].kill().await;
    outage().await;
    fleet.checkers[0].begin().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
    assert!(accounts.in_region("fra", "missed") > 0, "{accounts:?}");
    assert_eq!(accounts.in_region("iad", "missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_checker_held_is_executed_by_another() {
    let options = FleetOptions {
        checkers_per_region: 2,
        ..slow_checks()
    };
    let Some(mut fleet) = Fleet::start("checker-succeeded", options).await else {
        return;
    };
    fleet.flows().await;
    fleet.checkers[0].kill().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checker_frozen_mid_check_loses_nothing() {
    let Some(mut fleet) = Fleet::start("checker-frozen", slow_checks()).await else {
        return;
    };
    fleet.flows().await;
    fleet.checkers[0].freeze();
    outage().await;
    fleet.checkers[0].thaw();
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.in_region("iad", "missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingester_killed_between_insert_and_acknowledgement_counts_nothing_twice() {
    let options = FleetOptions {
        private_engine: true,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("ingester-killed", options).await else {
        return;
    };
    fleet.flows().await;
    // The engine inserts and keeps the answer back: both ingesters are left waiting for it.
    let engine = fleet.engine.as_ref().unwrap();
    let inserts = "INSERT%20INTO";
    engine
        .fault(&format!("mode=slow&count=2&seconds=60&match={inserts}"))
        .await;
    wait_until(PATIENCE, async || engine.pending_faults().await == 0).await;
    for ingester in &mut fleet.ingesters {
        ingester.kill().await;
    }
    for ingester in &mut fleet.ingesters {
        ingester.begin().await;
    }
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_dispatcher_takes_over_when_the_active_one_is_killed() {
    let Some(mut fleet) = Fleet::start("dispatcher-killed", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    let first = fleet.leader().await;
    fleet.dispatchers[first].kill().await;
    fleet.flows().await;
    assert_ne!(fleet.leader().await, first);
    fleet.dispatchers[first].begin().await;
    let second = fleet.leader().await;
    fleet.dispatchers[second].kill().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_dispatcher_takes_over_from_a_silent_one() {
    let Some(mut fleet) = Fleet::start("leader-silent", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    let first = fleet.leader().await;
    let second = 1 - first;
    fleet.dispatchers[first].freeze();
    let leads = async || {
        let leading = fleet.dispatchers[second]
            .metric("sonde_dispatcher_leading")
            .await;
        leading.is_some_and(|value| value > 0.5)
    };
    wait_until(PATIENCE, leads).await;
    fleet.flows().await;
    // It does not know that it leads no longer.
    fleet.dispatchers[first].thaw();
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_every_role_misses_nothing() {
    let options = FleetOptions {
        checkers_per_region: 2,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("rolling", options).await else {
        return;
    };
    fleet.flows().await;
    for checker in &mut fleet.checkers {
        checker.stop().await;
        checker.begin().await;
    }
    for ingester in &mut fleet.ingesters {
        ingester.stop().await;
        ingester.begin().await;
    }
    // The active one last, and then the one that took over.
    let leader = fleet.leader().await;
    for n in [1 - leader, leader, 1 - leader] {
        fleet.dispatchers[n].stop().await;
        fleet.dispatchers[n].begin().await;
    }
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}
