//! Which certificates a target showed: they are in the bodies alone, of which one is read per bucket and region.

use sonde_core::{CheckResult, Timestamp};
use sonde_libsql::libsql::{Connection, Row};

use super::chart::parameters;
use super::corrupt;
use super::read::{collect, readable};
use crate::{CertificateSample, ChartQuery, Result};

/// Who shakes hands has a time for that, and nobody else has certificates: bodies of others are not looked at, but where an
/// earlier release left that time in the body. Each place is read backwards to the first body that has one.
const SAMPLES: &str = "
WITH places AS (
    SELECT DISTINCT slot - slot % ?1 AS start, region FROM check_results
    WHERE workspace = ?2 AND monitor = ?3 AND slot >= ?4 AND slot < ?5 AND trigger = 'schedule'
    AND (?6 IS NULL OR region = ?6) AND (tls_us IS NOT NULL OR http_status IS NULL)
)
SELECT b.body, p.start FROM places p CROSS JOIN result_bodies b ON b.id = (
    SELECT r.body FROM check_results r CROSS JOIN result_bodies s ON s.id = r.body
    WHERE r.workspace = ?2 AND r.monitor = ?3
    AND r.slot >= max(p.start, ?4) AND r.slot < min(p.start + ?1, ?5)
    AND r.region = p.region AND r.trigger = 'schedule' AND (r.tls_us IS NOT NULL OR r.http_status IS NULL)
    AND json_valid(s.body) AND s.body ->> '$.tls.certificates[0]' IS NOT NULL
    ORDER BY r.slot DESC LIMIT 1
)
ORDER BY p.start, p.region";

pub(super) async fn samples(
    connection: &Connection,
    query: &ChartQuery,
) -> Result<Vec<CertificateSample>> {
    let samples = collect(connection, SAMPLES, parameters(query), |row: &Row| {
        let start = row.get::<i64>(1).map_err(corrupt)?;
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
