//! Inserts. Each can be repeated: a batch that was not confirmed is sent again as it was.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use clickhouse::types::UInt256;
use clickhouse::{Row, RowWrite};
use serde::Serialize;
use sonde_core::{CheckResult, DispatchGap, LedgerEntry, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use super::error::of_insert;
use super::row::ResultRow;
use super::{ClickhouseResults, clamped, within};
use crate::{Result, ResultsError};

/// The smallest rollup; days are made of these.
pub(super) const BUCKET: Duration = Duration::from_mins(15);

/// How long the server may go on with an insert whose client has given up.
const LONGEST_INSERT_SECONDS: &str = "60";

#[derive(Row, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct DirtyBucket<'a> {
    workspace: &'a str,
    monitor: &'a str,
    /// Seconds since the epoch.
    bucket: u32,
}

/// What of a row is also kept by time.
#[derive(Row, Serialize)]
struct RecentRow<'a> {
    workspace: &'a str,
    slot: i64,
    monitor: &'a str,
    region: &'a str,
    run_id: u64,
    version: UInt256,
    outcome: &'a str,
    in_maintenance: bool,
    total_us: Option<u64>,
}

#[derive(Row, Serialize)]
struct LedgerRow<'a> {
    minute: u32,
    region: &'a str,
    frequency: &'a str,
    scheduled: u64,
    deadline: i64,
}

#[derive(Row, Serialize)]
struct GapRow {
    begins: i64,
    ends: i64,
}

impl ClickhouseResults {
    /// Buckets are noted before their rows: whatever breaks off in between leaves a bucket to be recomputed in vain,
    /// never one that is out of date.
    pub(super) async fn store_results(&self, results: &[CheckResult]) -> Result<()> {
        if results.is_empty() {
            return Ok(());
        }
        let rows = results
            .iter()
            .map(ResultRow::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ResultsError::Rejected(error.into()))?;
        let scheduled = || rows.iter().filter(|row| row.is_scheduled());
        let dirty: BTreeSet<_> = scheduled().map(dirty_bucket).collect();
        let dirty: Vec<_> = dirty.into_iter().collect();
        // Without a token: a note that is made again has to be newer than the rows that come after it.
        self.insert::<DirtyBucket<'_>>("dirty_buckets", &dirty, None)
            .await?;
        self.insert::<ResultRow<'_>>("check_results", &rows, Some(&token(&rows)))
            .await?;
        let recent: Vec<_> = scheduled().map(recent_row).collect();
        self.insert::<RecentRow<'_>>("recent_checks", &recent, None)
            .await?;
        self.insert::<ResultRow<'_>>("latest_results", &newest(&rows), None)
            .await
    }

    pub(super) async fn record_ledger(
        &self,
        ledger: &[LedgerEntry],
        gaps: &[DispatchGap],
    ) -> Result<()> {
        let entries: Vec<_> = ledger.iter().map(ledger_row).collect();
        self.insert::<LedgerRow<'_>>("ledger", &entries, None)
            .await?;
        let gaps: Vec<_> = gaps.iter().map(gap_row).collect();
        self.insert::<GapRow>("dispatch_gaps", &gaps, None).await
    }

    /// One request; nothing to insert is none.
    pub(super) async fn insert<T: Row + RowWrite>(
        &self,
        table: &str,
        rows: &[T::Value<'_>],
        token: Option<&str>,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let work = async {
            let mut insert = self
                .client
                .insert::<T>(table)
                .await?
                .with_setting(
                    "insert_deduplicate",
                    if token.is_some() { "1" } else { "0" },
                )
                .with_setting("async_insert", "0")
                .with_setting("wait_end_of_query", "1")
                .with_setting("throw_on_max_partitions_per_insert_block", "0")
                .with_setting("max_execution_time", LONGEST_INSERT_SECONDS);
            if let Some(token) = token {
                insert = insert.with_setting("insert_deduplication_token", token);
            }
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        within(self.timeouts.insert, work).await?.map_err(of_insert)
    }
}

fn dirty_bucket<'a>(row: &ResultRow<'a>) -> DirtyBucket<'a> {
    let slot = Timestamp::from_micros(row.slot);
    DirtyBucket {
        workspace: row.workspace,
        monitor: row.monitor,
        bucket: seconds(slot.floor(BUCKET)),
    }
}

fn recent_row<'a>(row: &ResultRow<'a>) -> RecentRow<'a> {
    RecentRow {
        workspace: row.workspace,
        slot: row.slot,
        monitor: row.monitor,
        region: row.region,
        run_id: row.run_id,
        version: row.version,
        outcome: row.outcome,
        in_maintenance: row.in_maintenance,
        total_us: row.total_us,
    }
}

/// The newest of each monitor, region and trigger: the others would be merged away at once.
fn newest<'a>(rows: &[ResultRow<'a>]) -> Vec<ResultRow<'a>> {
    let mut newest: HashMap<_, &ResultRow<'a>> = HashMap::new();
    for row in rows {
        let place = (row.workspace, row.monitor, row.region, row.trigger);
        let known = newest.entry(place).or_insert(row);
        if (row.slot, row.version) > (known.slot, known.version) {
            *known = row;
        }
    }
    newest.into_values().map(ResultRow::latest).collect()
}

/// What makes a batch the same batch. Rows of one key and rank stand for each other.
fn token(rows: &[ResultRow<'_>]) -> String {
    let mut hash = Xxh3::new();
    for row in rows {
        for text in [row.workspace, row.monitor, row.region] {
            hash.update(text.as_bytes());
            hash.update(&[0]);
        }
        hash.update(&row.slot.to_le_bytes());
        hash.update(&row.run_id.to_le_bytes());
        hash.update(&row.version.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

fn ledger_row(entry: &LedgerEntry) -> LedgerRow<'_> {
    LedgerRow {
        minute: seconds(entry.minute),
        region: entry.region.as_str(),
        frequency: entry.frequency.as_str(),
        scheduled: entry.scheduled,
        deadline: clamped(entry.deadline),
    }
}

fn gap_row(gap: &DispatchGap) -> GapRow {
    GapRow {
        begins: clamped(gap.from),
        ends: clamped(gap.to),
    }
}

/// Whole seconds within what `DateTime` holds.
pub(super) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(clamped(time) / 1_000_000).unwrap_or(u32::MAX)
}
