//! Rollups of ClickHouse: equal to the merged rows whatever arrived, whatever broke off, and whatever was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use sonde_core::{CheckKey, CheckResult, Outcome, Timestamp, WorkspaceId, merge};
use sonde_results::conformance::{self, Rows, dashboard_rows};
use sonde_results::{Bucket, Results, Summary, TimeRange};

use crate::clickhouse::{EVER, Fresh, MINUTE, START, fresh, result, shop};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

/// Four days of two regions, with everything that can come of a check: about one row in seven minutes.
fn days() -> Vec<CheckResult> {
    let outcomes = [
        Outcome::Ok,
        Outcome::Ok,
        Outcome::Degraded,
        Outcome::Failed,
        Outcome::Ok,
        Outcome::Missed,
        Outcome::Ok,
    ];
    let mut all = Vec::new();
    for n in 0..1_500_u32 {
        let region = if n % 2 == 0 { "fra" } else { "iad" };
        let outcome = outcomes[n as usize % outcomes.len()];
        let mut one = result(n * Duration::from_secs(230), region, outcome);
        if outcome != Outcome::Missed {
            one.total_us = Some(u64::from(n * 7_919 % 10_007) * 13 + 100);
            one.phases_us.wait = one.total_us;
        }
        one.in_maintenance = n % 31 == 0;
        all.push(one);
    }
    all
}

/// What the rows say, by the rule that holds everywhere.
#[derive(Default)]
struct Model(BTreeMap<CheckKey, CheckResult>);

impl Model {
    fn add(&mut self, results: &[CheckResult]) {
        for result in results {
            let key = result.key();
            let merged = match self.0.remove(&key) {
                Some(stored) => merge(stored, result.clone()),
                None => result.clone(),
            };
            self.0.insert(key, merged);
        }
    }

    fn within(&self, range: TimeRange) -> impl Iterator<Item = &CheckResult> {
        let within = move |one: &&CheckResult| one.slot >= range.from && one.slot < range.to;
        self.0.values().filter(within)
    }

    fn counts(&self, range: TimeRange) -> [u64; 4] {
        let mut counts = [0; 4];
        for one in self.within(range) {
            counts[one.outcome as usize] += 1;
        }
        counts
    }

    fn uptime(&self, range: TimeRange) -> Option<f64> {
        let executed = self
            .within(range)
            .filter(|one| one.outcome.is_executed() && !one.in_maintenance);
        let (mut up, mut all) = (0_u32, 0_u32);
        for one in executed {
            all += 1;
            up += u32::from(one.outcome.is_up());
        }
        (all > 0).then(|| f64::from(up) / f64::from(all))
    }

    fn latencies(&self, range: TimeRange) -> Vec<u64> {
        let measured = |one: &&CheckResult| one.outcome.is_up() && !one.in_maintenance;
        let measured = self.within(range).filter(measured);
        let mut latencies: Vec<u64> = measured.filter_map(|one| one.total_us).collect();
        latencies.sort_unstable();
        latencies
    }

    fn quantile(&self, range: TimeRange, percent: usize) -> Option<u64> {
        let latencies = self.latencies(range);
        let rank = (latencies.len() * percent).div_ceil(100);
        latencies.get(rank.checked_sub(1)?).copied()
    }

    fn series(&self, range: TimeRange, step: Duration) -> Vec<Bucket> {
        let mut parts: BTreeMap<Timestamp, Self> = BTreeMap::new();
        for one in self.within(range) {
            let part = parts.entry(one.slot.floor(step)).or_default();
            part.add(std::slice::from_ref(one));
        }
        let bucket = |(start, part): (Timestamp, Self)| {
            let [ok, degraded, failed, missed] = part.counts(EVER);
            let latencies = part.latencies(EVER);
            let sum: u64 = latencies.iter().sum();
            Bucket {
                monitor: shop(),
                start,
                ok,
                degraded,
                failed,
                missed,
                mean_us: sum.checked_div(u64::try_from(latencies.len()).unwrap()),
            }
        };
        parts.into_iter().map(bucket).collect()
    }
}

