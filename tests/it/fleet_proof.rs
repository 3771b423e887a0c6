//! The proof that the failure tests end with can fail: it notices what is lost, invented or counted wrong.

use sonde_core::{Clock as _, SystemClock};
use sonde_tests::fleet::{Fleet, FleetOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_invented_or_counted_wrong_is_noticed() {
    let options = FleetOptions {
        monitors: 10,
        regions: vec!["fra"],
        dispatchers: 1,
        ingesters: 1,
        ..FleetOptions::default()
    };
    let Some(mut fleet) = Fleet::start("proof", options).await else {
        return;
    };
    fleet.flows().await;
    let until = SystemClock.now();
    let accounts = fleet.settle(0).await;
    assert!(accounts.count("ok") > 0, "{accounts:?}");
    // Rollups that are computed again would undo what is done to them here.
    for ingester in &mut fleet.ingesters {
        ingester.stop().await;
    }
    // Each is looked at before the one above, and so complained about.
    let changes = [
        (
            "ALTER TABLE rollup_15m UPDATE ok = ok + 1 WHERE monitor = 'm4' SETTINGS mutations_sync = 1",
            "rollups with more",
        ),
        (
            "INSERT INTO ledger SELECT minute, region, frequency, scheduled + 1, deadline FROM ledger FINAL LIMIT 1",
            "minutes with more",
        ),
        (
            "INSERT INTO check_results SELECT * REPLACE ('m99' AS monitor) FROM check_results LIMIT 1",
            "monitors that do not exist",
        ),
        (
            "ALTER TABLE check_results DELETE WHERE monitor = 'm3' SETTINGS mutations_sync = 1",
            "slots without a row",
        ),
    ];
    for (change, complaint) in changes {
        fleet.clickhouse.query(change).await;
        let problem = fleet.accounts(until, 0).await.unwrap_err();
        assert!(problem.contains(complaint), "{change}: {problem}");
    }
}
