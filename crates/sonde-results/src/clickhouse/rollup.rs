//! Rollups, recomputed from merged rows wherever an insert touched something.
//!
//! Inserts note their buckets in `dirty_buckets` before they write rows. A run recomputes the buckets noted since the
//! last one that came to its end, so that a run that breaks off is repeated. Notes count as settled only after
//! [`SETTLES_AFTER`], because the rows of a younger note may still be on their way.

use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::schema::{QUANTILES, at};
use super::{ClickhouseResults, within};
use crate::Result;

/// Longer than an insert can take, on both sides of the connection.
const SETTLES_AFTER: Duration = Duration::from_mins(5);

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;

/// What one statement recomputes: bounded, because the server holds a sketch of some kilobytes for each region of each.
const BUCKETS_AT_ONCE: u64 = 20_000;

/// Executed, not failed, outside maintenance, and with a latency.
pub(super) const MEASURED: &str =
    "outcome IN ('ok', 'degraded') AND NOT in_maintenance AND total_us IS NOT NULL";

/// What a bucket counts, from rows: the columns of [`COLUMNS`] and the sketch.
pub(super) fn counts() -> String {
    format!(
        "countIf(outcome = 'ok') AS ok, countIf(outcome = 'degraded') AS degraded,
    countIf(outcome = 'failed') AS failed, countIf(outcome = 'missed') AS missed,
    countIf(outcome = 'ok' AND in_maintenance) AS ok_in_maintenance,
    countIf(outcome = 'degraded' AND in_maintenance) AS degraded_in_maintenance,
    countIf(outcome = 'failed' AND in_maintenance) AS failed_in_maintenance,
    countIf(outcome = 'missed' AND in_maintenance) AS missed_in_maintenance,
    countIf({MEASURED}) AS latency_count, sumIf(assumeNotNull(total_us), {MEASURED}) AS latency_sum_us,
    quantilesDDStateIf({QUANTILES})(assumeNotNull(total_us), {MEASURED}) AS latency_sketch"
    )
}

/// In how many of the measured each phase happened and how long it took altogether, from rows.
pub(super) fn phase_sums() -> String {
    let sums = PHASES.map(|phase| {
        let (of, has) = (
            format!("{phase}_us"),
            format!("{MEASURED} AND {phase}_us IS NOT NULL"),
        );
        format!(
            "countIf({has}) AS {phase}_count, sumIf(assumeNotNull({of}), {has}) AS {phase}_sum_us"
        )
    });
    sums.join(",\n    ")
}

/// The columns of [`phase_sums`].
pub(super) fn phase_columns() -> String {
    PHASES
        .map(|phase| format!("{phase}_count, {phase}_sum_us"))
        .join(", ")
}

pub(super) const PHASES: [&str; 6] = ["dns", "connect", "tls", "send", "wait", "receive"];

const COLUMNS: [&str; 10] = [
    "ok",
    "degraded",
    "failed",
    "missed",
    "ok_in_maintenance",
    "degraded_in_maintenance",
    "failed_in_maintenance",
    "missed_in_maintenance",
    "latency_count",
    "latency_sum_us",
];

#[derive(Row, Deserialize)]
pub(super) struct Progress {
    pub(super) now: i64,
    pub(super) settled: i64,
    computed_at: i64,
}

#[derive(Row, Serialize)]
struct ProgressRow {
    only: u8,
    settled: i64,
    computed_at: i64,
}

#[derive(Row, Deserialize)]
struct DirtyHour {
    hour: u32,
    buckets: u64,
}

#[derive(Row, Deserialize)]
struct Partition {
    id: String,
}

impl ClickhouseResults {
    /// Recomputes every bucket that was touched, then the days that they are in; returns how many quarters of an hour
    /// of a monitor that were. Two runs at once do the same work twice and no harm.
    pub async fn roll_up(&self) -> Result<u64> {
        let progress = self.progress().await?;
        // Never the same moment twice, even when the server's clock was set back: the later computation has to win.
        let computed_at = progress.now.max(progress.computed_at + 1);
        let notes = Notes {
            after: progress.settled,
            until: progress.now,
            retention: self.dialect.retention,
        };
        let hours = self.dirty_hours(&notes).await?;
        for span in spans(&hours, HOUR) {
            self.maintain(&quarters_sql(&notes, span, computed_at))
                .await?;
        }
        for span in spans(&hours, HOUR) {
            self.maintain(&hours_sql(&notes, span, computed_at)).await?;
        }
        for span in spans(&hours, DAY) {
            self.maintain(&days_sql(&notes, span, computed_at)).await?;
        }
        self.settle(&progress, computed_at).await?;
        self.forget_notes(progress.settled).await?;
        Ok(hours.iter().map(|hour| hour.buckets).sum())
    }

