//! Questions and answers of the results store.

use serde::Serialize;
use sonde_core::{CheckResult, MonitorId, Outcome, Region, Timestamp, WorkspaceId};

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
    /// Where the previous page ended.
    pub after: Option<Cursor>,
    /// At most this many rows.
    pub limit: u32,
}

/// An opaque place in a listing; text in URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) slot: Timestamp,
    pub(crate) region: String,
    pub(crate) run_id: u64,
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