fn counts(summary: &Summary) -> [u64; 4] {
    [summary.ok, summary.degraded, summary.failed, summary.missed]
}

/// Ranges with edges on and off the buckets, short and long.
fn ranges() -> Vec<TimeRange> {
    let edges = [
        (Duration::ZERO, 4 * DAY),
        (HOUR, 3 * DAY + HOUR),
        (MINUTE, 2 * DAY + 23 * HOUR + 59 * MINUTE),
        (7 * HOUR + 7 * MINUTE, DAY + 9 * HOUR),
        (23 * HOUR + 59 * MINUTE, 2 * DAY + MINUTE),
        (5 * MINUTE, 10 * MINUTE),
        (20 * HOUR, 22 * HOUR),
    ];
    let range = |(from, to)| TimeRange {
        from: START + from,
        to: START + to,
    };
    let mut ranges: Vec<_> = edges.into_iter().map(range).collect();
    ranges.push(EVER);
    ranges
}

async fn assert_equal(fresh: &Fresh, model: &Model) {
    for range in ranges() {
        let seen = fresh.summary(range).await;
        assert_eq!(counts(&seen), model.counts(range), "{range:?}");
        assert_eq!(seen.uptime, model.uptime(range), "{range:?}");
        assert_eq!(seen.p50_us, model.quantile(range, 50), "{range:?}");
        assert_eq!(seen.p99_us, model.quantile(range, 99), "{range:?}");
        for step in [7 * MINUTE, 15 * MINUTE, HOUR, DAY] {
            let local = WorkspaceId::local();
            for monitor in [None, Some(&shop())] {
                let series = fresh.series(&local, monitor, range, step).await.unwrap();
                assert_eq!(series, model.series(range, step), "{range:?} {step:?}");
            }
        }
    }
}

/// The tables themselves, without the questions that look past them.
async fn assert_rollups_equal_rows(fresh: &Fresh) {
    for (view, bucket) in [
        ("sonde_rollup_15m", "toStartOfFifteenMinutes(slot)"),
        ("sonde_rollup_1d", "toStartOfDay(slot)"),
    ] {
        let columns = "toString(at) AS at, region, ok, degraded, failed, missed, in_maintenance, latency_count, \
                       latency_sum_us, wait_sum_us";
        let rolled = format!(
            "SELECT {columns} FROM (SELECT *, bucket AS at, ok_in_maintenance + degraded_in_maintenance \
             + failed_in_maintenance + missed_in_maintenance AS in_maintenance FROM {view}) ORDER BY at, region"
        );
        let rows = format!(
            "SELECT {columns} FROM (SELECT {bucket} AS at, region, countIf(outcome = 'ok') AS ok,
                countIf(outcome = 'degraded') AS degraded, countIf(outcome = 'failed') AS failed,
                countIf(outcome = 'missed') AS missed, countIf(c.in_maintenance) AS in_maintenance,
                countIf(outcome IN ('ok', 'degraded') AND NOT c.in_maintenance) AS latency_count,
                sumIf(ifNull(total_us, 0), outcome IN ('ok', 'degraded') AND NOT c.in_maintenance) AS latency_sum_us,
                sumIf(ifNull(wait_us, 0), outcome IN ('ok', 'degraded') AND NOT c.in_maintenance) AS wait_sum_us
             FROM sonde_checks AS c WHERE trigger = 'schedule' GROUP BY at, region) ORDER BY at, region"
        );
        let (rolled, rows) = (
            fresh.database.rows(&rolled).await,
            fresh.database.rows(&rows).await,
        );
        assert!(!rows.is_empty());
        assert_eq!(rolled, rows, "{view}");
    }
}

/// Pretends that the last run was long ago, so that its notes count no more.
async fn settle(fresh: &Fresh) {
    let settle =
        "INSERT INTO rollup_progress SELECT 0, now64(6), max(computed_at) + 1 FROM rollup_progress";
    fresh.database.query(settle).await;
}

