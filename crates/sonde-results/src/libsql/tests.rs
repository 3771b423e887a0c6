//! What is special to this backend: the journal, the file, and that readers and the writer do not hinder each other.

use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sonde_core::{Check, CheckKey, Outcome, Reason};
use tempfile::TempDir;

use super::*;

crate::results_conformance!(libsql, async {
    Some(crate::libsql::tests::Fresh::open().await)
});

const START: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);
const EVER: TimeRange = TimeRange {
    from: Timestamp::UNIX_EPOCH,
    to: Timestamp::from_micros(i64::MAX / 2),
};

struct Fresh {
    results: LibsqlResults,
    directory: TempDir,
}

impl Fresh {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let results = LibsqlResults::open(&path_in(&directory)).await.unwrap();
        Self { results, directory }
    }

    /// What a new process finds after `kill -9`: the files as they are, without anything being closed.
    async fn after_kill(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            let file = entry.unwrap();
            std::fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
        }
        let results = LibsqlResults::open(&path_in(&directory)).await.unwrap();
        Self { results, directory }
    }

    async fn run(&self, sql: &str) {
        let connection = self.results.file.connect().unwrap();
        connection.execute_batch(sql).await.unwrap();
    }
}

impl Deref for Fresh {
    type Target = LibsqlResults;
    fn deref(&self) -> &LibsqlResults {
        &self.results
    }
}

fn path_in(directory: &TempDir) -> PathBuf {
    directory.path().join("results.db")
}

fn check(seconds: u64) -> Check {
    Check::sample(START + Duration::from_secs(seconds))
}

fn ok(check: &Check) -> CheckResult {
    let mut result = CheckResult::missed(check, Reason::Expired);
    result.outcome = Outcome::Ok;
    result.started_at = Some(check.slot);
    result.reason = None;
    result
}

fn missed(check: &Check) -> (sonde_core::Frequency, CheckResult) {
    let result = CheckResult::missed(check, Reason::NotDispatched);
    (check.frequency.clone(), result)
}

fn dispatch(checks: &[Check]) -> Dispatch<'_> {
    Dispatch {
        checks,
        missed: &[],
        gaps: &[],
        watermark: START,
    }
}

async fn only_balance(results: &LibsqlResults) -> Balance {
    let mut balances = results.balances(EVER).await.unwrap();
    assert_eq!(balances.len(), 1);
    balances.pop().unwrap()
}

fn keys(checks: &[Check]) -> Vec<CheckKey> {
    checks.iter().map(Check::key).collect()
}

#[tokio::test]
async fn replaying_a_dispatch_counts_nothing_twice() {
    let fresh = Fresh::open().await;
    let checks = [check(0), check(5), check(10)];
    let gap = DispatchGap {
        from: START - Duration::from_mins(1),
        to: START,
    };
    let step = Dispatch {
        checks: &checks,
        missed: &[missed(&check(15)), missed(&check(20))],
        gaps: &[gap],
        watermark: START,
    };
    fresh.record_dispatch(&step).await.unwrap();
    fresh.store(&[ok(&checks[0])]).await.unwrap();
    fresh.record_dispatch(&step).await.unwrap();
    // What was dispatched may be given up later, and what was missed may be dispatched after all.
    let reversed = Dispatch {
        checks: &[check(15)],
        missed: &[missed(&checks[1])],
        ..step
    };
    fresh.record_dispatch(&reversed).await.unwrap();

    let balance = only_balance(&fresh).await;
    assert_eq!((balance.scheduled, balance.ok, balance.missed), (5, 1, 3));
    assert_eq!(balance.deadline, Some(check(20).deadline));
    let recovered = fresh.recover().await.unwrap();
    assert_eq!(keys(&recovered.unsettled), keys(&checks[2..]));
    assert_eq!(fresh.gaps(EVER).await.unwrap(), [gap]);
    fresh.store(&[ok(&checks[2])]).await.unwrap();
    assert!(only_balance(&fresh).await.is_balanced());
}

#[tokio::test]
async fn an_on_demand_check_is_remembered_but_not_in_the_ledger() {
    let fresh = Fresh::open().await;
    let mut now = check(0);
    now.trigger = sonde_core::Trigger::OnDemand;
    now.run_id = RunId::from_u64(7);
    let checks = [now];
    fresh.record_dispatch(&dispatch(&checks)).await.unwrap();
    assert_eq!(fresh.balances(EVER).await.unwrap(), []);
    let recovered = fresh.recover().await.unwrap();
    assert_eq!(keys(&recovered.unsettled), keys(&checks));
}

#[tokio::test]
async fn what_was_stored_and_dispatched_survives_a_kill() {
    let fresh = Fresh::open().await;
    let checks = [check(0), check(5)];
    let mut step = dispatch(&checks);
    step.watermark = START + Duration::from_secs(10);
    fresh.record_dispatch(&step).await.unwrap();
    fresh.store(&[ok(&checks[0])]).await.unwrap();

    let next = fresh.after_kill().await;
    let recovered = next.recover().await.unwrap();
    assert_eq!(recovered.watermark, Some(step.watermark));
    assert_eq!(recovered.unsettled, checks[1..]);
    assert_eq!(only_balance(&next).await, only_balance(&fresh).await);
    let found = next.find(&checks[0].key()).await.unwrap();
    assert_eq!(found, Some(ok(&checks[0])));
}