    /// Up to when notes are in the rollups for good, in microseconds.
    pub(super) async fn settled(&self) -> Result<i64> {
        Ok(self.progress().await?.settled)
    }

    pub(super) async fn progress(&self) -> Result<Progress> {
        const PROGRESS: &str = "SELECT now64(6, 'UTC') AS now, max(settled) AS settled, max(computed_at) AS computed_at
FROM rollup_progress";
        let query = self.client.query(PROGRESS);
        self.ask(query.fetch_one::<Progress>()).await
    }

    async fn dirty_hours(&self, notes: &Notes) -> Result<Vec<DirtyHour>> {
        let sql = format!(
            "SELECT toStartOfHour(bucket) AS hour, uniqExact(workspace, monitor, bucket) AS buckets
FROM dirty_buckets WHERE {} GROUP BY hour ORDER BY hour",
            notes.sql()
        );
        self.ask(self.client.query(&sql).fetch_all()).await
    }

    async fn settle(&self, progress: &Progress, computed_at: i64) -> Result<()> {
        let wait = i64::try_from(SETTLES_AFTER.as_micros()).unwrap_or(i64::MAX);
        let row = ProgressRow {
            only: 0,
            settled: (progress.now - wait).max(progress.settled),
            computed_at,
        };
        self.insert::<ProgressRow>("rollup_progress", &[row], None)
            .await
    }

    /// Drops the hours of notes that are settled since the run before: a reader may have looked at that one's end.
    async fn forget_notes(&self, settled: i64) -> Result<()> {
        let sql = format!(
            "SELECT _partition_id AS id FROM dirty_buckets GROUP BY id HAVING max(noted_at) < {}",
            at(settled - 2 * 3_600_000_000)
        );
        let old: Vec<Partition> = self.ask(self.client.query(&sql).fetch_all()).await?;
        for Partition { id } in old {
            let table = self.dialect.name("dirty_buckets");
            self.run(&format!("ALTER TABLE {table} DROP PARTITION ID '{id}'"))
                .await?;
        }
        Ok(())
    }

    async fn maintain(&self, sql: &str) -> Result<()> {
        let statement = self
            .client
            .query(sql)
            .with_setting("insert_deduplicate", "0")
            .with_setting("wait_end_of_query", "1");
        within(self.timeouts.maintenance, statement.execute())
            .await?
            .map_err(super::error::unavailable)
    }
}

/// Which notes one run is about.
struct Notes {
    after: i64,
    until: i64,
    retention: Duration,
}

impl Notes {
    /// Not those of buckets whose rows may be gone: what is left of them must not replace what was counted.
    fn sql(&self) -> String {
        format!(
            "noted_at > {} AND noted_at <= {} AND bucket >= now() - toIntervalSecond({})",
            at(self.after),
            at(self.until),
            self.retention.as_secs()
        )
    }
}

/// Times that are recomputed by one statement, in seconds: whole hours or days, each with some of `hours` in it, and of
/// as many buckets as one statement may have.
fn spans(hours: &[DirtyHour], unit: u32) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    let mut buckets = 0;
    for hour in hours {
        let from = hour.hour / unit * unit;
        buckets += hour.buckets;
        match spans.last_mut() {
            Some((_, to)) if buckets <= BUCKETS_AT_ONCE || *to > from => *to = from + unit,
            _ => {
                buckets = hour.buckets;
                spans.push((from, from + unit));
            }
        }
    }
    spans
}

