//! Which certificates a target showed: they are in the bodies alone, of which one is read per bucket and region.

use std::sync::LazyLock;

use sonde_core::{CheckResult, Timestamp};
use sonde_libsql::libsql::Connection;

use super::buckets::{self, ROWS};
use super::read::readable;
use crate::{CertificateSample, ChartQuery, Result};

/// Who shakes hands has a time for that, and nobody else has certificates: bodies of others are not looked at, but where an
/// earlier release left that time in the body. Each region is read backwards to the first body that has one.
static SAMPLES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT b.body FROM (
    SELECT DISTINCT region FROM check_results WHERE {ROWS} AND (tls_us IS NOT NULL OR http_status IS NULL)
) p CROSS JOIN result_bodies b ON b.id = (
    SELECT r.body FROM check_results r CROSS JOIN result_bodies s ON s.id = r.body
    WHERE r.workspace = ?1 AND r.monitor = ?2 AND r.slot >= ?3 AND r.slot < ?4
    AND r.region = p.region AND r.trigger = 'schedule' AND (r.tls_us IS NOT NULL OR r.http_status IS NULL)
    AND json_valid(s.body) AND s.body ->> '$.tls.certificates[0]' IS NOT NULL
    ORDER BY r.slot DESC LIMIT 1
)
ORDER BY p.region"
    )
});

pub(super) async fn samples(
    connection: &Connection,
    query: &ChartQuery,
) -> Result<Vec<CertificateSample>> {
    let samples = buckets::each(connection, query, query.step, &SAMPLES, |start, row| {
        Ok(readable(row)?.and_then(|result| sample(start, result)))
    });
    Ok(samples.await?.into_iter().flatten().collect())
}

fn sample(start: i64, result: CheckResult) -> Option<CertificateSample> {
    let leaf = result.tls?.certificates.into_iter().next()?;
    Some(CertificateSample {
        start: Timestamp::from_micros(start),
        region: result.region,
        slot: result.slot,
        leaf,
    })
}