#[tokio::test]
async fn the_watermark_follows_the_dispatcher_also_back() {
    let fresh = Fresh::open().await;
    assert_eq!(fresh.recover().await.unwrap().watermark, None);
    let mut step = dispatch(&[]);
    for seconds in [5, 3] {
        step.watermark = START + Duration::from_secs(seconds);
        fresh.record_dispatch(&step).await.unwrap();
    }
    let expected = Some(START + Duration::from_secs(3));
    assert_eq!(fresh.recover().await.unwrap().watermark, expected);
}

#[tokio::test]
async fn an_unreadable_row_does_not_hide_the_others() {
    let fresh = Fresh::open().await;
    let checks = [check(0), check(5)];
    fresh.record_dispatch(&dispatch(&checks)).await.unwrap();
    fresh
        .run("UPDATE unsettled_checks SET body = '{}' WHERE slot % 10000000 = 0")
        .await;
    let recovered = fresh.recover().await.unwrap();
    assert_eq!(keys(&recovered.unsettled), keys(&checks[1..]));
    assert_eq!(recovered.unreadable.len(), 1);

    fresh
        .store(&checks.clone().map(|check| ok(&check)))
        .await
        .unwrap();
    fresh
        .run("UPDATE result_bodies SET body = '{}' WHERE id = 1")
        .await;
    let query = ResultQuery {
        workspace: WorkspaceId::local(),
        monitor: checks[0].monitor.id.clone(),
        range: EVER,
        region: None,
        outcome: None,
        reason: None,
        trigger: None,
        status: None,
        after: None,
        limit: 10,
    };
    let page = fresh.page(&query).await.unwrap();
    assert_eq!(page.results, [ok(&checks[1])]);
    let found = fresh.find(&checks[0].key()).await;
    assert!(matches!(found, Err(ResultsError::Corrupt(_))));
    // The same result again repairs its row.
    fresh.store(&[ok(&checks[0])]).await.unwrap();
    assert_eq!(fresh.page(&query).await.unwrap().results.len(), 2);
}

#[tokio::test]
async fn pruning_deletes_whole_minutes_and_nothing_younger() {
    let fresh = Fresh::open().await;
    let checks: Vec<Check> = (0..30).map(|n| check(n * 5)).collect();
    let results: Vec<CheckResult> = checks.iter().map(ok).collect();
    fresh.record_dispatch(&dispatch(&checks)).await.unwrap();
    fresh.store(&results).await.unwrap();
    let before = START + Duration::from_secs(90);
    assert_eq!(fresh.prune(before).await.unwrap(), 12);
    assert_eq!(fresh.prune(before).await.unwrap(), 0);
    let balances = fresh.balances(EVER).await.unwrap();
    let scheduled: Vec<u64> = balances.iter().map(|balance| balance.scheduled).collect();
    assert_eq!(scheduled, [12, 6]);
    assert!(balances.iter().all(Balance::is_balanced));
    assert_eq!(fresh.latest(&WorkspaceId::local()).await.unwrap().len(), 1);
    fresh.prune(START + Duration::from_mins(10)).await.unwrap();
    assert_eq!(fresh.latest(&WorkspaceId::local()).await.unwrap(), []);
    assert_eq!(fresh.balances(EVER).await.unwrap(), []);
}

#[tokio::test]
async fn pruning_goes_in_chunks() {
    let fresh = Fresh::open().await;
    let results: Vec<CheckResult> = (0..11).map(|n| ok(&check(n * 5))).collect();
    fresh.store(&results).await.unwrap();
    let mut deleted = Vec::new();
    for _ in 0..3 {
        let before = START + Duration::from_mins(1);
        let prune = async move |writer: &mut Writer| write::prune(writer, before, 4).await;
        let chunk = fresh.write(prune).await.unwrap();
        deleted.push((chunk.deleted, chunk.last));
    }
    assert_eq!(deleted, [(5, false), (5, false), (1, true)]);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let fresh = Fresh::open().await;
    fresh.run("PRAGMA user_version = 99").await;
    let opened = LibsqlResults::open(&path_in(&fresh.directory)).await;
    let error = opened.err().unwrap();
    let newest = schema::MIGRATIONS.len();
    assert!(
        matches!(error, ResultsError::NewerSchema { found: 99, known } if known as usize == newest),
        "{error:?}"
    );
}

