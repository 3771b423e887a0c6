//! The dispatcher's journal on one machine: what was scheduled, what is not settled yet, and how far dispatch has come.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sonde_core::{
    Balance, Check, CheckKey, CheckResult, DispatchGap, Frequency, LedgerEntry, Region, Timestamp,
    Trigger,
};
use sonde_libsql::LocalFile;
use sonde_libsql::libsql::{Connection, Row};

use super::schema::MIGRATIONS;
use super::writer::Writer;
use super::{LibsqlResults, corrupt, key_values, read, signed, snapshot, write};
use crate::{Result, ResultsError, TimeRange};

/// One step of the dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    /// About to be handed to the queue.
    pub checks: &'a [Check],
    /// Never to be handed to it, with the class that each would have gone through: stored as rows at once.
    pub missed: &'a [(Frequency, CheckResult)],
    pub gaps: &'a [DispatchGap],
    /// All slots before this one are in this step or an earlier one.
    pub watermark: Timestamp,
}

/// What the journal knew when the last process ended.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Absent when nothing was ever dispatched.
    pub watermark: Option<Timestamp>,
    /// Scheduled and counted, without a result so far; oldest first.
    pub unsettled: Vec<Check>,
    /// Unsettled checks that cannot be read back; their minutes do not balance until they are pruned.
    pub unreadable: Vec<ResultsError>,
}

/// What was scheduled, what came of it, and what is still on its way, all of one instant.
#[derive(Debug)]
pub struct Accounting {
    pub unsettled: Vec<Check>,
    pub balances: Vec<Balance>,
    pub gaps: Vec<DispatchGap>,
}

impl Accounting {
    /// Reads whole minutes of `range` from a results file that another process may be writing; changes nothing.
    pub async fn read(path: &Path, range: TimeRange) -> Result<Self> {
        let file = LocalFile::open_read_only(path, MIGRATIONS).await?;
        snapshot(file, async move |connection| {
            Ok(Self {
                unsettled: recover(connection).await?.unsettled,
                balances: read::balances(connection, range).await?,
                gaps: read::gaps(connection, range).await?,
            })
        })
        .await
    }
}

impl LibsqlResults {
    /// Records a step of the dispatcher, all or nothing, before its checks are published.
    ///
    /// Recording a check again, settled or not, counts nothing twice.
    pub async fn record_dispatch(&self, dispatch: &Dispatch<'_>) -> Result<()> {
        let checks = dispatch.checks.to_vec();
        let missed = dispatch.missed.to_vec();
        let gaps = dispatch.gaps.to_vec();
        let watermark = dispatch.watermark;
        self.write(async move |writer| {
            let mut counts = Counts::default();
            for check in &checks {
                record_check(writer, check, &mut counts).await?;
            }
            for (frequency, result) in missed {
                record_missed(writer, &frequency, result, &mut counts).await?;
            }
            counts.write(writer).await?;
            record(writer, &[], &gaps).await?;
            let watermark = watermark.as_micros();
            writer.execute(SET_WATERMARK, [watermark]).await?;
            Ok(())
        })
        .await
    }

    /// What is left of the last process: to be published again or recorded as missed.
    pub async fn recover(&self) -> Result<Recovered> {
        self.read(recover).await
    }
}

const INSERT_GAP: &str = "INSERT OR IGNORE INTO dispatch_gaps (begins, ends) VALUES (?1, ?2)";
const SET_WATERMARK: &str = "INSERT INTO watermark (only, slot) VALUES (0, ?1)
ON CONFLICT DO UPDATE SET slot = excluded.slot";
const INSERT_UNSETTLED: &str = "INSERT OR IGNORE INTO unsettled_checks
(workspace, monitor, slot, region, run_id, body)
SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM check_results
WHERE workspace = ?1 AND monitor = ?2 AND slot = ?3 AND region = ?4 AND run_id = ?5)";
const IS_RECORDED: &str = "SELECT 1 FROM check_results
WHERE workspace = ?1 AND monitor = ?2 AND slot = ?3 AND region = ?4 AND run_id = ?5
UNION ALL SELECT 1 FROM unsettled_checks
WHERE workspace = ?1 AND monitor = ?2 AND slot = ?3 AND region = ?4 AND run_id = ?5";
const ADD_SCHEDULED: &str = "INSERT INTO ledger (minute, region, frequency, scheduled, deadline)
VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET scheduled = scheduled + excluded.scheduled,
deadline = max(ifnull(deadline, 0), excluded.deadline)";
const UNSETTLED: &str = "SELECT body, monitor, region, slot FROM unsettled_checks
ORDER BY slot, workspace, monitor, region, run_id";

