//! ClickHouse that is away, refuses, answers too late, or dies in the middle of a migration: nothing is lost, nothing
//! counts twice.

use std::time::Duration;

use sonde_core::{CheckResult, Outcome, Timestamp, WorkspaceId};
use sonde_results::clickhouse::ClickhouseResults;
use sonde_results::{Results, ResultsError};
use sonde_tests::services;

use crate::clickhouse::{EVER, Fresh, START, fresh, options, result};

fn batch(count: u32) -> Vec<CheckResult> {
    let one = |n| result(n * Duration::from_secs(5), "fra", Outcome::Ok);
    (0..count).map(one).collect()
}

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, ResultsError>) -> bool {
    matches!(result, Err(ResultsError::Unavailable(_)))
}

async fn assert_counted_once(fresh: &Fresh, rows: u64) {
    assert_eq!(fresh.summary(EVER).await.ok, rows);
    let balances = fresh.balances(EVER).await.unwrap();
    assert_eq!(balances.iter().map(|balance| balance.ok).sum::<u64>(), rows);
    let rolled = "SELECT sum(ok) FROM sonde_rollup_15m";
    fresh.roll_up().await.unwrap();
    assert_eq!(fresh.number(rolled).await, rows);
}

#[tokio::test]
async fn nobody_listening_is_unavailable_everywhere() {
    let results = ClickhouseResults::new(options("http://127.0.0.1:1/?compression=none")).unwrap();
    assert!(is_unavailable(&results.ready().await));
    assert!(is_unavailable(&results.migrate().await));
    assert!(is_unavailable(&results.store(&batch(1)).await));
    assert!(is_unavailable(
        &results
            .record(
                &[],
                &[sonde_core::DispatchGap {
                    from: START,
                    to: START
                }]
            )
            .await
    ));
    assert!(is_unavailable(&results.find(&batch(1)[0].key()).await));
    assert!(is_unavailable(&results.latest(&WorkspaceId::local()).await));
    assert!(is_unavailable(&results.balances(EVER).await));
    assert!(is_unavailable(&results.gaps(EVER).await));
    assert!(is_unavailable(&results.roll_up().await));
}

#[tokio::test]
async fn what_was_confirmed_survives_a_kill_of_the_engine_and_the_rest_is_stored_again() {
    let Some(mut engine) = services::engine().await else {
        return;
    };
    let database = engine.database("killed").await;
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    results.migrate().await.unwrap();
    let fresh = Fresh { results, database };
    let batch = batch(20);
    fresh.store(&batch[..10]).await.unwrap();
    engine.process.kill();
    assert!(is_unavailable(&fresh.store(&batch[5..]).await));
    assert!(is_unavailable(&fresh.ready().await));
    engine.process.restart().await;
    fresh.ready().await.unwrap();
    fresh.store(&batch[5..]).await.unwrap();
    assert_counted_once(&fresh, 20).await;
}

#[tokio::test]
async fn a_frozen_engine_is_given_up_in_time() {
    let Some(engine) = services::engine().await else {
        return;
    };
    let database = engine.database("frozen").await;
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    results.migrate().await.unwrap();
    let fresh = Fresh { results, database };
    let impatient = fresh.impatient();
    engine.process.freeze();
    let stored = impatient.store(&batch(3)).await;
    let read = impatient.latest(&WorkspaceId::local()).await;
    engine.process.thaw();
    assert!(is_unavailable(&stored), "{stored:?}");
    assert!(is_unavailable(&read), "{read:?}");
    fresh.store(&batch(3)).await.unwrap();
    assert_counted_once(&fresh, 3).await;
}

#[tokio::test]
async fn errors_of_the_server_are_unavailable_and_those_of_rows_are_rejected() {
    let Some(fresh) = fresh("errors").await else {
        return;
    };
    let batch = batch(3);
    for code in [0, 202, 241, 242, 252, 319, 999] {
        let fault = format!("mode=error500&code={code}&match=INSERT INTO `check_results`");
        fresh.fault(&fault).await;
        let stored = fresh.store(&batch).await;
        assert!(is_unavailable(&stored), "{code}: {stored:?}");
    }
    for code in [27, 117, 469] {
        let fault = format!("mode=error500&code={code}&match=INSERT INTO `check_results`");
        fresh.fault(&fault).await;
        let stored = fresh.store(&batch).await;
        assert!(
            matches!(stored, Err(ResultsError::Rejected(_))),
            "{code}: {stored:?}"
        );
    }
    fresh.fault("mode=error500&code=117").await;
    assert!(is_unavailable(&fresh.latest(&WorkspaceId::local()).await));
    assert_eq!(fresh.summary(EVER).await.ok, 0);
    fresh.store(&batch).await.unwrap();
    assert_counted_once(&fresh, 3).await;
}

