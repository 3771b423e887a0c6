//! What every backend must do. Each test takes a fresh, empty store.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "test code")]

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{
    Balance, CheckResult, CheckerInfo, MonitorId, Outcome, Region, RunId, Timestamp, Trigger,
    WorkspaceId, merge,
};

use crate::{Bucket, ChartBucket, ChartQuery, Cursor, ResultQuery, Results, Summary, TimeRange};

mod dashboards;
mod fidelity;
mod ledger;
mod naive;

pub use dashboards::*;
pub use fidelity::*;
pub use ledger::*;
pub use naive::Rows;

const EVER: TimeRange = TimeRange {
    from: Timestamp::UNIX_EPOCH,
    to: Timestamp::from_micros(i64::MAX / 2),
};

/// A minute's first instant; slots are given in seconds after it.
pub const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn region(name: &str) -> Region {
    Region::new(name).unwrap()
}

fn monitor(name: &str) -> MonitorId {
    MonitorId::new(name).unwrap()
}

/// A scheduled result of the monitor `shop` in the local region; executed ones start at their slot.
fn result(slot: u64, outcome: Outcome) -> CheckResult {
    let mut result = match outcome {
        Outcome::Missed => CheckResult::sample(),
        executed => CheckResult::sample_executed(executed, Duration::ZERO),
    };
    result.slot = at(slot);
    result.started_at = outcome.is_executed().then_some(result.slot);
    identify(result)
}

fn on_demand(slot: u64, outcome: Outcome) -> CheckResult {
    let mut result = result(slot, outcome);
    result.trigger = Trigger::OnDemand;
    result.run_id = RunId::from_u64(7);
    identify(result)
}

fn in_region(mut result: CheckResult, name: &str) -> CheckResult {
    result.region = region(name);
    identify(result)
}

fn of_monitor(mut result: CheckResult, name: &str) -> CheckResult {
    result.monitor = monitor(name);
    identify(result)
}

fn taking(mut result: CheckResult, milliseconds: u64) -> CheckResult {
    result.total_us = Some(milliseconds * 1_000);
    result
}

fn identify(mut result: CheckResult) -> CheckResult {
    result.check_id = result.key().check_id();
    result
}

fn by_checker(mut result: CheckResult, id: &str, after: Duration) -> CheckResult {
    result.started_at = Some(result.slot + after);
    result.checker = Some(CheckerInfo {
        id: id.to_owned(),
        version: "1".to_owned(),
    });
    result
}

/// Several accounts of one check: expired, and executed by three checkers.
fn conflicting(slot: u64) -> Vec<CheckResult> {
    let early = Duration::from_millis(2);
    let late = Duration::from_millis(3);
    vec![
        result(slot, Outcome::Missed),
        by_checker(result(slot, Outcome::Ok), "c1", late),
        by_checker(result(slot, Outcome::Failed), "c3", early),
        by_checker(result(slot, Outcome::Degraded), "c2", early),
    ]
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in items.iter().enumerate() {
        let rest = [&items[..index], &items[index + 1..]].concat();
        for mut order in permutations(&rest) {
            order.push(*first);
            all.push(order);
        }
    }
    all
}

fn query() -> ResultQuery {
    ResultQuery {
        workspace: WorkspaceId::local(),
        monitor: monitor("shop"),
        range: EVER,
        region: None,
        outcome: None,
        reason: None,
        trigger: None,
        status: None,
        after: None,
        limit: 1_000,
    }
}

async fn rows(results: &dyn Results, query: &ResultQuery) -> Vec<CheckResult> {
    results.page(query).await.unwrap().results
}

fn slots(results: &[CheckResult]) -> Vec<u64> {
    let seconds = |result: &CheckResult| result.slot.since(START).as_secs();
    results.iter().map(seconds).collect()
}

async fn summary(results: &dyn Results, range: TimeRange) -> Summary {
    results
        .summary(&WorkspaceId::local(), &monitor("shop"), range)
        .await
        .unwrap()
}

