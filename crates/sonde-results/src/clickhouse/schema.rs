//! Tables and how they came to be, for a plain server and for a cluster. A migration that was released is never edited.
//!
//! Every statement can be run again: a migration that was broken off is repeated from its beginning.

use std::time::Duration;

use super::{by_time, views};

/// What leads from each version to the next; the text is the same for every server but for the engines and clauses
/// that [`Dialect`] writes.
const MIGRATIONS: &[fn(&Dialect) -> Vec<String>] = &[first, by_time::tables];

/// The version that [`by_time::tables`] leads to.
pub(super) const BY_TIME: u32 = 2;

/// Quantiles are kept as `DDSketch`: values within 1 % of the true ones, and the same whatever was merged in what order.
pub(super) const QUANTILES: &str = "0.01, 0.5, 0.75, 0.9, 0.95, 0.99";

/// How one server or a cluster has it.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    pub(super) database: String,
    pub(super) cluster: Option<String>,
    pub(super) retention: Duration,
    pub(super) rollup_retention: Duration,
}

pub(super) fn newest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The statements that lead from `version` to the next.
pub(super) fn migration(dialect: &Dialect, version: u32) -> Option<Vec<String>> {
    let migration = MIGRATIONS.get(usize::try_from(version).ok()?)?;
    Some(migration(dialect))
}

impl Dialect {
    pub(super) fn create_database(&self) -> String {
        let (database, on_cluster) = (quoted(&self.database), self.on_cluster());
        format!("CREATE DATABASE IF NOT EXISTS {database}{on_cluster}")
    }

    /// Where versions are noted once they are complete.
    pub(super) fn create_versions(&self) -> String {
        self.table(
            "schema_versions",
            "version UInt32, release String, migrated_at DateTime64(6, 'UTC') DEFAULT now64(6)",
            "ReplacingMergeTree",
            "ORDER BY version",
        )
    }

    /// How long rows are kept, as a change of tables that exist already.
    pub(super) fn retentions(&self) -> Vec<(&'static str, String)> {
        let (raw, rollups) = (self.raw_ttl(), self.rollup_ttl());
        vec![
            ("check_results", format!("toDateTime(slot) + {raw}")),
            ("latest_results", format!("toDateTime(slot) + {raw}")),
            ("ledger", format!("minute + {raw}")),
            ("dispatch_gaps", format!("toDateTime(ends) + {rollups}")),
            ("rollup_15m", format!("bucket + {rollups}")),
            ("rollup_1d", format!("bucket + {rollups}")),
            ("recent_checks", by_time::recent_ttl(self)),
            ("rollup_1h", by_time::hours_ttl(self)),
        ]
    }

    pub(super) fn change_retention(&self, table: &str, ttl: &str) -> String {
        let name = self.name(table);
        // Without rewriting anything: whole parts are dropped once their last row is too old.
        format!(
            "ALTER TABLE {name}{} MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0",
            self.on_cluster()
        )
    }

    fn raw_ttl(&self) -> String {
        format!("toIntervalSecond({})", self.retention.as_secs())
    }

    fn rollup_ttl(&self) -> String {
        format!("toIntervalSecond({})", self.rollup_retention.as_secs())
    }

    pub(super) fn ttl(&self, table: &str) -> String {
        let ttls = self.retentions();
        let ttl = ttls.into_iter().find(|(name, _)| *name == table);
        ttl.map_or(String::new(), |(_, ttl)| format!("TTL {ttl}"))
    }

    pub(super) fn name(&self, table: &str) -> String {
        format!("{}.{table}", quoted(&self.database))
    }

    pub(super) fn on_cluster(&self) -> String {
        let cluster = self.cluster.as_deref().map(quoted);
        cluster.map_or(String::new(), |cluster| format!(" ON CLUSTER {cluster}"))
    }

    /// `engine` with its arguments, as `ReplacingMergeTree(version)`.
    pub(super) fn table(&self, table: &str, columns: &str, engine: &str, clauses: &str) -> String {
        let (name, on_cluster) = (self.name(table), self.on_cluster());
        let engine = self.engine(table, engine);
        let columns = columns.trim_matches('\n');
        format!(
            "CREATE TABLE IF NOT EXISTS {name}{on_cluster} (\n{columns}\n) ENGINE = {engine}\n{clauses}"
        )
    }