const RAISE_SCHEDULED: &str = "INSERT INTO ledger (minute, region, frequency, scheduled, deadline)
VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET scheduled = max(scheduled, excluded.scheduled),
deadline = max(ifnull(deadline, 0), excluded.deadline)";

/// What a dispatcher elsewhere accounted for.
pub(super) async fn record(
    writer: &mut Writer,
    ledger: &[LedgerEntry],
    gaps: &[DispatchGap],
) -> Result<()> {
    for entry in ledger {
        let row = (
            entry.minute.as_micros(),
            entry.region.as_str(),
            entry.frequency.as_str(),
            signed(entry.scheduled),
            entry.deadline.as_micros(),
        );
        writer.execute(RAISE_SCHEDULED, row).await?;
    }
    for gap in gaps {
        let bounds = (gap.from.as_micros(), gap.to.as_micros());
        writer.execute(INSERT_GAP, bounds).await?;
    }
    Ok(())
}

async fn record_check(writer: &mut Writer, check: &Check, counts: &mut Counts) -> Result<()> {
    let body = serde_json::to_string(check).expect("a check has only string keys");
    let mut params = Vec::from(key_values(&check.key()));
    params.push(body.into());
    let inserted = writer.execute(INSERT_UNSETTLED, params).await?;
    if inserted > 0 && check.trigger == Trigger::Schedule {
        counts.add(&check.frequency, &check.key(), check.deadline);
    }
    Ok(())
}

async fn record_missed(
    writer: &mut Writer,
    frequency: &Frequency,
    result: CheckResult,
    counts: &mut Counts,
) -> Result<()> {
    let key = result.key();
    let recorded = writer
        .first(IS_RECORDED, key_values(&key), |_| Ok(()))
        .await?;
    if recorded.is_none() && result.trigger == Trigger::Schedule {
        let deadline = key.slot + Duration::from_micros(result.interval_us);
        counts.add(frequency, &key, deadline);
    }
    write::store_one(writer, result).await
}

/// Newly scheduled checks and their last deadline, by what the ledger counts them under.
#[derive(Default)]
struct Counts(BTreeMap<(Timestamp, Region, Frequency), (u64, Timestamp)>);

impl Counts {
    fn add(&mut self, frequency: &Frequency, key: &CheckKey, deadline: Timestamp) {
        let minute = key.slot.floor(Duration::from_mins(1));
        let entry = (minute, key.region.clone(), frequency.clone());
        let (scheduled, last) = self.0.entry(entry).or_insert((0, deadline));
        *scheduled += 1;
        *last = deadline.max(*last);
    }

    async fn write(self, writer: &mut Writer) -> Result<()> {
        for ((minute, region, frequency), (scheduled, deadline)) in self.0 {
            let entry = (
                minute.as_micros(),
                region.as_str(),
                frequency.as_str(),
                signed(scheduled),
                deadline.as_micros(),
            );
            writer.execute(ADD_SCHEDULED, entry).await?;
        }
        Ok(())
    }
}

async fn recover(connection: &Connection) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut rows = connection.query("SELECT slot FROM watermark", ()).await?;
    if let Some(row) = rows.next().await? {
        recovered.watermark = Some(Timestamp::from_micros(row.get(0)?));
    }
    let mut rows = connection.query(UNSETTLED, ()).await?;
    while let Some(row) = rows.next().await? {
        match serde_json::from_str(row.get_str(0)?) {
            Ok(check) => recovered.unsettled.push(check),
            Err(error) => recovered.unreadable.push(unreadable(&row, &error)?),
        }
    }
    Ok(recovered)
}

fn unreadable(row: &Row, error: &serde_json::Error) -> Result<ResultsError> {
    let (monitor, region) = (row.get_str(1)?, row.get_str(2)?);
    let slot = Timestamp::from_micros(row.get(3)?);
    Ok(corrupt(format!(
        "unsettled check of `{monitor}` in `{region}` at {slot}: {error}"
    )))
}