pub async fn what_is_stored_is_found_by_its_key(results: &dyn Results) {
    let stored = result(0, Outcome::Failed);
    results.store(std::slice::from_ref(&stored)).await.unwrap();
    results.store(&[]).await.unwrap();
    let found = results.find(&stored.key()).await.unwrap();
    assert_eq!(found, Some(stored));
    let other = on_demand(0, Outcome::Failed).key();
    assert_eq!(results.find(&other).await.unwrap(), None);
}

pub async fn the_same_result_again_changes_nothing(results: &dyn Results) {
    let stored = result(0, Outcome::Ok);
    for _ in 0..3 {
        results
            .store(&[stored.clone(), stored.clone()])
            .await
            .unwrap();
    }
    assert_eq!(rows(results, &query()).await, [stored]);
    assert_eq!(summary(results, EVER).await.ok, 1);
}

pub async fn conflicting_results_leave_the_merged_row_in_every_order(results: &dyn Results) {
    let orders = permutations(&[0, 1, 2, 3]);
    for (slot, order) in (0..).zip(&orders) {
        let accounts = conflicting(slot);
        for index in order {
            let account = std::slice::from_ref(&accounts[*index]);
            results.store(account).await.unwrap();
        }
        assert_merged(results, &accounts).await;
    }
    let executed = u64::try_from(orders.len()).unwrap();
    assert_eq!(summary(results, EVER).await.degraded, executed);
}

pub async fn conflicting_results_of_one_batch_are_merged_too(results: &dyn Results) {
    for (slot, order) in (0..).zip(permutations(&[0, 1, 2, 3])) {
        let accounts = conflicting(slot);
        let batch: Vec<_> = order.iter().map(|index| accounts[*index].clone()).collect();
        results.store(&batch).await.unwrap();
        results.store(&batch[..2]).await.unwrap();
        assert_merged(results, &accounts).await;
    }
}

async fn assert_merged(results: &dyn Results, accounts: &[CheckResult]) {
    let expected = accounts.iter().cloned().reduce(merge).unwrap();
    let found = results.find(&expected.key()).await.unwrap();
    assert_eq!(found.as_ref(), Some(&expected));
    let latest = results.latest(&WorkspaceId::local()).await.unwrap();
    assert_eq!(latest, [expected]);
}

pub async fn a_late_result_takes_its_place_and_is_not_the_latest(results: &dyn Results) {
    for slot in [10, 0, 5] {
        results.store(&[result(slot, Outcome::Ok)]).await.unwrap();
    }
    assert_eq!(slots(&rows(results, &query()).await), [10, 5, 0]);
    let latest = results.latest(&WorkspaceId::local()).await.unwrap();
    assert_eq!(slots(&latest), [10]);
}

pub async fn latest_has_one_row_per_monitor_and_region(results: &dyn Results) {
    let mut elsewhere = result(9, Outcome::Ok);
    elsewhere.workspace = WorkspaceId::new("other").unwrap();
    let expected = [
        in_region(of_monitor(on_demand(3, Outcome::Ok), "api"), "fra"),
        in_region(result(5, Outcome::Missed), "fra"),
        in_region(result(0, Outcome::Failed), "iad"),
    ];
    let mut batch = expected.to_vec();
    batch.extend([
        in_region(of_monitor(on_demand(2, Outcome::Ok), "api"), "fra"),
        in_region(result(0, Outcome::Ok), "fra"),
        in_region(on_demand(9, Outcome::Ok), "fra"),
        identify(elsewhere),
    ]);
    results.store(&batch).await.unwrap();
    let latest = results.latest(&WorkspaceId::local()).await.unwrap();
    assert_eq!(latest, expected);
}

