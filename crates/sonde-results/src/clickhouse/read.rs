//! Questions about rows. A row that cannot be read is reported in the log and left out, so that it never hides the others.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;
use sonde_core::{
    Balance, CheckKey, CheckResult, DispatchGap, MonitorId, Region, RunId, Timestamp, WorkspaceId,
};

use super::row::ResultRow;
use super::write::seconds;
use super::{ClickhouseResults, clamped};
use crate::{Cursor, Result, ResultPage, ResultQuery, ResultsError, TimeRange};

const MINUTE: Duration = Duration::from_mins(1);
const ALMOST_A_MINUTE: Duration = Duration::from_micros(59_999_999);

/// An instant bound as microseconds.
const AT: &str = "fromUnixTimestamp64Micro(toInt64(?), 'UTC')";

#[derive(Row, Deserialize)]
struct BalanceRow {
    minute: u32,
    region: String,
    deadlines: Vec<(i64, u64)>,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
}

#[derive(Row, Deserialize)]
struct GapRow {
    begins: i64,
    ends: i64,
}

impl ClickhouseResults {
    /// Keys first, in the few columns that they need; whole rows of these alone.
    pub(super) async fn read_page(&self, query: &ResultQuery) -> Result<ResultPage> {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let end = (clamped(query.range.to), "", RunId::SCHEDULED);
        let before = query.after.as_ref().map_or(end, |after| {
            end.min((clamped(after.slot), after.region.as_str(), after.run_id))
        });
        let region = query.region.as_ref().map(Region::as_str);
        let outcome = query.outcome.map(sonde_core::Outcome::as_str);
        let reason = query.reason.map(sonde_core::Reason::as_str);
        let trigger = query.trigger.map(sonde_core::Trigger::as_str);
        let status = query.status.map(|status| status.to_string());
        let filters = [
            ("http_status", status.as_deref()),
            ("region", region),
            ("outcome", outcome),
            ("reason", reason),
            ("trigger", trigger),
        ];
        let filters = filters
            .into_iter()
            .filter_map(|(column, value)| Some((column, value?)));
        let filters: Vec<(&str, &str)> = filters.collect();
        let (workspace, monitor) = (query.workspace.as_str(), query.monitor.as_str());
        let mut page = self
            .client
            .query(&page_sql(&filters))
            .bind(workspace)
            .bind(monitor)
            .bind(workspace)
            .bind(monitor)
            .bind(clamped(query.range.from))
            .bind(before.0)
            .bind(before.0)
            .bind(before.1)
            .bind(before.2.as_u64());
        for (_, value) in filters {
            page = page.bind(value);
        }
        let mut rows = self.rows(page.bind(u64::from(query.limit) + 1)).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|(key, _)| Cursor {
            slot: key.slot,
            region: key.region.clone(),
            run_id: key.run_id,
        });
        Ok(ResultPage {
            results: rows.into_iter().filter_map(|(_, result)| result).collect(),
            next: last.filter(|_| more),
        })
    }

    pub(super) async fn read_one(&self, key: &CheckKey) -> Result<Option<CheckResult>> {
        let sql = format!(
            "SELECT ?fields FROM check_results FINAL
WHERE workspace = ? AND monitor = ? AND slot = {AT} AND region = ? AND run_id = ?"
        );
        let query = self
            .client
            .query(&sql)
            .bind(key.workspace.as_str())
            .bind(key.monitor.as_str())
            .bind(clamped(key.slot))
            .bind(key.region.as_str())
            .bind(key.run_id.as_u64());
        self.ask(async {
            let mut cursor = query.fetch::<ResultRow<'_>>()?;
            let row = cursor.next().await?;
            Ok(row.map(|row| row.decode()))
        })
        .await?
        .transpose()
        .map_err(ResultsError::from)
    }

    /// Of all monitors, or of these.
    pub(super) async fn read_latest(
        &self,
        workspace: &WorkspaceId,
        monitors: Option<&[MonitorId]>,
    ) -> Result<Vec<CheckResult>> {
        let these = monitors.map_or("", |_| "AND monitor IN ? ");
        let sql = format!(
            "SELECT ?fields FROM latest_results FINAL WHERE workspace = ? {these}
ORDER BY monitor, region, trigger = 'schedule' DESC LIMIT 1 BY monitor, region"
        );
        let mut query = self.client.query(&sql).bind(workspace.as_str());
        if let Some(monitors) = monitors {
            let names: Vec<&str> = monitors.iter().map(MonitorId::as_str).collect();
            query = query.bind(names);
        }
        let rows = self.rows(query).await?;
        Ok(rows.into_iter().filter_map(|(_, result)| result).collect())
    }

    pub(super) async fn read_recent(
        &self,
        workspace: &WorkspaceId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<CheckResult>> {
        let sql = format!(
            "SELECT ?fields FROM check_results FINAL WHERE workspace = ? AND slot >= {AT} ORDER BY slot LIMIT ?"
        );
        let query = self.client.query(&sql).bind(workspace.as_str());
        let rows = self.rows(query.bind(clamped(from)).bind(limit)).await?;
        Ok(rows.into_iter().filter_map(|(_, result)| result).collect())
    }

    /// All rows with their keys; a row without a readable key is left out altogether.
    async fn rows(&self, query: Query) -> Result<Vec<(CheckKey, Option<CheckResult>)>> {
        self.ask(async {
            let mut cursor = query.fetch::<ResultRow<'_>>()?;
            let mut rows = Vec::new();
            while let Some(row) = cursor.next().await? {
                let log = |error: &_| {
                    tracing::error!(%error, "a stored result is unreadable and left out");
                };
                if let Ok(key) = row.key().inspect_err(log) {
                    rows.push((key, row.decode().inspect_err(log).ok()));
                }
            }
            Ok(rows)
        })
        .await
    }

    /// Whole minutes, so that a range that ends within one does not look unbalanced. Heartbeats are scheduled by who sends
    /// them.
    pub(super) async fn read_balances(&self, range: TimeRange) -> Result<Vec<Balance>> {
        const BALANCES: &str = "
SELECT minute, region,
    groupArrayIf((last_deadline, scheduled_checks), last_deadline > 0) AS deadlines,
    sum(ok_checks) AS ok, sum(degraded_checks) AS degraded, sum(failed_checks) AS failed, sum(missed_checks) AS missed
FROM (
    SELECT minute, region, scheduled AS scheduled_checks, toUnixTimestamp64Micro(deadline) AS last_deadline,
        toUInt64(0) AS ok_checks, toUInt64(0) AS degraded_checks, toUInt64(0) AS failed_checks,
        toUInt64(0) AS missed_checks
    FROM ledger FINAL WHERE minute >= toDateTime(?, 'UTC') AND minute < toDateTime(?, 'UTC')
    UNION ALL
    SELECT toStartOfMinute(slot) AS minute, region, toUInt64(0), toInt64(0),
        countIf(outcome = 'ok'), countIf(outcome = 'degraded'), countIf(outcome = 'failed'),
        countIf(outcome = 'missed')
    FROM check_results FINAL
    WHERE slot >= toDateTime(?, 'UTC') AND slot < toDateTime(?, 'UTC') AND trigger = 'schedule' AND region != 'push'
    GROUP BY minute, region
)
GROUP BY minute, region ORDER BY minute, region";
        let from = seconds(range.from.floor(MINUTE));
        let to = seconds((range.to + ALMOST_A_MINUTE).floor(MINUTE));
        let query = self.client.query(BALANCES);
        let query = query.bind(from).bind(to).bind(from).bind(to);
        let rows = self.ask(query.fetch_all::<BalanceRow>()).await?;
        rows.iter().map(balance).collect()
    }

    pub(super) async fn read_gaps(&self, range: TimeRange) -> Result<Vec<DispatchGap>> {
        let sql = format!(
            "SELECT begins, ends FROM dispatch_gaps FINAL
WHERE begins < {AT} AND ends > {AT} ORDER BY begins, ends"
        );
        let query = self.client.query(&sql);
        let query = query.bind(clamped(range.to)).bind(clamped(range.from));
        let rows = self.ask(query.fetch_all::<GapRow>()).await?;
        let gap = |row: GapRow| DispatchGap {
            from: Timestamp::from_micros(row.begins),
            to: Timestamp::from_micros(row.ends),
        };
        Ok(rows.into_iter().map(gap).collect())
    }
}

