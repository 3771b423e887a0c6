//! A store that is away, that refuses, that never answers; dead letters; what nobody can read; the ledger.

mod scene;

use std::sync::atomic::Ordering;

use sonde_core::{
    Check, CheckResult, DispatchGap, Frequency, LedgerEntry, Outcome, Reason, Region, Timestamp,
};
use sonde_queue::{
    LedgerMessage, Queue as _, QueueName, ResultsMessage, Route, SealingKeys, TaskMessage,
    results_messages,
};
use sonde_results::{Results as _, TimeRange};
use tokio::time::timeout;

use crate::IngesterOptions;
use scene::{
    FOR_EVER, MINUTE, PARTITIONS, PATIENCE, Scene, monitor, outcome, poison, results, rows, stores,
    until_empty, waiting,
};

#[tokio::test]
async fn results_wait_for_a_store_that_is_away() {
    let scene = Scene::new().await;
    scene.results.away.store(u32::MAX, Ordering::Relaxed);
    let result = &results(1)[0];
    scene.publish_results(std::slice::from_ref(result)).await;
    let (queue, mut running) = scene.start();
    running.recover().await;
    queue.close();
    running.ended().await;
    assert_eq!(
        outcome(&running.results, &result.key()).await,
        Some((Outcome::Ok, None))
    );
}

#[tokio::test]
async fn a_dead_letter_becomes_a_missed_row_though_it_is_sealed() {
    let scene = Scene::new().await;
    let check = Check::sample(Timestamp::UNIX_EPOCH);
    let region = Region::local();
    let name = QueueName::Now {
        region: region.clone(),
    };
    let keys = SealingKeys::parse(&SealingKeys::generate()).unwrap();
    scene
        .publish(Route::Now { region }, TaskMessage::encode(&check, &keys))
        .await;
    // A checker takes it and dies; the delivery limit is zero.
    let mut consumer = scene.queue.consume(&name, 1).await.unwrap();
    drop(consumer.receive().await.unwrap());
    let (queue, mut running) = scene.start();
    queue.close();
    running.ended().await;
    let expected = Some((Outcome::Missed, Some(Reason::Unprocessed)));
    assert_eq!(outcome(&running.results, &check.key()).await, expected);
}

const UNKNOWN: &str = r#"{"v":99,"results":[]}"#;

