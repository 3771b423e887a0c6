//! Which certificates a target showed: one set of details per bucket and region, from rows.

use clickhouse::Row;
use serde::Deserialize;
use sonde_core::{Region, Timestamp, TlsDetail};

use super::ClickhouseResults;
use super::chart::step_of;
use super::statistics::{Scope, start_of};
use crate::{CertificateSample, ChartQuery, Result};

#[derive(Row, Deserialize)]
struct SampleRow {
    start: i64,
    region: String,
    newest: i64,
    details: String,
}

impl ClickhouseResults {
    pub(super) async fn read_certificates(
        &self,
        query: &ChartQuery,
    ) -> Result<Vec<CertificateSample>> {
        let sql = format!(
            "SELECT ?fields FROM (SELECT {} AS start, region, toUnixTimestamp64Micro(max(slot)) AS newest,
    argMax(tls, slot) AS details
FROM {} AND tls_not_after IS NOT NULL GROUP BY start, region) ORDER BY start, region",
            start_of(step_of(query)),
            Scope::of_chart(query).all_rows()
        );
        let query = self.client.query(&sql);
        let rows = self.ask(query.fetch_all::<SampleRow>()).await?;
        Ok(rows.iter().filter_map(sample).collect())
    }
}

/// What cannot be read is reported in the log and left out, as rows are.
fn sample(row: &SampleRow) -> Option<CertificateSample> {
    let log = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a stored certificate is unreadable and left out");
    };
    let region = Region::new(&row.region).inspect_err(|error| log(error));
    let details = serde_json::from_str::<TlsDetail>(&row.details);
    let details = details.inspect_err(|error| log(error));
    Some(CertificateSample {
        start: Timestamp::from_micros(row.start),
        region: region.ok()?,
        slot: Timestamp::from_micros(row.newest),
        leaf: details.ok()?.certificates.into_iter().next()?,
    })
}