#[tokio::test]
async fn whatever_request_of_a_batch_breaks_off_the_batch_can_be_stored_again() {
    let Some(fresh) = fresh("requests").await else {
        return;
    };
    let batch = batch(13);
    let tables = [
        "dirty_buckets",
        "check_results",
        "recent_checks",
        "latest_results",
    ];
    for mode in ["away", "error500"] {
        for (n, table) in tables.iter().enumerate() {
            let fault = format!("mode={mode}&match=INSERT INTO `{table}`");
            fresh.fault(&fault).await;
            let stored = fresh.store(&batch[n * 3..n * 3 + 4]).await;
            assert!(is_unavailable(&stored), "{fault}: {stored:?}");
            fresh.store(&batch[n * 3..n * 3 + 4 - n]).await.unwrap();
        }
    }
    fresh.store(&batch).await.unwrap();
    assert_counted_once(&fresh, 13).await;
}

#[tokio::test]
async fn an_answer_after_the_timeout_counts_nothing_twice() {
    let Some(fresh) = fresh("late").await else {
        return;
    };
    let batch = batch(20);
    let impatient = fresh.impatient();
    for table in ["dirty_buckets", "check_results", "latest_results"] {
        fresh
            .fault(&format!("mode=slow&match=INSERT INTO `{table}`"))
            .await;
        let stored = impatient.store(&batch).await;
        assert!(is_unavailable(&stored), "{stored:?}");
    }
    // It did insert: what was not confirmed is there all the same.
    assert_eq!(fresh.number("SELECT count() FROM sonde_checks").await, 20);
    impatient.store(&batch).await.unwrap();
    impatient.store(&batch[3..]).await.unwrap();
    assert_counted_once(&fresh, 20).await;
}

#[tokio::test]
async fn a_row_that_cannot_be_stored_is_rejected_and_stores_nothing() {
    let Some(fresh) = fresh("poison").await else {
        return;
    };
    let mut batch = batch(4);
    batch[2].slot = Timestamp::from_micros(-1);
    let stored = fresh.store(&batch).await.unwrap_err();
    assert!(matches!(stored, ResultsError::Rejected(_)));
    assert!(
        sonde_core::chain(&stored).contains("1969-12-31"),
        "{stored:?}"
    );
    assert_eq!(fresh.number("SELECT count() FROM check_results").await, 0);
    batch.remove(2);
    fresh.store(&batch).await.unwrap();
    assert_counted_once(&fresh, 3).await;
}

#[tokio::test]
async fn many_writers_with_the_same_results_count_each_once() {
    let Some(fresh) = fresh("writers").await else {
        return;
    };
    let batch = batch(200);
    let (a, b, c) = tokio::join!(
        async {
            for part in batch.chunks(20) {
                fresh.store(part).await.unwrap();
            }
        },
        async {
            for part in batch.chunks(33) {
                fresh.store(part).await.unwrap();
            }
        },
        async {
            for _ in 0..5 {
                fresh.roll_up().await.unwrap();
            }
        },
    );
    let ((), (), ()) = (a, b, c);
    assert_counted_once(&fresh, 200).await;
}

#[tokio::test]
async fn a_migration_that_dies_after_any_statement_goes_on_when_run_again() {
    let Some(database) = services::clickhouse("half").await else {
        return;
    };
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    let fresh = Fresh { results, database };
    let mut died = 0;
    loop {
        fresh.fault(&format!("mode=away&after={died}")).await;
        let migrated = fresh.migrate().await;
        if migrated.is_ok() {
            break;
        }
        let ready = fresh.ready().await;
        assert!(
            matches!(ready, Ok(()) | Err(ResultsError::OutdatedSchema { .. })),
            "{died}: {ready:?}"
        );
        died += 1;
        if died % 2 == 0 {
            // From nothing, too, not only from where the last one died.
            let name = &fresh.database.database;
            fresh.database.query(&format!("DROP DATABASE {name}")).await;
        }
    }
    fresh.no_faults().await;
    assert!(died > 15, "{died}");
    fresh.ready().await.unwrap();
    fresh.store(&batch(3)).await.unwrap();
    assert_counted_once(&fresh, 3).await;
}