    /// A path by names and not by `{uuid}`, so that a replica that is created later finds the others.
    fn engine(&self, table: &str, engine: &str) -> String {
        if self.cluster.is_none() {
            return engine.to_owned();
        }
        let (kind, arguments) = engine.split_once('(').unwrap_or((engine, ")"));
        let place = format!(
            "'/clickhouse/tables/{{shard}}/{}/{table}', '{{replica}}'",
            self.database
        );
        match arguments {
            ")" => format!("Replicated{kind}({place})"),
            arguments => format!("Replicated{kind}({place}, {arguments}"),
        }
    }

    /// A plain server remembers tokens of inserts only when told to, a replicated table does so by itself.
    fn remember_tokens(&self) -> &'static str {
        match self.cluster {
            None => ", non_replicated_deduplication_window = 1000",
            Some(_) => "",
        }
    }
}

fn first(dialect: &Dialect) -> Vec<String> {
    let mut statements = vec![check_results(dialect), latest_results(dialect)];
    statements.extend(rollups(dialect));
    statements.extend(ledger(dialect));
    statements.extend(views::ALL.iter().map(|view| view.create(dialect)));
    statements
}

/// One row per check. Rows of one key are merged by `version`, which is `sonde_core::rank`; small granules, because a
/// question is about one monitor.
fn check_results(dialect: &Dialect) -> String {
    let clauses = format!(
        "PARTITION BY toYYYYMM(slot)
ORDER BY (workspace, monitor, slot, region, run_id)
{}
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1{}",
        dialect.ttl("check_results"),
        dialect.remember_tokens()
    );
    let engine = "ReplacingMergeTree(version)";
    dialect.table("check_results", RESULT_COLUMNS, engine, &clauses)
}

/// The newest row of each monitor and region, by trigger: `version` is the slot above the rank.
fn latest_results(dialect: &Dialect) -> String {
    let clauses = format!(
        "ORDER BY (workspace, monitor, region, trigger)
{}
SETTINGS index_granularity = 512",
        dialect.ttl("latest_results")
    );
    let engine = "ReplacingMergeTree(version)";
    dialect.table("latest_results", RESULT_COLUMNS, engine, &clauses)
}

/// When a check was started is in `version`, its last attempt is the row itself, and what only some kinds have is in `rest`.
const RESULT_COLUMNS: &str = "
    workspace LowCardinality(String),
    monitor String CODEC(ZSTD(1)),
    slot DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    region LowCardinality(String),
    run_id UInt64 CODEC(ZSTD(1)),
    version UInt256 CODEC(ZSTD(1)),
    name LowCardinality(String),
    kind LowCardinality(String),
    target LowCardinality(String),
    trigger LowCardinality(String),
    interval_us UInt64 CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    reason LowCardinality(String),
    message String CODEC(ZSTD(1)),
    attempts UInt8 CODEC(ZSTD(1)),
    earlier_attempts Nested(reason LowCardinality(String), total_us UInt64),
    dns_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    connect_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    tls_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    send_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    wait_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    receive_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    total_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    queue_wait_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    schedule_lag_us Nullable(UInt64) CODEC(T64, ZSTD(1)),
    checker_id LowCardinality(String) CODEC(ZSTD(1)),
    checker_version LowCardinality(String),
    remote_address LowCardinality(String),
    http_status UInt16 CODEC(ZSTD(1)),
    http_version LowCardinality(String),
    http_bytes UInt64 CODEC(T64, ZSTD(1)),
    http_redirects UInt8 CODEC(ZSTD(1)),
    tls_version LowCardinality(String),
    tls_not_after Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    tls LowCardinality(String),
    failed Nested(assertion String, expected String, seen String),
    suspect Bool CODEC(ZSTD(1)),
    in_maintenance Bool CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(3)),
    rest String CODEC(ZSTD(3))
";

