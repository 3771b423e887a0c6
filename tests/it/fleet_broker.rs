//! The broker of a fleet dies, falls silent or refuses to take messages: every slot is accounted for.

use sonde_tests::fleet::{Fleet, FleetOptions, outage};

fn private_broker() -> FleetOptions {
    FleetOptions {
        private_broker: true,
        ..FleetOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_and_restarted_loses_nothing() {
    let Some(mut fleet) = Fleet::start("broker-killed", private_broker()).await else {
        return;
    };
    fleet.flows().await;
    let broker = fleet.broker.as_mut().unwrap();
    broker.process.kill();
    outage().await;
    broker.process.restart().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_lose_nothing() {
    let Some(mut fleet) = Fleet::start("broker-cut", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    for _ in 0..3 {
        for member in fleet.members() {
            member.broker.cut();
        }
        fleet.flows().await;
    }
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_lose_nothing() {
    let Some(mut fleet) = Fleet::start("broker-silent", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    let leader = fleet.leader().await;
    let silent = [
        &fleet.dispatchers[leader],
        &fleet.checkers[0],
        &fleet.ingesters[0],
    ];
    for member in silent {
        member.broker.silence();
    }
    outage().await;
    for member in silent {
        member.broker.heal();
    }
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_loses_nothing() {
    let Some(mut fleet) = Fleet::start("memory-alarm", private_broker()).await else {
        return;
    };
    fleet.flows().await;
    let watermark = "set_vm_memory_high_watermark";
    let broker = fleet.broker.as_ref().unwrap();
    broker.control(&[watermark, "0.00001"]).await;
    outage().await;
    broker.control(&[watermark, "0.4"]).await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("failed"), 0, "{accounts:?}");
}