#[tokio::test]
async fn answers_are_the_same_before_and_after_every_rollup() {
    let Some(fresh) = fresh("answers").await else {
        return;
    };
    let mut model = Model::default();
    let days = days();
    model.add(&days);
    fresh.store(&days).await.unwrap();
    assert_equal(&fresh, &model).await;
    assert!(fresh.roll_up().await.unwrap() > 300);
    assert_equal(&fresh, &model).await;
    assert_rollups_equal_rows(&fresh).await;
    settle(&fresh).await;
    assert_equal(&fresh, &model).await;
}

#[tokio::test]
async fn duplicates_late_and_conflicting_results_leave_rollups_equal_to_rows() {
    let Some(fresh) = fresh("conflicts").await else {
        return;
    };
    let mut model = Model::default();
    let days = days();
    let (early, late) = days.split_at(1_200);
    for batch in [late, early] {
        model.add(batch);
        fresh.store(batch).await.unwrap();
        fresh.roll_up().await.unwrap();
    }
    // Again in other groupings, every fifth executed by somebody else before, every seventh said to be missed.
    let conflicts = days.iter().enumerate().filter_map(|(n, one)| {
        let mut other = one.clone();
        match n {
            n if n % 5 == 0 => {
                other.outcome = Outcome::Failed;
                other.started_at = Some(one.slot + Duration::from_millis(1));
            }
            n if n % 7 == 0 => {
                other = CheckResult::sample();
                (other.region, other.slot) = (one.region.clone(), one.slot);
                other.check_id = other.key().check_id();
            }
            _ => return None,
        }
        Some(other)
    });
    let conflicts: Vec<CheckResult> = conflicts.collect();
    settle(&fresh).await;
    // Some buckets in the middle are touched, all others are in the rollups.
    let (first, others) = conflicts.split_at(conflicts.len() / 2);
    let (few, first) = first.split_at(20);
    model.add(few);
    fresh.store(few).await.unwrap();
    assert_equal(&fresh, &model).await;
    for batch in [first, others].into_iter().chain(days.chunks(700)) {
        model.add(batch);
        fresh.store(batch).await.unwrap();
    }
    fresh.roll_up().await.unwrap();
    assert_rollups_equal_rows(&fresh).await;
    settle(&fresh).await;
    assert_equal(&fresh, &model).await;
}

#[tokio::test]
async fn long_ranges_are_answered_without_their_rows() {
    let Some(fresh) = fresh("long").await else {
        return;
    };
    let mut model = Model::default();
    let days = days();
    model.add(&days);
    fresh.store(&days).await.unwrap();
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    fresh.database.query("TRUNCATE TABLE check_results").await;
    let range = TimeRange {
        from: START + HOUR,
        to: START + 3 * DAY + HOUR,
    };
    let seen = fresh.summary(range).await;
    assert_eq!(counts(&seen), model.counts(range));
    assert_eq!(seen.uptime, model.uptime(range));
    for (seen, percent) in [
        (seen.p50_us, 50),
        (seen.p75_us, 75),
        (seen.p90_us, 90),
        (seen.p95_us, 95),
        (seen.p99_us, 99),
    ] {
        let exact = model.quantile(range, percent).unwrap();
        let error = seen.unwrap().abs_diff(exact);
        // A hundredth of the value, and one for the rounding to whole microseconds.
        assert!(
            error * 100 <= exact + 100,
            "p{percent}: {seen:?} for {exact}"
        );
    }
    // Only what is asked for is missing: the rows of a range within a day.
    let short = TimeRange {
        to: START + 5 * HOUR,
        ..range
    };
    assert_eq!(counts(&fresh.summary(short).await), [0; 4]);
}