fn page_sql(filters: &[(&str, &str)]) -> String {
    let filters = filters
        .iter()
        .map(|(column, _)| format!("AND {column} = ? "));
    let filters: String = filters.collect();
    format!(
        "SELECT ?fields FROM check_results FINAL
WHERE workspace = ? AND monitor = ? AND (slot, region, run_id) IN (
    SELECT slot, region, run_id FROM check_results FINAL
    WHERE workspace = ? AND monitor = ? AND slot >= {AT} AND slot <= {AT}
    AND (slot, region, run_id) < ({AT}, ?, ?) {filters}
    ORDER BY slot DESC, region DESC, run_id DESC LIMIT ?
)
ORDER BY slot DESC, region DESC, run_id DESC"
    )
}

fn balance(row: &BalanceRow) -> Result<Balance> {
    let region = Region::new(&row.region).map_err(|error| ResultsError::Corrupt(error.into()))?;
    let minute = Timestamp::from_micros(i64::from(row.minute) * 1_000_000);
    let mut balance = Balance {
        ok: row.ok,
        degraded: row.degraded,
        failed: row.failed,
        missed: row.missed,
        ..Balance::empty(minute, region)
    };
    for (deadline, scheduled) in &row.deadlines {
        balance.schedule(*scheduled, Some(Timestamp::from_micros(*deadline)));
    }
    Ok(balance)
}