pub async fn pages_are_filtered(results: &dyn Results) {
    let batch = [
        result(0, Outcome::Ok),
        result(5, Outcome::Failed),
        in_region(result(5, Outcome::Ok), "fra"),
        on_demand(7, Outcome::Ok),
        result(10, Outcome::Ok),
        of_monitor(result(5, Outcome::Ok), "api"),
    ];
    results.store(&batch).await.unwrap();
    assert_eq!(slots(&rows(results, &query()).await), [10, 7, 5, 5, 0]);

    let mut from_5_to_10 = query();
    from_5_to_10.range = TimeRange {
        from: at(5),
        to: at(10),
    };
    assert_eq!(slots(&rows(results, &from_5_to_10).await), [7, 5, 5]);

    let mut failed = query();
    failed.outcome = Some(Outcome::Failed);
    assert_eq!(slots(&rows(results, &failed).await), [5]);

    let mut fra = query();
    fra.region = Some(region("fra"));
    assert_eq!(rows(results, &fra).await, [batch[2].clone()]);

    let mut asked = query();
    asked.trigger = Some(Trigger::OnDemand);
    assert_eq!(slots(&rows(results, &asked).await), [7]);

    let mut reason = query();
    reason.reason = batch[1].reason;
    assert!(reason.reason.is_some());
    assert_eq!(slots(&rows(results, &reason).await), [5]);
}

pub async fn pages_continue_where_the_last_one_ended(results: &dyn Results) {
    let mut expected = BTreeSet::new();
    for slot in 0..4 {
        for name in ["fra", "iad", "sin"] {
            let result = in_region(result(slot, Outcome::Ok), name);
            expected.insert(result.key());
            results.store(&[result]).await.unwrap();
        }
    }
    let mut query = query();
    query.limit = 2;
    let mut seen = Vec::new();
    loop {
        let page = results.page(&query).await.unwrap();
        assert!(page.results.len() <= 2);
        seen.extend(page.results.iter().map(CheckResult::key));
        // What arrives meanwhile neither repeats nor hides a row.
        let newer = u64::try_from(seen.len()).unwrap() + 100;
        results.store(&[result(newer, Outcome::Ok)]).await.unwrap();
        let Some(next) = page.next else { break };
        query.after = Some(next.to_string().parse::<Cursor>().unwrap());
    }
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}

pub async fn a_summary_counts_and_ranks(results: &dyn Results) {
    let mut batch: Vec<_> = (1..=10)
        .map(|n| taking(result(n, Outcome::Ok), n))
        .collect();
    let mut in_maintenance = taking(result(20, Outcome::Failed), 4_000);
    in_maintenance.in_maintenance = true;
    batch.extend([
        taking(result(11, Outcome::Degraded), 20),
        taking(result(12, Outcome::Failed), 2_000),
        taking(result(13, Outcome::Failed), 3_000),
        result(14, Outcome::Missed),
        taking(on_demand(15, Outcome::Ok), 5_000),
        in_maintenance,
        taking(result(30, Outcome::Ok), 6_000),
        taking(of_monitor(result(5, Outcome::Ok), "api"), 7_000),
    ]);
    results.store(&batch).await.unwrap();
    let range = TimeRange {
        from: at(1),
        to: at(30),
    };
    // Eleven latencies, 1 to 10 ms and 20 ms: the ranks are ⌈5.5⌉, ⌈8.25⌉, ⌈9.9⌉, ⌈10.45⌉ and ⌈10.89⌉.
    let expected = Summary {
        ok: 10,
        degraded: 1,
        failed: 3,
        missed: 1,
        uptime: Some(11.0 / 13.0),
        p50_us: Some(6_000),
        p75_us: Some(9_000),
        p90_us: Some(10_000),
        p95_us: Some(20_000),
        p99_us: Some(20_000),
    };
    assert_eq!(summary(results, range).await, expected);
}

pub async fn a_summary_of_nothing_has_no_numbers(results: &dyn Results) {
    assert_eq!(summary(results, EVER).await, Summary::default());
    results.store(&[result(0, Outcome::Missed)]).await.unwrap();
    let only_missed = Summary {
        missed: 1,
        ..Summary::default()
    };
    assert_eq!(summary(results, EVER).await, only_missed);
}

