//! Tables in the order of time, for questions about all monitors at once: rows of the last days, and hours.
//!
//! Everywhere else a monitor's rows are together, where a little of each monitor costs as much as reading much of it.

use std::time::Duration;

use super::schema::{Dialect, QUANTILES};

/// How far back rows are here; they stay some hours longer.
pub(super) const RECENT: Duration = Duration::from_hours(48);
const RECENT_KEPT: Duration = Duration::from_hours(50);
/// How far back hours are here, for ranges that begin within a day.
pub(super) const HOURS: Duration = Duration::from_hours(24 * 92);
const HOURS_KEPT: Duration = Duration::from_hours(24 * 93);
/// Until then after the migration processes of the earlier release, which know nothing of these tables, may still write.
pub(super) const COMPLETE_AFTER: Duration = Duration::from_hours(2);

pub(super) fn recent_ttl(dialect: &Dialect) -> String {
    let kept = RECENT_KEPT.min(dialect.retention).as_secs();
    format!("toDateTime(slot) + toIntervalSecond({kept})")
}

pub(super) fn hours_ttl(dialect: &Dialect) -> String {
    let kept = HOURS_KEPT.min(dialect.rollup_retention).as_secs();
    format!("bucket + toIntervalSecond({kept})")
}

pub(super) fn tables(dialect: &Dialect) -> Vec<String> {
    let recent = format!(
        "PARTITION BY toYYYYMMDD(slot)
ORDER BY (workspace, slot, monitor, region, run_id)
{}
SETTINGS index_granularity = 2048, ttl_only_drop_parts = 1",
        dialect.ttl("recent_checks")
    );
    let hours = format!(
        "PARTITION BY toYYYYMM(bucket)
ORDER BY (workspace, bucket, monitor)
{}
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1",
        dialect.ttl("rollup_1h")
    );
    let replaced = "ReplacingMergeTree(computed_at)";
    vec![
        dialect.table(
            "recent_checks",
            RECENT_COLUMNS,
            "ReplacingMergeTree(version)",
            &recent,
        ),
        dialect.table("rollup_1h", &hour_columns(), replaced, &hours),
    ]
}

/// Of scheduled rows, what their sums need.
const RECENT_COLUMNS: &str = "
    workspace LowCardinality(String),
    slot DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    monitor LowCardinality(String),
    region LowCardinality(String),
    run_id UInt64 CODEC(ZSTD(1)),
    version UInt256 CODEC(ZSTD(1)),
    outcome LowCardinality(String),
    in_maintenance Bool CODEC(ZSTD(1)),
    total_us Nullable(UInt64) CODEC(T64, ZSTD(1))
";

/// As in the other rollups, of all regions together.
fn hour_columns() -> String {
    format!(
        "
    workspace LowCardinality(String),
    bucket DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    monitor LowCardinality(String),
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
    computed_at DateTime64(6, 'UTC') CODEC(ZSTD(1))
"
    )
}
