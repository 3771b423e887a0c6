//! Questions and answers of the results store.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use sonde_core::{
    CertificateDetail, CheckResult, MonitorId, Outcome, Phases, Reason, Region, RunId, Timestamp,
    Trigger, WorkspaceId,
};

use crate::ResultsError;

/// Slots in `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// A listing of one monitor's rows.
#[derive(Debug, Clone)]
pub struct ResultQuery {
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    pub range: TimeRange,
    pub region: Option<Region>,
    pub outcome: Option<Outcome>,
    pub reason: Option<Reason>,
    pub trigger: Option<Trigger>,
    /// HTTP status of the last answer.
    pub status: Option<u16>,
    /// Where the previous page ended.
    pub after: Option<Cursor>,
    /// At most this many rows.
    pub limit: u32,
}

/// An opaque place in a listing; text in URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) slot: Timestamp,
    pub(crate) region: Region,
    pub(crate) run_id: RunId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            slot,
            region,
            run_id,
        } = self;
        write!(f, "{}.{region}.{run_id}", slot.as_micros())
    }
}

impl FromStr for Cursor {
    type Err = ResultsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (slot, rest) = text.split_once('.')?;
            let (region, run_id) = rest.split_once('.')?;
            Some(Self {
                slot: Timestamp::from_micros(slot.parse().ok()?),
                region: Region::new(region).ok()?,
                run_id: RunId::from_u64(run_id.parse().ok()?),
            })
        };
        parse().ok_or_else(|| ResultsError::InvalidCursor(text.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ResultPage {
    pub results: Vec<CheckResult>,
    /// Present when there may be more.
    pub next: Option<Cursor>,
}

/// Counts by outcome and latency quantiles in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    pub ok: u64,
    pub degraded: u64,
    pub failed: u64,
    pub missed: u64,
    /// (ok + degraded) / (ok + degraded + failed), outside maintenance; absent where nothing was executed.
    pub uptime: Option<f64>,
    pub p50_us: Option<u64>,
    pub p75_us: Option<u64>,
    pub p90_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// A part of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    pub monitor: MonitorId,
    pub start: Timestamp,
    pub ok: u64,
    pub degraded: u64,
    pub failed: u64,
    pub missed: u64,
    /// Mean latency of executed, not failed checks.
    pub mean_us: Option<u64>,
}

/// A monitor's scheduled rows over time, for charts.
#[derive(Debug, Clone)]
pub struct ChartQuery {
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    pub region: Option<Region>,
    /// A bucket per region in place of one for all.
    pub by_region: bool,
    pub range: TimeRange,
    /// A bucket's length; buckets begin at its multiples.
    pub step: Duration,
}

impl ChartQuery {
    /// The same in one bucket, which holds whatever there is: from 1970 to 2069.
    #[must_use]
    pub fn whole(&self) -> Self {
        const CENTURY: Duration = Duration::from_hours(24 * 36_500);
        Self {
            step: CENTURY,
            ..self.clone()
        }
    }
}

/// What one monitor's charts of outcomes and latency are drawn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Charts {
    pub summary: Summary,
    pub buckets: Vec<ChartBucket>,
    /// Of every region, whichever was asked for.
    pub by_region: Vec<ChartBucket>,
    /// Each region over the whole range, likewise.
    pub regions: Vec<(Region, Summary)>,
    pub heat: Vec<HeatCell>,
}

/// A part of a chart: what a summary says, of this part alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartBucket {
    pub start: Timestamp,
    /// Where buckets are by region.
    pub region: Option<Region>,
    pub summary: Summary,
    /// Mean latency of executed, not failed checks.
    pub mean_us: Option<u64>,
}

/// A part of a chart of phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseBucket {
    pub start: Timestamp,
    /// Where buckets are by region.
    pub region: Option<Region>,
    /// Each phase's mean over the measured checks in which it happened.
    pub mean_us: Phases,
}

/// Bounds between bands of latency in microseconds, ascending: 1-2-5 from 1 ms, up to 30 s. A band ends before its
/// bound, and one band more has what is as long as the last bound or longer.
pub const LATENCY_BANDS: [u64; 15] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000, 20_000_000, 30_000_000,
];

/// A cell of a heat map that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeatCell {
    pub start: Timestamp,
    /// How many of [`LATENCY_BANDS`] the latency reached.
    pub band: u8,
    /// Measured checks: executed, not failed, outside maintenance, and with a latency.
    pub count: u64,
}

/// How many of [`LATENCY_BANDS`] a latency reached.
pub(crate) fn band_of(latency_us: u64) -> u8 {
    let reached = LATENCY_BANDS.partition_point(|bound| *bound <= latency_us);
    u8::try_from(reached).unwrap_or(u8::MAX)
}

/// The same as SQL.
pub(crate) fn band_sql(latency: &str) -> String {
    let below = LATENCY_BANDS.iter().enumerate();
    let below = below.map(|(band, bound)| format!("WHEN {latency} < {bound} THEN {band} "));
    let last = LATENCY_BANDS.len();
    format!("CASE {}ELSE {last} END", below.collect::<String>())
}

/// The certificate that a target showed, as the newest check of a bucket that saw one in this region did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSample {
    /// Of the bucket.
    pub start: Timestamp,
    pub region: Region,
    /// Of the check.
    pub slot: Timestamp,
    /// The target's own, which stands first in its chain.
    pub leaf: CertificateDetail,
}

/// How many scheduled checks there were of all monitors, twice over: for each monitor and in each region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub by_monitor: Vec<UsageBucket<MonitorId>>,
    pub by_region: Vec<UsageBucket<Region>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageBucket<T> {
    pub start: Timestamp,
    pub of: T,
    pub executed: u64,
    pub missed: u64,
}

/// How often scheduled checks were not ok for the same reason, in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonCount {
    pub reason: Option<Reason>,
    pub outcome: Outcome,
    pub region: Region,
    pub count: u64,
    /// The newest one's slot.
    pub last: Timestamp,
}

impl ReasonCount {
    /// From what a store has of it; what cannot be read is reported in the log and left out, as rows are.
    pub(crate) fn read(
        (reason, outcome, region): (&str, &str, &str),
        count: u64,
        last: i64,
    ) -> Option<Self> {
        let read = || {
            Some(Self {
                reason: match reason {
                    "" => None,
                    name => Some(Reason::from_name(name)?),
                },
                outcome: Outcome::from_name(outcome)?,
                region: Region::new(region).ok()?,
                count,
                last: Timestamp::from_micros(last),
            })
        };
        let found = read();
        if found.is_none() {
            tracing::error!(
                reason,
                outcome,
                region,
                count,
                "stored results are unreadable and left out"
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text_and_nothing_else_does() {
        let cursor = Cursor {
            slot: Timestamp::from_micros(-5),
            region: Region::local(),
            run_id: RunId::from_u64(7),
        };
        assert_eq!(cursor.to_string(), "-5.local.7");
        assert_eq!("-5.local.7".parse::<Cursor>().unwrap(), cursor);
        for text in ["", "5", "5.local", "5.local.", "5.No Region.7", "x.local.7"] {
            let error = text.parse::<Cursor>().unwrap_err();
            assert!(matches!(error, ResultsError::InvalidCursor(seen) if seen == text));
        }
    }
}
