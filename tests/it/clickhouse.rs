//! The suite of the results stores against the real engine, and what is special to this backend.

use std::ops::Deref;
use std::time::Duration;

use sonde_core::{CheckResult, LedgerEntry, MonitorId, Outcome, Region, Timestamp, WorkspaceId};
use sonde_results::clickhouse::{ClickhouseResults, Options, ReadOnlyUser, Timeouts};
use sonde_results::{Results, ResultsError, Summary, TimeRange};
use sonde_tests::services::{self, Clickhouse};

/// A store in a database of its own.
pub(crate) struct Fresh {
    pub(crate) results: ClickhouseResults,
    pub(crate) database: Clickhouse,
}

impl Deref for Fresh {
    type Target = ClickhouseResults;
    fn deref(&self) -> &ClickhouseResults {
        &self.results
    }
}

/// Samples are a year old: they must not be taken for expired.
pub(crate) fn options(url: &str) -> Options {
    let mut options = Options::from_url(url).unwrap();
    options.retention = Duration::from_hours(10 * 365 * 24);
    options.rollup_retention = options.retention;
    options
}

pub(crate) async fn fresh(name: &str) -> Option<Fresh> {
    let database = services::clickhouse(name).await?;
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    results.migrate().await.unwrap();
    Some(Fresh { results, database })
}

sonde_results::results_conformance!(clickhouse, crate::clickhouse::fresh("results"));

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const EVER: TimeRange = TimeRange {
    from: Timestamp::UNIX_EPOCH,
    to: Timestamp::from_micros(i64::MAX / 2),
};

/// The first instant of a day.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_763_596_800_000_000);

pub(crate) fn shop() -> MonitorId {
    MonitorId::new("shop").unwrap()
}

/// A check of `shop` in `region`, executed 3 ms after its slot.
pub(crate) fn result(after: Duration, region: &str, outcome: Outcome) -> CheckResult {
    let mut result = CheckResult::sample_executed(outcome, Duration::ZERO);
    result.region = Region::new(region).unwrap();
    result.slot = START + after;
    result.started_at =
        (outcome != Outcome::Missed).then(|| result.slot + Duration::from_millis(3));
    result.check_id = result.key().check_id();
    result
}

impl Fresh {
    pub(crate) async fn summary(&self, range: TimeRange) -> Summary {
        self.results
            .summary(&WorkspaceId::local(), &shop(), range)
            .await
            .unwrap()
    }

    /// What a query of one number says.
    pub(crate) async fn number(&self, sql: &str) -> u64 {
        self.database.query(sql).await.trim().parse().unwrap()
    }

