//! Rows of earlier releases, which have less in columns: how they are read nevertheless, and how they are completed.

use std::sync::LazyLock;

use super::writer::Writer;
use crate::Result;

/// What such a row's body (`b`) says of a column.
const COLUMNS: [(&str, &str); 7] = [
    ("reason", "b.body ->> '$.reason'"),
    ("dns_us", "CAST(b.body ->> '$.phases_us.dns' AS INTEGER)"),
    (
        "connect_us",
        "CAST(b.body ->> '$.phases_us.connect' AS INTEGER)",
    ),
    ("tls_us", "CAST(b.body ->> '$.phases_us.tls' AS INTEGER)"),
    ("send_us", "CAST(b.body ->> '$.phases_us.send' AS INTEGER)"),
    ("wait_us", "CAST(b.body ->> '$.phases_us.wait' AS INTEGER)"),
    (
        "receive_us",
        "CAST(b.body ->> '$.phases_us.receive' AS INTEGER)",
    ),
];

/// Rows with all of these columns, to select from. Bodies are looked at only where they have to be.
pub(super) static COMPLETE_ROWS: LazyLock<String> = LazyLock::new(|| {
    let columns = COLUMNS.map(|(column, in_body)| {
        format!("iif(r.http_status IS NULL, {in_body}, r.{column}) AS {column}")
    });
    format!(
        "(SELECT r.workspace, r.monitor, r.slot, r.region, r.trigger, r.outcome, r.in_maintenance, r.total_us,
    {}
FROM check_results r LEFT JOIN result_bodies b ON b.id = iif(r.http_status IS NULL, r.body, NULL) AND json_valid(b.body))",
        columns.join(",\n    ")
    )
});

/// A body that is no JSON leaves its row as it is.
static FILL: LazyLock<String> = LazyLock::new(|| {
    let (columns, in_bodies): (Vec<_>, Vec<_>) = COLUMNS.into_iter().unzip();
    format!(
        "UPDATE check_results AS r SET (http_status, {}) = (
    SELECT coalesce(CAST(b.body ->> '$.http.status' AS INTEGER), 0), {}
    FROM result_bodies b WHERE b.id = r.body AND json_valid(b.body))
WHERE slot >= ?1 AND slot < ?2 AND http_status IS NULL",
        columns.join(", "),
        in_bodies.join(", ")
    )
});

const BEFORE: &str = "SELECT before FROM unfilled";
const CHUNK_BEGIN: &str =
    "SELECT slot FROM check_results WHERE slot < ?1 ORDER BY slot DESC LIMIT 1 OFFSET ?2";
const GO_ON: &str = "UPDATE unfilled SET before = ?1";
const DONE: &str = "DELETE FROM unfilled";

/// Completes about `limit` rows, newest first; returns how many, or nothing once all are complete.
pub(super) async fn fill(writer: &mut Writer, limit: u32) -> Result<Option<u64>> {
    let before = writer.first(BEFORE, (), |row| row.get::<i64>(0)).await?;
    let Some(before) = before else {
        return Ok(None);
    };
    let begin = writer
        .first(CHUNK_BEGIN, (before, limit), |row| row.get::<i64>(0))
        .await?;
    let from = begin.unwrap_or(i64::MIN);
    let filled = writer.execute(FILL.as_str(), (from, before)).await?;
    match begin {
        Some(from) => writer.execute(GO_ON, [from]).await?,
        None => writer.execute(DONE, ()).await?,
    };
    Ok(Some(u64::try_from(filled).unwrap_or(u64::MAX)))
}
