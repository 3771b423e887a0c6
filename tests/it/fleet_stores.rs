//! The stores of a fleet go away, fail, lie or rot: checks go on, and every slot is accounted for.

use std::path::{Path, PathBuf};

use sonde_tests::fleet::{Fleet, FleetOptions, outage};

fn private_engine() -> FleetOptions {
    FleetOptions {
        private_engine: true,
        ..FleetOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_wait_while_clickhouse_is_away() {
    let Some(mut fleet) = Fleet::start("clickhouse-away", private_engine()).await else {
        return;
    };
    fleet.flows().await;
    let engine = fleet.engine.as_mut().unwrap();
    engine.process.kill();
    outage().await;
    engine.process.restart().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_wait_while_clickhouse_answers_with_errors() {
    let Some(mut fleet) = Fleet::start("clickhouse-500", private_engine()).await else {
        return;
    };
    fleet.flows().await;
    let engine = fleet.engine.as_ref().unwrap();
    engine.fault("mode=error500&count=1000000").await;
    outage().await;
    engine.heal().await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_whose_answer_comes_too_late_count_once() {
    let Some(mut fleet) = Fleet::start("clickhouse-late", private_engine()).await else {
        return;
    };
    fleet.flows().await;
    let engine = fleet.engine.as_ref().unwrap();
    engine
        .fault("mode=slow&count=4&seconds=120&match=INSERT%20INTO")
        .await;
    outage().await;
    fleet.flows().await;
    assert_eq!(fleet.engine.as_ref().unwrap().pending_faults().await, 0);
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_go_on_without_the_primary_and_changes_arrive_when_it_is_back() {
    let Some(mut fleet) = Fleet::start("primary-away", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    fleet.libsql.process.kill();
    outage().await;
    fleet.flows().await;
    // A replica that was synced once is enough to start with.
    let standby = 1 - fleet.leader().await;
    fleet.dispatchers[standby].stop().await;
    fleet.dispatchers[standby].begin().await;
    fleet.libsql.process.restart().await;
    fleet.grow(20).await;
    fleet.flows().await;
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotten_replica_heals_without_a_restart() {
    let Some(mut fleet) = Fleet::start("replica-rotten", FleetOptions::default()).await else {
        return;
    };
    fleet.flows().await;
    let leader = fleet.leader().await;
    let files = files(&fleet.dispatchers[leader].data);
    assert!(!files.is_empty(), "there is no replica");
    for file in &files {
        rot(file);
    }
    fleet.grow(20).await;
    fleet.flows().await;
    let log = fleet.dispatchers[leader].log();
    assert!(log.contains("is damaged"), "{log}");
    let accounts = fleet.settle(0).await;
    assert_eq!(accounts.count("missed"), 0, "{accounts:?}");
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Overwrites what a file holds, as a bad disk would: its length stays.
fn rot(file: &Path) {
    let length = std::fs::metadata(file).unwrap().len();
    let garbage = vec![0xa5; usize::try_from(length).unwrap()];
    let options = std::fs::File::options().write(true).open(file);
    std::io::Write::write_all(&mut options.unwrap(), &garbage).unwrap();
}