    /// Asks the server to let something go wrong in this database: `mode=away&count=2&match=…`.
    pub(crate) async fn fault(&self, fault: &str) {
        let Clickhouse {
            base_url, database, ..
        } = &self.database;
        let url = format!("{base_url}/-/fault?{fault}&database={database}");
        let answer = sonde_tests::http::client().post(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{fault}");
    }

    /// Takes back what no request met.
    pub(crate) async fn no_faults(&self) {
        let Clickhouse {
            base_url, database, ..
        } = &self.database;
        let url = format!("{base_url}/-/fault?database={database}");
        sonde_tests::http::client()
            .delete(url)
            .send()
            .await
            .unwrap();
    }

    /// A second process, with other limits.
    pub(crate) fn impatient(&self) -> ClickhouseResults {
        let timeouts = Timeouts {
            insert: Duration::from_secs(2),
            query: Duration::from_secs(2),
            ..Timeouts::default()
        };
        ClickhouseResults::with_timeouts(options(&self.database.url), timeouts).unwrap()
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_a_newer_schema_is_refused() {
    let Some(fresh) = fresh("migrate").await else {
        return;
    };
    let stored = result(Duration::ZERO, "fra", Outcome::Ok);
    fresh.store(std::slice::from_ref(&stored)).await.unwrap();
    let migrated = fresh.migrate().await.unwrap();
    assert_eq!(migrated.from, migrated.to);
    fresh.ready().await.unwrap();
    assert_eq!(fresh.find(&stored.key()).await.unwrap(), Some(stored));

    let newer = "INSERT INTO schema_versions (version, release) VALUES (7, 'later')";
    fresh.database.query(newer).await;
    for refused in [fresh.ready().await, fresh.migrate().await.map(|_| ())] {
        let error = refused.unwrap_err();
        assert!(
            matches!(error, ResultsError::NewerSchema { found: 7, known } if known == migrated.to),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_database_is_not_ready_and_names_the_command_to_run() {
    let Some(database) = services::clickhouse("empty").await else {
        return;
    };
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    let error = results.ready().await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the results store has schema 0, this release needs "),
        "{error}"
    );
    let stored = results.store(&[CheckResult::sample()]).await.unwrap_err();
    assert!(matches!(stored, ResultsError::Unavailable(_)));
    assert!(sonde_core::chain(&stored).contains("run `sonde migrate`"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_created() {
    let Some(database) = services::clickhouse("create").await else {
        return;
    };
    database
        .query(&format!("DROP DATABASE {}", database.database))
        .await;
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    let migrated = results.migrate().await.unwrap();
    assert!(migrated.from == 0 && migrated.to > 0, "{migrated:?}");
    results.ready().await.unwrap();
}

#[tokio::test]
async fn another_retention_is_taken_over_by_the_next_migration() {
    let Some(fresh) = fresh("retention").await else {
        return;
    };
    let mut options = options(&fresh.database.url);
    options.rollup_retention = Duration::from_hours(15 * 365 * 24);
    let changed = ClickhouseResults::new(options).unwrap();
    changed.migrate().await.unwrap();
    let ttl = "SELECT count() FROM system.tables WHERE database = currentDatabase() \
               AND engine_full LIKE '%toIntervalSecond(473040000)%'";
    assert_eq!(fresh.number(ttl).await, 3);
}

#[tokio::test]
async fn the_statements_for_clusters_and_readers_are_sql() {
    let Some(fresh) = fresh("statements").await else {
        return;
    };
    let mut options = options(&fresh.database.url);
    options.cluster = Some("main".to_owned());
    let cluster = ClickhouseResults::new(options).unwrap();
    let user = ReadOnlyUser {
        name: "grafana".to_owned(),
        password: "it's secret".to_owned(),
    };
    let readers = [&fresh.results, &cluster].map(|results| results.statements_of_reader(&user));
    for statement in cluster.statements().into_iter().chain(readers.concat()) {
        fresh
            .database
            .query(&format!("EXPLAIN AST {statement}"))
            .await;
    }
    // The engine under test has nowhere to keep users; the refusal is its own.
    let refused = fresh.allow_reading(&user).await.unwrap_err();
    assert!(
        sonde_core::chain(&refused).contains("sonde_reader"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_views_show_merged_rows_and_a_user_who_may_only_read_sees_them() {
    let Some(fresh) = fresh("views").await else {
        return;
    };
    let missed = result(Duration::ZERO, "fra", Outcome::Missed);
    let mut failed = result(Duration::ZERO, "fra", Outcome::Failed);
    failed.attempts = vec![
        sonde_core::Attempt {
            reason: Some(sonde_core::Reason::ConnectTimeout),
            total_us: 9,
        },
        sonde_core::Attempt {
            reason: failed.reason,
            total_us: 1_000,
        },
    ];
    let entry = LedgerEntry {
        frequency: sonde_core::Frequency::new("5s").unwrap(),
        region: failed.region.clone(),
        minute: START,
        scheduled: 1,
        deadline: START + MINUTE,
    };
    fresh.record(&[entry], &[]).await.unwrap();
    fresh.store(&[failed, missed]).await.unwrap();
    fresh.roll_up().await.unwrap();

    let url = fresh.database.url.replace("http://", "http://readonly:x@");
    let reader = ClickhouseResults::new(options(&url)).unwrap();
    assert_eq!(reader.latest(&WorkspaceId::local()).await.unwrap().len(), 1);
    let refused = reader.store(&[CheckResult::sample()]).await.unwrap_err();
    assert!(
        sonde_core::chain(&refused).contains("readonly"),
        "{refused:?}"
    );

    let checks =
        "SELECT slot, started_at, outcome, attempt_reasons, attempt_totals_us FROM sonde_checks";
    let expected = serde_json::json!({
        "slot": "2025-11-20 00:00:00.000000", "started_at": "2025-11-20 00:00:00.003000", "outcome": "failed",
        "attempt_reasons": ["connect_timeout", "http_status"], "attempt_totals_us": [9, 1_000],
    });
    assert_eq!(fresh.database.rows(checks).await, [expected]);
    let ledger =
        "SELECT scheduled, ok, failed, missed, balanced FROM sonde_ledger WHERE minute < now()";
    let expected =
        serde_json::json!({"scheduled": 1, "ok": 0, "failed": 1, "missed": 0, "balanced": 1});
    assert_eq!(fresh.database.rows(ledger).await, [expected]);
    for view in ["sonde_rollup_15m", "sonde_rollup_1d"] {
        let counts = format!("SELECT failed, missed, p50_us, toString(bucket) AS at FROM {view}");
        let expected = serde_json::json!(
            {"failed": 1, "missed": 0, "p50_us": null, "at": "2025-11-20 00:00:00"}
        );
        assert_eq!(fresh.database.rows(&counts).await, [expected]);
    }
}