/// Counts by outcome, also of those in maintenance alone, and sums of what was measured: executed, not failed, outside
/// maintenance. A bucket computed later replaces the earlier one.
fn rollups(dialect: &Dialect) -> Vec<String> {
    let columns = format!(
        "
    workspace LowCardinality(String),
    monitor String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    region LowCardinality(String),
    ok UInt32 CODEC(T64, ZSTD(1)),
    degraded UInt32 CODEC(T64, ZSTD(1)),
    failed UInt32 CODEC(T64, ZSTD(1)),
    missed UInt32 CODEC(T64, ZSTD(1)),
    ok_in_maintenance UInt32 CODEC(T64, ZSTD(1)),
    degraded_in_maintenance UInt32 CODEC(T64, ZSTD(1)),
    failed_in_maintenance UInt32 CODEC(T64, ZSTD(1)),
    missed_in_maintenance UInt32 CODEC(T64, ZSTD(1)),
    latency_count UInt32 CODEC(T64, ZSTD(1)),
    latency_sum_us UInt64 CODEC(T64, ZSTD(1)),
    latency_sketch AggregateFunction(quantilesDD({QUANTILES}), UInt64) CODEC(ZSTD(1)),
    dns_count UInt32 CODEC(T64, ZSTD(1)),
    dns_sum_us UInt64 CODEC(T64, ZSTD(1)),
    connect_count UInt32 CODEC(T64, ZSTD(1)),
    connect_sum_us UInt64 CODEC(T64, ZSTD(1)),
    tls_count UInt32 CODEC(T64, ZSTD(1)),
    tls_sum_us UInt64 CODEC(T64, ZSTD(1)),
    send_count UInt32 CODEC(T64, ZSTD(1)),
    send_sum_us UInt64 CODEC(T64, ZSTD(1)),
    wait_count UInt32 CODEC(T64, ZSTD(1)),
    wait_sum_us UInt64 CODEC(T64, ZSTD(1)),
    receive_count UInt32 CODEC(T64, ZSTD(1)),
    receive_sum_us UInt64 CODEC(T64, ZSTD(1)),
    computed_at DateTime64(6, 'UTC') CODEC(ZSTD(1))
"
    );
    let rollup = |table: &str, partition: &str| {
        let clauses = format!(
            "PARTITION BY {partition}
ORDER BY (workspace, monitor, bucket, region)
{}
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1",
            dialect.ttl(table)
        );
        dialect.table(table, &columns, "ReplacingMergeTree(computed_at)", &clauses)
    };
    vec![
        rollup("rollup_15m", "toYYYYMM(bucket)"),
        rollup("rollup_1d", "toYear(bucket)"),
        dialect.table("dirty_buckets", DIRTY_COLUMNS, "MergeTree", DIRTY_CLAUSES),
        dialect.table(
            "rollup_progress",
            PROGRESS_COLUMNS,
            "ReplacingMergeTree(computed_at)",
            "ORDER BY only",
        ),
    ]
}

/// Buckets that an insert touched, noted before its rows. By the hour, so that what is settled is dropped at once.
const DIRTY_COLUMNS: &str = "
    workspace LowCardinality(String),
    monitor String CODEC(ZSTD(1)),
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    noted_at DateTime64(6, 'UTC') DEFAULT now64(6) CODEC(Delta(8), ZSTD(1))
";

const DIRTY_CLAUSES: &str = "PARTITION BY toStartOfHour(noted_at)
ORDER BY (workspace, monitor, bucket)";

/// Notes up to `settled` are in the rollups for good.
const PROGRESS_COLUMNS: &str = "
    only UInt8,
    settled DateTime64(6, 'UTC'),
    computed_at DateTime64(6, 'UTC')
";

/// Of one minute, class and region the largest numbers stand.
fn ledger(dialect: &Dialect) -> Vec<String> {
    let ledger = format!(
        "PARTITION BY toYYYYMM(minute)
ORDER BY (minute, region, frequency)
{}
SETTINGS ttl_only_drop_parts = 1",
        dialect.ttl("ledger")
    );
    let gaps = format!("ORDER BY (begins, ends)\n{}", dialect.ttl("dispatch_gaps"));
    vec![
        dialect.table("ledger", LEDGER_COLUMNS, "AggregatingMergeTree", &ledger),
        dialect.table("dispatch_gaps", GAP_COLUMNS, "ReplacingMergeTree", &gaps),
    ]
}

const LEDGER_COLUMNS: &str = "
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    region LowCardinality(String),
    frequency LowCardinality(String),
    scheduled SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1)),
    deadline SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(ZSTD(1))
";

const GAP_COLUMNS: &str = "
    begins DateTime64(6, 'UTC'),
    ends DateTime64(6, 'UTC')
";

/// An identifier as ClickHouse reads it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// An instant as ClickHouse reads it, from microseconds.
pub(super) fn at(micros: i64) -> String {
    format!("fromUnixTimestamp64Micro(toInt64({micros}), 'UTC')")
}

/// A text as ClickHouse reads it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