pub async fn a_series_has_a_bucket_per_step_that_is_not_empty(results: &dyn Results) {
    let batch = [
        taking(result(0, Outcome::Ok), 10),
        taking(result(30, Outcome::Degraded), 20),
        taking(result(59, Outcome::Failed), 500),
        result(60, Outcome::Missed),
        taking(on_demand(61, Outcome::Ok), 900),
        taking(result(180, Outcome::Ok), 30),
        taking(of_monitor(result(0, Outcome::Ok), "api"), 40),
    ];
    results.store(&batch).await.unwrap();
    let bucket = |name, start, counts: [u64; 4], mean_us| Bucket {
        monitor: monitor(name),
        start: at(start),
        ok: counts[0],
        degraded: counts[1],
        failed: counts[2],
        missed: counts[3],
        mean_us,
    };
    let shop = [
        bucket("shop", 0, [1, 1, 1, 0], Some(15_000)),
        bucket("shop", 60, [0, 0, 0, 1], None),
        bucket("shop", 180, [1, 0, 0, 0], Some(30_000)),
    ];
    let local = WorkspaceId::local();
    let minute = Duration::from_mins(1);
    let id = monitor("shop");
    let one = results.series(&local, Some(&id), EVER, minute);
    assert_eq!(one.await.unwrap(), shop);

    let mut expected = vec![bucket("api", 0, [1, 0, 0, 0], Some(40_000))];
    expected.extend_from_slice(&shop[..1]);
    let first_minute = TimeRange {
        from: START,
        to: at(60),
    };
    let all = results.series(&local, None, first_minute, minute);
    assert_eq!(all.await.unwrap(), expected);
}

pub async fn a_chart_sums_up_each_bucket_by_itself(results: &dyn Results) {
    let batch = [
        taking(result(0, Outcome::Ok), 10),
        taking(result(30, Outcome::Degraded), 20),
        taking(in_region(result(30, Outcome::Failed), "fra"), 500),
        taking(in_region(result(60, Outcome::Ok), "fra"), 40),
        taking(on_demand(61, Outcome::Ok), 900),
    ];
    results.store(&batch).await.unwrap();
    let query = ChartQuery {
        workspace: WorkspaceId::local(),
        monitor: monitor("shop"),
        region: None,
        by_region: false,
        range: EVER,
        step: Duration::from_mins(1),
    };
    let shown = async |query: &ChartQuery| {
        let buckets = results.chart(query).await.unwrap().into_iter();
        let line = |bucket: ChartBucket| {
            let summary = bucket.summary;
            let region = bucket.region.map_or_else(String::new, |it| it.to_string());
            // Sketches are within a hundredth of the truth.
            let p95 = summary.p95_us.map(|p95| (p95 + 1000) / 10_000 * 10);
            let counts = [summary.ok, summary.degraded, summary.failed];
            (
                bucket.start,
                region,
                counts,
                summary.uptime,
                p95,
                bucket.mean_us,
            )
        };
        buckets.map(line).collect::<Vec<_>>()
    };
    let two_thirds = Some(2.0 / 3.0);
    let all = String::new;
    assert_eq!(
        shown(&query).await,
        [
            (at(0), all(), [1, 1, 1], two_thirds, Some(20), Some(15_000)),
            (at(60), all(), [1, 0, 0], Some(1.0), Some(40), Some(40_000)),
        ]
    );
    let by_region = ChartQuery {
        by_region: true,
        ..query.clone()
    };
    let fra = || "fra".to_owned();
    assert_eq!(
        shown(&by_region).await,
        [
            (at(0), fra(), [0, 0, 1], Some(0.0), None, None),
            (
                at(0),
                "local".to_owned(),
                [1, 1, 0],
                Some(1.0),
                Some(20),
                Some(15_000)
            ),
            (at(60), fra(), [1, 0, 0], Some(1.0), Some(40), Some(40_000)),
        ]
    );
    let in_fra = ChartQuery {
        region: Some(region("fra")),
        ..query
    };
    let seen = shown(&in_fra).await;
    assert_eq!((seen.len(), seen[0].2), (2, [0, 0, 1]));
}