#[tokio::test]
async fn a_run_that_breaks_off_anywhere_is_repeated_by_the_next() {
    let Some(fresh) = fresh("broken").await else {
        return;
    };
    let days = days();
    fresh.store(&days[..700]).await.unwrap();
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    fresh.store(&days[700..730]).await.unwrap();
    let mut steps = 0;
    loop {
        fresh.fault(&format!("mode=away&after={steps}")).await;
        if fresh.roll_up().await.is_ok() {
            break;
        }
        steps += 1;
        assert!(steps < 50, "every run was broken off");
    }
    fresh.no_faults().await;
    // Progress, hours, at least one hour's and one day's buckets, progress again, and what may be forgotten.
    assert!(steps >= 5, "{steps}");
    assert_rollups_equal_rows(&fresh).await;
}

#[tokio::test]
async fn rows_that_come_after_a_run_saw_their_note_are_not_forgotten() {
    let Some(fresh) = fresh("notes").await else {
        return;
    };
    let days = days();
    // The note is there, its rows are not, and a run comes in between.
    fresh
        .fault("mode=away&match=INSERT INTO `check_results`")
        .await;
    fresh.store(&days[..10]).await.unwrap_err();
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    assert_eq!(fresh.number("SELECT count() FROM rollup_15m").await, 0);
    fresh.store(&days[..10]).await.unwrap();
    fresh.roll_up().await.unwrap();
    assert_rollups_equal_rows(&fresh).await;
}

#[tokio::test]
async fn notes_are_dropped_once_they_are_settled_for_hours() {
    let Some(fresh) = fresh("forget").await else {
        return;
    };
    fresh.store(&days()[..10]).await.unwrap();
    let old = "INSERT INTO dirty_buckets SELECT workspace, monitor, bucket, now64(6) - toIntervalHour(5) \
               FROM dirty_buckets";
    fresh.database.query(old).await;
    let partitions = "SELECT uniqExact(_partition_id) FROM dirty_buckets";
    assert_eq!(fresh.number(partitions).await, 2);
    fresh.roll_up().await.unwrap();
    assert_eq!(fresh.number(partitions).await, 2);
    fresh.roll_up().await.unwrap();
    assert_eq!(fresh.number(partitions).await, 1);
    assert_rollups_equal_rows(&fresh).await;
}

#[tokio::test]
async fn a_server_clock_that_was_set_back_does_not_freeze_rollups() {
    let Some(fresh) = fresh("clock").await else {
        return;
    };
    let days = days();
    fresh.store(&days[..5]).await.unwrap();
    let ahead =
        "INSERT INTO rollup_progress VALUES (0, '1970-01-01 00:00:00', '2090-01-01 00:00:00')";
    fresh.database.query(ahead).await;
    fresh.roll_up().await.unwrap();
    fresh.store(&days[5..10]).await.unwrap();
    fresh.roll_up().await.unwrap();
    assert_rollups_equal_rows(&fresh).await;
}

#[tokio::test]
async fn rows_that_arrive_after_their_note_was_used_are_still_counted() {
    let Some(fresh) = fresh("arrive").await else {
        return;
    };
    fresh.store(&days()[..10]).await.unwrap();
    // The server goes on with an insert that its client has given up: rows come without another note.
    for statement in [
        "CREATE TABLE held ENGINE = MergeTree ORDER BY slot AS SELECT * FROM check_results",
        "TRUNCATE TABLE check_results",
    ] {
        fresh.database.query(statement).await;
    }
    assert_eq!(fresh.roll_up().await.unwrap(), 3);
    assert_eq!(fresh.number("SELECT count() FROM rollup_15m").await, 0);
    let arrive = "INSERT INTO check_results SELECT * FROM held";
    fresh.database.query(arrive).await;
    assert_eq!(fresh.roll_up().await.unwrap(), 3);
    assert_rollups_equal_rows(&fresh).await;
}

