//! What changes rows of results. Which of two results stays is decided by `sonde_core::merge` alone.

use sonde_core::{CheckResult, Phases, Reason, Timestamp, Trigger, merge};
use sonde_libsql::libsql::Value;

use super::writer::Writer;
use super::{key_values, run_id_value, signed};
use crate::Result;

const FIND_BODY: &str = "
SELECT b.id, b.body FROM check_results r JOIN result_bodies b ON b.id = r.body
WHERE r.workspace = ?1 AND r.monitor = ?2 AND r.slot = ?3 AND r.region = ?4 AND r.run_id = ?5";
const INSERT_BODY: &str = "INSERT INTO result_bodies (body) VALUES (?1)";
const UPDATE_BODY: &str = "UPDATE result_bodies SET body = ?2 WHERE id = ?1";
const INSERT: &str = "INSERT INTO check_results
(workspace, monitor, slot, region, run_id, trigger, outcome, total_us, in_maintenance, body,
reason, http_status, dns_us, connect_us, tls_us, send_us, wait_us, receive_us)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
const UPDATE: &str = "UPDATE check_results
SET trigger = ?6, outcome = ?7, total_us = ?8, in_maintenance = ?9, body = ?10, reason = ?11, http_status = ?12,
dns_us = ?13, connect_us = ?14, tls_us = ?15, send_us = ?16, wait_us = ?17, receive_us = ?18
WHERE workspace = ?1 AND monitor = ?2 AND slot = ?3 AND region = ?4 AND run_id = ?5";
const NOTE_LATEST: &str = "INSERT INTO latest_results
(workspace, monitor, region, scheduled, slot, run_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET slot = excluded.slot, run_id = excluded.run_id, body = excluded.body
WHERE (excluded.slot, excluded.run_id) > (slot, run_id)";
const SETTLE: &str = "DELETE FROM unsettled_checks
WHERE workspace = ?1 AND monitor = ?2 AND slot = ?3 AND region = ?4 AND run_id = ?5";

pub(super) async fn store(writer: &mut Writer, results: Vec<CheckResult>) -> Result<()> {
    for result in results {
        store_one(writer, result).await?;
    }
    Ok(())
}

/// Merges a result into its row and settles its check.
pub(super) async fn store_one(writer: &mut Writer, result: CheckResult) -> Result<()> {
    let key = key_values(&result.key());
    let stored = writer
        .first(FIND_BODY, key.clone(), |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })
        .await?;
    match stored {
        None => insert(writer, &result).await?,
        Some((id, body)) => match serde_json::from_str::<CheckResult>(&body) {
            Ok(stored) => {
                let merged = merge(stored.clone(), result);
                if merged != stored {
                    update(writer, id, &merged).await?;
                }
            }
            Err(error) => {
                tracing::error!(check.id = %result.check_id, %error, "an unreadable row is replaced");
                update(writer, id, &result).await?;
            }
        },
    }
    writer.execute(SETTLE, key).await?;
    Ok(())
}

async fn insert(writer: &mut Writer, result: &CheckResult) -> Result<()> {
    writer.execute(INSERT_BODY, [body(result)]).await?;
    let id = writer.last_inserted();
    writer.execute(INSERT, columns(result, id)).await?;
    let latest = (
        result.workspace.as_str(),
        result.monitor.as_str(),
        result.region.as_str(),
        result.trigger == Trigger::Schedule,
        result.slot.as_micros(),
        run_id_value(result.run_id),
        id,
    );
    writer.execute(NOTE_LATEST, latest).await?;
    Ok(())
}

async fn update(writer: &mut Writer, id: i64, result: &CheckResult) -> Result<()> {
    writer.execute(UPDATE_BODY, (id, body(result))).await?;
    writer.execute(UPDATE, columns(result, id)).await?;
    Ok(())
}

fn body(result: &CheckResult) -> String {
    serde_json::to_string(result).expect("a result has only string keys")
}

fn columns(result: &CheckResult, body: i64) -> Vec<Value> {
    let mut columns = Vec::from(key_values(&result.key()));
    columns.extend([
        result.trigger.as_str().into(),
        result.outcome.as_str().into(),
        result.total_us.map(signed).into(),
        i64::from(result.in_maintenance).into(),
        body.into(),
        result.reason.map(Reason::as_str).into(),
        result
            .http
            .as_ref()
            .map_or(0, |http| i64::from(http.status))
            .into(),
    ]);
    columns.extend(phases(&result.phases_us));
    columns
}

fn phases(phases: &Phases) -> [Value; 6] {
    let Phases {
        dns,
        connect,
        tls,
        send,
        wait,
        receive,
    } = *phases;
    [dns, connect, tls, send, wait, receive].map(|phase| phase.map(signed).into())
}

const CHUNK_END: &str =
    "SELECT slot FROM check_results WHERE slot < ?1 ORDER BY slot LIMIT 1 OFFSET ?2";
const DELETE: &str = "DELETE FROM check_results WHERE slot <= ?1";
const DELETE_LATEST: &str = "DELETE FROM latest_results WHERE slot <= ?1";
const DELETE_BODIES: &str = "DELETE FROM result_bodies
WHERE id IN (SELECT body FROM check_results WHERE slot <= ?1)";

pub(super) struct Pruned {
    pub(super) deleted: u64,
    /// Nothing older is left.
    pub(super) last: bool,
}

/// Deletes about `limit` of the oldest results; with the last ones also everything else that is older than `before`.
pub(super) async fn prune(writer: &mut Writer, before: Timestamp, limit: u32) -> Result<Pruned> {
    let before = before.as_micros();
    let chunk_end = writer
        .first(CHUNK_END, (before, limit), |row| row.get::<i64>(0))
        .await?;
    let last = chunk_end.is_none();
    let up_to = [chunk_end.unwrap_or(before - 1)];
    writer.execute(DELETE_BODIES, up_to).await?;
    writer.execute(DELETE_LATEST, up_to).await?;
    let deleted = writer.execute(DELETE, up_to).await?;
    if last {
        for statement in [
            "DELETE FROM ledger WHERE minute < ?1",
            "DELETE FROM dispatch_gaps WHERE ends <= ?1",
            "DELETE FROM unsettled_checks WHERE slot < ?1",
        ] {
            writer.execute(statement, [before]).await?;
        }
    }
    Ok(Pruned {
        deleted: u64::try_from(deleted).unwrap_or(u64::MAX),
        last,
    })
}