#[tokio::test]
async fn opening_again_keeps_everything_and_the_files_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/sonde/results.db");
    for _ in 0..2 {
        let results = LibsqlResults::open(&path).await.unwrap();
        results.store(&[ok(&check(0))]).await.unwrap();
        let latest = results.latest(&WorkspaceId::local()).await.unwrap();
        assert_eq!(latest.len(), 1);
        let wal = path.with_extension("db-wal");
        assert_eq!([mode(&path), mode(&wal)], [0o600, 0o600]);
    }
    assert_eq!(mode(path.parent().unwrap()), 0o700);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn readers_and_the_writer_do_not_wait_for_each_other() {
    let fresh = Fresh::open().await;
    fresh.store(&[ok(&check(0))]).await.unwrap();
    // A reader in the middle of its question, and a writer in the middle of its transaction.
    let reader = fresh.file.connect().unwrap();
    let mut rows = reader
        .query("SELECT slot FROM check_results", ())
        .await
        .unwrap();
    assert!(rows.next().await.unwrap().is_some());
    fresh.store(&[ok(&check(5))]).await.unwrap();
    let mut writer = fresh.writer.lock().await;
    writer.execute("BEGIN IMMEDIATE", ()).await.unwrap();
    let latest = fresh.latest(&WorkspaceId::local()).await.unwrap();
    assert_eq!(latest, [ok(&check(5))]);
}

#[tokio::test]
async fn a_failed_change_leaves_nothing_and_the_writer_goes_on() {
    let fresh = Fresh::open().await;
    let failed: Result<()> = fresh
        .write(async |writer| {
            write::store(writer, vec![ok(&check(0))]).await?;
            Err(corrupt("broken off"))
        })
        .await;
    assert!(failed.is_err());
    fresh.store(&[ok(&check(5))]).await.unwrap();
    assert_eq!(only_balance(&fresh).await.ok, 1);
}

/// A file as an earlier release left it, opened by this one.
async fn of_an_earlier_release(results: &[CheckResult]) -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let is_newer = |it: &&str| *it == schema::BREAKDOWNS;
    let newer = schema::MIGRATIONS.iter().position(is_newer);
    let before = &schema::MIGRATIONS[..newer.unwrap()];
    {
        let (_file, writer) = LocalFile::open(&path_in(&directory), before).await.unwrap();
        for (id, result) in (1_i64..).zip(results) {
            let body = serde_json::to_string(result).unwrap();
            let insert = "INSERT INTO result_bodies VALUES (?1, ?2)";
            writer.execute(insert, (id, body)).await.unwrap();
            let mut row = Vec::from(key_values(&result.key()));
            row.extend([
                result.trigger.as_str().into(),
                result.outcome.as_str().into(),
                result.total_us.map(signed).into(),
                i64::from(result.in_maintenance).into(),
                id.into(),
            ]);
            let insert =
                "INSERT INTO check_results VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            writer.execute(insert, row).await.unwrap();
        }
    }
    let results = LibsqlResults::open(&path_in(&directory)).await.unwrap();
    Fresh { results, directory }
}

#[tokio::test]
async fn what_an_earlier_release_stored_is_seen_at_once_and_completed_in_chunks() {
    use crate::conformance::{Rows, dashboard_rows};
    let stored = dashboard_rows();
    let mut rows = Rows::default();
    rows.add(&stored);
    let merged: Vec<CheckResult> = rows.all().cloned().collect();
    let fresh = of_an_earlier_release(&merged).await;
    rows.assert_breakdowns(&*fresh).await;
    let unfilled = async || {
        let rows = fresh.read(async |connection| {
            let count = "SELECT count(*) FROM check_results WHERE http_status IS NULL";
            read::collect(connection, count, (), |row| Ok(row.get::<u64>(0)?)).await
        });
        rows.await.unwrap()[0]
    };
    let all = u64::try_from(merged.len()).unwrap();
    assert_eq!(unfilled().await, all);
    // A chunk, what comes meanwhile, and the rest.
    let fill = async |writer: &mut Writer| fill::fill(writer, 100).await;
    let chunk = fresh.write(fill).await.unwrap().unwrap();
    assert!((100..200).contains(&chunk), "{chunk}");
    assert_eq!(unfilled().await, all - chunk);
    rows.assert_breakdowns(&*fresh).await;
    let late = [ok(&check(0)), ok(&check(3600 * 24 * 9))];
    rows.add(&late);
    fresh.store(&late).await.unwrap();
    assert_eq!(fresh.fill().await.unwrap(), all - chunk);
    assert_eq!(unfilled().await, 0);
    assert_eq!(fresh.fill().await.unwrap(), 0);
    rows.assert_breakdowns(&*fresh).await;
}

#[tokio::test]
async fn a_body_that_is_no_json_does_not_keep_others_from_being_completed() {
    let results: Vec<CheckResult> = (0..4)
        .map(|n| {
            let mut result = ok(&check(n * 5));
            result.total_us = Some(7);
            result.phases_us.dns = Some(n);
            result
        })
        .collect();
    let fresh = of_an_earlier_release(&results).await;
    fresh
        .run("UPDATE result_bodies SET body = '{' WHERE id = 1")
        .await;
    assert_eq!(fresh.fill().await.unwrap(), 4);
    let query = ChartQuery {
        workspace: WorkspaceId::local(),
        monitor: results[0].monitor.clone(),
        region: None,
        by_region: false,
        range: EVER,
        step: Duration::from_mins(1),
    };
    let phases = fresh.phases(&query).await.unwrap();
    assert_eq!(phases[0].mean_us.dns, Some(2));
}