/// Something unreadable of every sort, and one good result among it.
async fn publish_poison(scene: &Scene) -> CheckResult {
    let result = results(1).remove(0);
    let good = results_messages(vec![result.clone()], PARTITIONS).remove(0);
    let mixed = String::from_utf8(good.payload).unwrap();
    let mixed = mixed.replacen("[{", r#"[{"v":1,"outcome":"fine"},{"#, 1);
    for payload in ["not JSON", UNKNOWN, &mixed] {
        let route = good.route.clone();
        scene.publish(route, payload.as_bytes().to_vec()).await;
    }
    let region = Region::local();
    let route = Route::Now {
        region: region.clone(),
    };
    scene.publish(route, b"no task".to_vec()).await;
    let name = QueueName::Now { region };
    let mut consumer = scene.queue.consume(&name, 1).await.unwrap();
    let task = consumer.receive().await.unwrap();
    task.reject().await.unwrap();
    result
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_alone_and_as_it_came() {
    let scene = Scene::new().await;
    let result = publish_poison(&scene).await;
    let (queue, mut running) = scene.start();
    let mut all = stores();
    all.push(QueueName::Dead);
    until_empty(&queue, &all).await;
    running.shutdown.cancel();
    running.ended().await;
    let row = outcome(&running.results, &result.key()).await;
    assert_eq!(row, Some((Outcome::Ok, None)));
    let expected = [
        "no task",
        "not JSON",
        r#"{"v":1,"outcome":"fine"}"#,
        UNKNOWN,
    ];
    assert_eq!(poison(&queue).await, expected);
    for name in all {
        assert_eq!(waiting(&queue, &name).await, 0, "{name} came again");
    }
}

#[tokio::test]
async fn without_a_queue_for_it_what_cannot_be_read_delays_nothing() {
    let scene = Scene::without_poison().await;
    let result = publish_poison(&scene).await;
    let (queue, mut running) = scene.start();
    queue.close();
    running.ended().await;
    let row = outcome(&running.results, &result.key()).await;
    assert_eq!(row, Some((Outcome::Ok, None)));
}

#[tokio::test]
async fn rows_that_the_store_refuses_are_found_and_set_aside_alone() {
    let mut scene = Scene::new().await;
    let all = results(40);
    let bad = [0, 17, 18, 39];
    scene.results.refused = bad.map(monitor).into();
    // The store goes away in the middle of the search.
    scene.results.away.store(1, Ordering::Relaxed);
    scene.options = IngesterOptions {
        rows: all.len(),
        longest_wait: FOR_EVER,
        ledger: false,
    };
    scene.publish_results(&all).await;
    let (queue, mut running) = scene.start();
    while rows(&running.results).await < 36 {
        let wrote = timeout(PATIENCE, running.results.wrote.notified());
        wrote.await.expect("no more is written");
    }
    running.shutdown.cancel();
    running.ended().await;
    assert_eq!(rows(&running.results).await, 36);
    let mut refused: Vec<String> = Vec::new();
    for payload in poison(&queue).await {
        let message = ResultsMessage::decode(payload.as_bytes()).unwrap();
        refused.extend(message.results.iter().map(|it| it.monitor.to_string()));
    }
    refused.sort();
    assert_eq!(refused, ["m0", "m17", "m18", "m39"]);
    for name in stores() {
        assert_eq!(waiting(&queue, &name).await, 0, "{name} came again");
    }
}

#[tokio::test]
async fn all_partitions_go_into_one_insert() {
    let mut scene = Scene::new().await;
    let all = results(60);
    scene.options = IngesterOptions {
        rows: all.len(),
        longest_wait: FOR_EVER,
        ledger: false,
    };
    scene.publish_results(&all).await;
    for name in stores() {
        assert!(waiting(&scene.queue, &name).await > 0, "{name} has a share");
    }
    let (_queue, running) = scene.start();
    let wrote = timeout(PATIENCE, running.results.wrote.notified());
    wrote.await.expect("nothing was stored");
    assert_eq!(rows(&running.results).await, 60);
    assert_eq!(running.results.writes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn shutdown_stores_what_is_held() {
    let mut scene = Scene::new().await;
    scene.options.longest_wait = FOR_EVER;
    scene.publish_results(&results(10)).await;
    let (queue, mut running) = scene.start();
    until_empty(&queue, &stores()).await;
    assert_eq!(running.results.writes.load(Ordering::Relaxed), 0);
    running.shutdown.cancel();
    running.ended().await;
    assert_eq!(rows(&running.results).await, 10);
    for name in stores() {
        assert_eq!(waiting(&queue, &name).await, 0, "{name} came again");
    }
}

#[tokio::test]
async fn shutdown_with_the_store_away_leaves_results_in_the_queue() {
    let scene = Scene::new().await;
    scene.results.away.store(u32::MAX, Ordering::Relaxed);
    scene.publish_results(&results(10)).await;
    let (queue, mut running) = scene.start();
    running.until_storing(false).await;
    running.shutdown.cancel();
    running.ended().await;
    let mut left = 0;
    for name in stores() {
        left += waiting(&queue, &name).await;
    }
    assert_eq!(left, 10);
}

#[tokio::test]
async fn results_that_were_stored_but_not_acknowledged_are_merged() {
    let mut scene = Scene::new().await;
    let all = results(10);
    scene.options = IngesterOptions {
        rows: all.len(),
        longest_wait: FOR_EVER,
        ledger: false,
    };
    scene.results.silent_from = 0;
    scene.publish_results(&all).await;
    let (queue, running) = scene.start();
    let wrote = timeout(PATIENCE, running.results.wrote.notified());
    wrote.await.expect("nothing was stored");
    // Between the insert and its answer.
    let mut scene = running.kill(queue).await;
    scene.results.silent_from = u32::MAX;
    let (queue, mut again) = scene.start();
    let wrote = timeout(PATIENCE, again.results.wrote.notified());
    wrote.await.expect("nothing came again");
    queue.close();
    again.ended().await;
    assert_eq!(again.results.writes.load(Ordering::Relaxed), 2);
    assert_eq!(rows(&again.results).await, 10);
}

fn entry(scheduled: u64) -> LedgerEntry {
    LedgerEntry {
        frequency: Frequency::new("5s").unwrap(),
        region: Region::local(),
        minute: MINUTE,
        scheduled,
        deadline: MINUTE,
    }
}

#[tokio::test]
async fn the_ledger_is_taken_down_and_what_is_refused_of_it_set_aside() {
    let mut scene = Scene::new().await;
    scene.options.ledger = true;
    scene.results.away.store(u32::MAX, Ordering::Relaxed);
    let gap = DispatchGap {
        from: MINUTE,
        to: MINUTE + PATIENCE,
    };
    let refused = LedgerMessage::new(vec![entry(u64::MAX)], Vec::new()).encode();
    for payload in [
        LedgerMessage::new(vec![entry(3)], vec![gap]).encode(),
        refused.clone(),
        b"no ledger".to_vec(),
        LedgerMessage::new(vec![entry(7)], Vec::new()).encode(),
    ] {
        scene.publish(Route::Ledger, payload).await;
    }
    let (queue, mut running) = scene.start();
    until_empty(&queue, &[QueueName::Ledger]).await;
    running.recover().await;
    running.shutdown.cancel();
    running.ended().await;
    let range = TimeRange {
        from: MINUTE,
        to: MINUTE + PATIENCE,
    };
    let balances = running.results.balances(range).await.unwrap();
    let scheduled: Vec<_> = balances.iter().map(|it| it.scheduled).collect();
    assert_eq!(scheduled, [7]);
    assert_eq!(running.results.gaps(range).await.unwrap(), [gap]);
    let expected = ["no ledger", std::str::from_utf8(&refused).unwrap()];
    assert_eq!(poison(&queue).await, expected);
    assert_eq!(waiting(&queue, &QueueName::Ledger).await, 0, "came again");
}