fn quarters_sql(notes: &Notes, (from, to): (u32, u32), computed_at: i64) -> String {
    let (from, to) = (date(from), date(to));
    format!(
        "INSERT INTO rollup_15m (workspace, monitor, bucket, region, {}, computed_at)
SELECT workspace, monitor, toStartOfFifteenMinutes(slot) AS bucket, region, {},
    {}, {} AS computed_at
FROM check_results FINAL
WHERE slot >= {from} AND slot < {to} AND trigger = 'schedule'
AND (workspace, monitor, toStartOfFifteenMinutes(slot)) IN (
    SELECT workspace, monitor, bucket FROM dirty_buckets WHERE bucket >= {from} AND bucket < {to} AND {}
)
GROUP BY workspace, monitor, bucket, region",
        columns(),
        counts(),
        phase_sums(),
        at(computed_at),
        notes.sql()
    )
}

/// Of all regions together, from rows: quarters of an hour are in the order of monitors.
fn hours_sql(notes: &Notes, (from, to): (u32, u32), computed_at: i64) -> String {
    let (from, to) = (date(from), date(to));
    format!(
        "INSERT INTO rollup_1h (workspace, bucket, monitor, {}, latency_sketch, computed_at)
SELECT workspace, toStartOfHour(slot) AS bucket, monitor, {}, {} AS computed_at
FROM check_results FINAL
WHERE slot >= {from} AND slot < {to} AND trigger = 'schedule'
AND (workspace, monitor, toStartOfHour(slot)) IN (
    SELECT workspace, monitor, toStartOfHour(bucket) AS hour FROM dirty_buckets
    WHERE bucket >= {from} AND bucket < {to} AND {} AND hour >= now() - toIntervalSecond({})
)
GROUP BY workspace, bucket, monitor",
        COLUMNS.join(", "),
        counts(),
        at(computed_at),
        notes.sql(),
        notes.retention.as_secs()
    )
}

fn days_sql(notes: &Notes, (from, to): (u32, u32), computed_at: i64) -> String {
    let sum = |column: &str| format!("sum(quarter.{column})");
    let counts = COLUMNS.map(sum);
    let phases = PHASES.map(|phase| {
        [
            sum(&format!("{phase}_count")),
            sum(&format!("{phase}_sum_us")),
        ]
        .join(", ")
    });
    let sketch = format!("quantilesDDMergeState({QUANTILES})(quarter.latency_sketch)");
    let (from, to) = (date(from), date(to));
    format!(
        "INSERT INTO rollup_1d (workspace, monitor, bucket, region, {}, computed_at)
SELECT workspace, monitor, toStartOfDay(quarter.bucket) AS day, region, {}, {sketch},
    {}, {} AS computed_at
FROM rollup_15m AS quarter FINAL
WHERE bucket >= {from} AND bucket < {to} AND (workspace, monitor, toStartOfDay(bucket)) IN (
    SELECT workspace, monitor, toStartOfDay(bucket) FROM dirty_buckets WHERE bucket >= {from} AND bucket < {to} AND {}
)
GROUP BY workspace, monitor, day, region",
        columns(),
        counts.join(", "),
        phases.join(", "),
        at(computed_at),
        notes.sql()
    )
}

/// In the order of [`quarters_sql`].
fn columns() -> String {
    format!(
        "{}, latency_sketch, {}",
        COLUMNS.join(", "),
        phase_columns()
    )
}

fn date(seconds: u32) -> String {
    format!("toDateTime({seconds}, 'UTC')")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: &[(u32, u64)]) -> Vec<DirtyHour> {
        let hour = |&(hour, buckets)| DirtyHour {
            hour: hour * HOUR,
            buckets,
        };
        hours.iter().map(hour).collect()
    }

    #[test]
    fn one_statement_recomputes_no_more_than_it_may() {
        assert_eq!(spans(&[], HOUR), []);
        let few = hours(&[(1, 5), (7, 5), (30, 5)]);
        assert_eq!(spans(&few, HOUR), [(HOUR, 31 * HOUR)]);
        assert_eq!(spans(&few, DAY), [(0, 2 * DAY)]);
        let many = hours(&[
            (1, 15_000),
            (2, 15_000),
            (23, 5_000),
            (24, 1),
            (25, 90_000),
            (49, 1),
        ]);
        let expected = [(1, 2), (2, 24), (24, 25), (25, 26), (49, 50)];
        assert_eq!(
            spans(&many, HOUR),
            expected.map(|(from, to)| (from * HOUR, to * HOUR))
        );
        // A day is never split: its sums are made of all its quarters.
        assert_eq!(
            spans(&many, DAY),
            [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 3 * DAY)]
        );
    }
}