#[tokio::test]
async fn dashboards_are_the_same_before_and_after_every_rollup() {
    let Some(fresh) = fresh("dashboards").await else {
        return;
    };
    let mut rows = Rows::default();
    let stored = dashboard_rows();
    let (most, late) = stored.split_at(stored.len() - 300);
    rows.add(most);
    fresh.store(most).await.unwrap();
    assert!(fresh.roll_up().await.unwrap() > 300);
    settle(&fresh).await;
    rows.assert_overview(&*fresh, conformance::START, true)
        .await;
    rows.assert_breakdowns(&*fresh).await;
    rows.assert_usage(&*fresh).await;
    // Late ones, and some of the others said otherwise: these buckets are still to be recomputed.
    rows.add(late);
    fresh.store(late).await.unwrap();
    rows.assert_overview(&*fresh, conformance::START, true)
        .await;
    rows.assert_breakdowns(&*fresh).await;
    rows.assert_usage(&*fresh).await;
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    rows.assert_overview(&*fresh, conformance::START, true)
        .await;
}

/// More than what is sorted: counts stay exact, and quantiles come from sketches.
#[tokio::test]
async fn an_overview_of_many_checks_is_close_to_their_rows() {
    let Some(fresh) = fresh("overview").await else {
        return;
    };
    let mut rows = Rows::default();
    let checked = |n: u32| {
        let outcome = match n % 50 {
            0 => Outcome::Failed,
            1 => Outcome::Missed,
            2 => Outcome::Degraded,
            _ => Outcome::Ok,
        };
        let mut one = result(n * Duration::from_secs(20), "fra", outcome);
        one.total_us = (n % 50 != 1).then(|| u64::from(n * 7_919 % 10_007) * 130 + 100);
        one.in_maintenance = n.is_multiple_of(31);
        one
    };
    let stored: Vec<CheckResult> = (0..13_000).map(checked).collect();
    let (late, most) = stored.split_at(900);
    rows.add(most);
    fresh.store(most).await.unwrap();
    rows.assert_overview(&*fresh, START, false).await;
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    rows.assert_overview(&*fresh, START, false).await;
    rows.add(late);
    fresh.store(late).await.unwrap();
    rows.assert_overview(&*fresh, START, false).await;
    fresh.roll_up().await.unwrap();
    settle(&fresh).await;
    rows.assert_overview(&*fresh, START, false).await;
}

/// Of today: whole hours and what is recent are read from the tables by time, once no earlier release writes any more.
#[tokio::test]
async fn an_overview_of_late_needs_no_rows_by_monitor() {
    let Some(fresh) = fresh("by_time").await else {
        return;
    };
    let long_ago = "INSERT INTO schema_versions (version, release, migrated_at)
        SELECT version, release, toDateTime64('2020-01-01 00:00:00', 6, 'UTC') FROM schema_versions";
    fresh.database.query(long_ago).await;
    let now = sonde_core::Clock::now(&sonde_core::SystemClock);
    let start = now.floor(MINUTE) - 2 * DAY - 12 * HOUR;
    let ahead = start.since(conformance::START);
    let mut stored = dashboard_rows();
    for one in &mut stored {
        one.slot = one.slot + ahead;
        one.started_at = one.started_at.map(|started_at| started_at + ahead);
        one.check_id = one.key().check_id();
    }
    let mut rows = Rows::default();
    let (most, late) = stored.split_at(stored.len() - 300);
    for batch in [most, late] {
        rows.add(batch);
        fresh.store(batch).await.unwrap();
        rows.assert_overview(&*fresh, start, true).await;
        fresh.roll_up().await.unwrap();
        settle(&fresh).await;
        rows.assert_overview(&*fresh, start, true).await;
    }
    for table in ["check_results", "rollup_15m"] {
        fresh
            .database
            .query(&format!("TRUNCATE TABLE {table}"))
            .await;
    }
    let range = TimeRange {
        from: now - DAY,
        to: now,
    };
    let local = WorkspaceId::local();
    let seen = fresh.overview(&local, range).await.unwrap();
    let expected = rows.overview(&local, range);
    assert!(!expected.is_empty());
    for (monitor, expected) in expected {
        let seen = &seen[&monitor];
        assert_eq!(counts(seen), counts(&expected), "{monitor}");
        assert_eq!(seen.uptime, expected.uptime, "{monitor}");
    }
}
