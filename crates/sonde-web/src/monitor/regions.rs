//! Each region over the range: what it saw, and where it stands.

use sonde_core::Timestamp;

use super::data::Data;
use crate::chart::strip;
use crate::format;

pub(super) struct RegionRow {
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) checks: String,
    pub(super) uptime: String,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p99: String,
    pub(super) trend: String,
    pub(super) last: String,
}

pub(super) fn rows(data: &Data, now: Timestamp) -> Vec<RegionRow> {
    let rows = data.regions.iter().map(|region| {
        let total = data.totals.iter().find(|(of, _)| of == region);
        let summary = total.map(|(_, it)| it.clone()).unwrap_or_default();
        let latest = data.view.latest.iter().find(|it| it.region == *region);
        let of_region = data.buckets_by_region.iter();
        let of_region = of_region.filter(|it| it.region.as_ref() == Some(region));
        let trend: Vec<_> = of_region.map(|it| (it.start, it.summary.p50_us)).collect();
        RegionRow {
            name: region.to_string(),
            state: latest.map_or("none", |it| it.outcome.as_str()),
            checks: format::count(summary.ok + summary.degraded + summary.failed + summary.missed),
            uptime: format::percent(summary.uptime),
            p50: format::latency_or_nothing(summary.p50_us),
            p95: format::latency_or_nothing(summary.p95_us),
            p99: format::latency_or_nothing(summary.p99_us),
            trend: strip::trend(&trend, data.range, data.step),
            last: latest.map_or_else(|| "no check yet".to_owned(), |it| format::ago(now, it.slot)),
        }
    });
    rows.collect()
}