pub async fn rows_of_some_monitors_and_of_late(results: &dyn Results) {
    let batch = [
        result(0, Outcome::Ok),
        of_monitor(result(30, Outcome::Ok), "api"),
        of_monitor(result(60, Outcome::Failed), "db"),
        result(90, Outcome::Failed),
    ];
    results.store(&batch).await.unwrap();
    let local = WorkspaceId::local();
    let names = |found: Vec<CheckResult>| {
        let names = found.iter().map(|it| it.monitor.to_string());
        names.collect::<Vec<_>>().join(",")
    };
    let some = [monitor("db"), monitor("shop"), monitor("none")];
    let latest = results.latest_of(&local, &some).await.unwrap();
    assert_eq!(names(latest), "db,shop");
    let recent = results.recent(&local, at(30), 2).await.unwrap();
    assert_eq!(names(recent), "api,db");
    let other = WorkspaceId::new("other").unwrap();
    assert!(results.recent(&other, at(0), 9).await.unwrap().is_empty());
}

pub async fn balances_count_scheduled_rows_once_per_minute_and_region(results: &dyn Results) {
    let batch = [
        result(0, Outcome::Missed),
        result(0, Outcome::Ok),
        of_monitor(result(59, Outcome::Failed), "api"),
        in_region(result(30, Outcome::Degraded), "fra"),
        on_demand(30, Outcome::Ok),
        result(60, Outcome::Missed),
        result(120, Outcome::Ok),
    ];
    results.store(&batch).await.unwrap();
    results.store(&batch).await.unwrap();
    let balance = |minute, name, counts: [u64; 4]| Balance {
        ok: counts[0],
        degraded: counts[1],
        failed: counts[2],
        missed: counts[3],
        ..Balance::empty(at(minute), region(name))
    };
    let expected = [
        balance(0, "fra", [0, 1, 0, 0]),
        balance(0, "local", [1, 0, 1, 0]),
        balance(60, "local", [0, 0, 0, 1]),
    ];
    // Minutes are whole even where the range is not.
    let range = TimeRange {
        from: at(40),
        to: at(61),
    };
    assert_eq!(results.balances(range).await.unwrap(), expected);
}

/// Runs the whole suite against one backend: `results_conformance!(name, async { Some(fresh) })`, where `fresh`
/// dereferences to the store and may own what the store needs; `None` skips the test.
#[macro_export]
macro_rules! results_conformance {
    ($backend:ident, $fresh:expr) => {
        $crate::results_conformance!(@tests $backend, $fresh;
            what_is_stored_is_found_by_its_key,
            the_same_result_again_changes_nothing,
            conflicting_results_leave_the_merged_row_in_every_order,
            conflicting_results_of_one_batch_are_merged_too,
            a_late_result_takes_its_place_and_is_not_the_latest,
            latest_has_one_row_per_monitor_and_region,
            pages_are_filtered,
            pages_continue_where_the_last_one_ended,
            a_summary_counts_and_ranks,
            a_summary_of_nothing_has_no_numbers,
            a_series_has_a_bucket_per_step_that_is_not_empty,
            a_chart_sums_up_each_bucket_by_itself,
            rows_of_some_monitors_and_of_late,
            balances_count_scheduled_rows_once_per_minute_and_region,
            rows_come_back_as_they_were,
            accounts_that_differ_in_little_are_merged_the_same_way,
            an_executed_check_that_was_missed_before_counts_once,
            the_ledger_keeps_the_highest_count_of_a_class,
            gaps_are_found_by_what_they_overlap,
            dashboards_show_what_the_rows_say,
            pages_are_filtered_by_the_status_of_the_answer,
        );
    };
    (@tests $backend:ident, $fresh:expr; $($test:ident),+ $(,)?) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(results) = { $fresh.await } {
                        $crate::conformance::$test(&*results).await;
                    }
                }
            )+
        }
    };
}
