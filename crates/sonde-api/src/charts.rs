//! `/v1/monitors/{id}/series`, `/uptime`, `/phases`, `/heatmap`, `/reasons`: what charts and tables of a monitor show.

use std::time::Duration;

use axum::Json;
use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Outcome, Phases, Reason, Region, Timestamp, parse_duration};
use sonde_results::{ChartBucket, ChartQuery, HeatCell, LATENCY_BANDS, TimeRange};
use sonde_service::{Access, usual_step};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Id, Query};
use crate::openapi::{OutcomeName, PhasesBody};
use crate::problem::ApiError;
use crate::results::{Numbers, PlaceParameters, range};

const DAY: Duration = Duration::from_hours(24);
const DEFAULT_DAYS: u32 = 90;
const MAX_DAYS: u32 = 400;
const SHORTEST_STEP: Duration = Duration::from_secs(1);
/// Of a series: what a chart can show.
const MOST_BUCKETS: u64 = 5_000;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(series))
        .routes(routes!(uptime))
        .routes(routes!(phases))
        .routes(routes!(heatmap))
        .routes(routes!(reasons))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SeriesParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
    /// A bucket's length, as in `5m`; a hundredth of the range, rounded up to what people use, when absent.
    #[param(example = "15m")]
    step: Option<String>,
    /// One series per region.
    by_region: Option<bool>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UptimeParameters {
    /// How many days, with today.
    #[param(minimum = 1, maximum = 400, default = 90)]
    days: Option<u32>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HeatParameters {
    /// RFC 3339; a day before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. Not included.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    #[param(value_type = Option<String>)]
    region: Option<Region>,
    /// A bucket's length, as in `5m`; a hundredth of the range, rounded up to what people use, when absent.
    #[param(example = "15m")]
    step: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SeriesBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    step_us: u64,
    /// Oldest first, without empty ones.
    buckets: Vec<BucketBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BucketBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Of a series by region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    region: Option<Region>,
    #[serde(flatten)]
    numbers: Numbers,
    mean_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UptimeBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    /// Days in UTC, oldest first; those without checks are left out.
    days: Vec<DayBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DayBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
    /// Absent where nothing was executed outside maintenance.
    uptime: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PhaseSeriesBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    step_us: u64,
    /// Oldest first, without empty ones.
    buckets: Vec<PhaseBucketBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PhaseBucketBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Of a series by region.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    region: Option<Region>,
    /// Of each phase over those checks in which it happened.
    #[schema(value_type = PhasesBody)]
    mean_us: Phases,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HeatMapBody {
    #[schema(value_type = String)]
    monitor: MonitorId,
    step_us: u64,
    /// Ascending.
    bands: Vec<BandBody>,
    /// Oldest first, without empty ones.
    buckets: Vec<HeatBucketBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BandBody {
    from_us: u64,
    /// Not included; the last band has no end.
    to_us: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HeatBucketBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Checks in each band.
    counts: Vec<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReasonList {
    #[schema(value_type = String)]
    monitor: MonitorId,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    reasons: Vec<ReasonBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReasonBody {
    /// Absent where none was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    reason: Option<Reason>,
    /// `degraded`, `failed` or `missed`.
    #[schema(value_type = OutcomeName)]
    outcome: Outcome,
    #[schema(value_type = String)]
    region: Region,
    count: u64,
    /// When the newest of them was due.
    #[schema(value_type = String, format = DateTime)]
    last: Timestamp,
}

/// What results add up to in buckets, for charts.
#[utoipa::path(get, path = "/v1/monitors/{id}/series", tag = "results",
    params(("id" = String, Path), SeriesParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = SeriesBody)))]
async fn series(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<SeriesParameters>,
) -> Result<Json<SeriesBody>, ApiError> {
    let query = asked.query(&access, &monitor)?;
    let step_us = micros(query.step);
    let buckets = access.chart(query).await?;
    Ok(Json(SeriesBody {
        monitor,
        step_us,
        buckets: buckets.into_iter().map(BucketBody::from).collect(),
    }))
}

/// Uptime by day.
#[utoipa::path(get, path = "/v1/monitors/{id}/uptime", tag = "results",
    params(("id" = String, Path), UptimeParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = UptimeBody)))]
async fn uptime(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<UptimeParameters>,
) -> Result<Json<UptimeBody>, ApiError> {
    let days = asked.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ApiError::Parameter {
            field: "days".to_owned(),
            message: format!("must be 1 to {MAX_DAYS}, got {days}"),
        });
    }
    let now = access.last(DAY);
    let range = TimeRange {
        from: now.to.floor(DAY) - DAY * (days - 1),
        to: now.to,
    };
    let query = ChartQuery {
        workspace: access.workspace().clone(),
        monitor: monitor.clone(),
        region: asked.region,
        by_region: false,
        range,
        step: DAY,
    };
    let days = access.chart(query).await?.into_iter();
    let days = days.map(|ChartBucket { start, summary, .. }| DayBody {
        start,
        ok: summary.ok,
        degraded: summary.degraded,
        failed: summary.failed,
        missed: summary.missed,
        uptime: summary.uptime,
    });
    Ok(Json(UptimeBody {
        monitor,
        days: days.collect(),
    }))
}

/// Where the time went: the mean of each phase over checks that were executed, did not fail and were outside maintenance.
#[utoipa::path(get, path = "/v1/monitors/{id}/phases", tag = "results",
    params(("id" = String, Path), SeriesParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = PhaseSeriesBody)))]
async fn phases(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<SeriesParameters>,
) -> Result<Json<PhaseSeriesBody>, ApiError> {
    let query = asked.query(&access, &monitor)?;
    let step_us = micros(query.step);
    let buckets = access.phases(query).await?.into_iter();
    let buckets = buckets.map(|bucket| PhaseBucketBody {
        start: bucket.start,
        region: bucket.region,
        mean_us: bucket.mean_us,
    });
    Ok(Json(PhaseSeriesBody {
        monitor,
        step_us,
        buckets: buckets.collect(),
    }))
}

/// How the latency of the same checks was distributed.
#[utoipa::path(get, path = "/v1/monitors/{id}/heatmap", tag = "results",
    params(("id" = String, Path), HeatParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = HeatMapBody)))]
async fn heatmap(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<HeatParameters>,
) -> Result<Json<HeatMapBody>, ApiError> {
    let asked = SeriesParameters {
        from: asked.from,
        to: asked.to,
        region: asked.region,
        step: asked.step,
        by_region: None,
    };
    let query = asked.query(&access, &monitor)?;
    let step_us = micros(query.step);
    let cells = access.heat(query).await?;
    Ok(Json(HeatMapBody {
        monitor,
        step_us,
        bands: bands(),
        buckets: columns(&cells),
    }))
}

/// Why checks were not ok, the most frequent reason first.
#[utoipa::path(get, path = "/v1/monitors/{id}/reasons", tag = "results",
    params(("id" = String, Path), PlaceParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = ReasonList)))]
async fn reasons(
    Caller(access): Caller,
    Id(monitor): Id<MonitorId>,
    Query(asked): Query<PlaceParameters>,
) -> Result<Json<ReasonList>, ApiError> {
    let range = range(&access, asked.from, asked.to)?;
    let counts = access.reasons(&monitor, range, asked.region.as_ref());
    let reasons = counts.await?.into_iter().map(|it| ReasonBody {
        reason: it.reason,
        outcome: it.outcome,
        region: it.region,
        count: it.count,
        last: it.last,
    });
    Ok(Json(ReasonList {
        monitor,
        from: range.from,
        to: range.to,
        reasons: reasons.collect(),
    }))
}

impl SeriesParameters {
    fn query(self, access: &Access, monitor: &MonitorId) -> Result<ChartQuery, ApiError> {
        let range = range(access, self.from, self.to)?;
        Ok(ChartQuery {
            workspace: access.workspace().clone(),
            monitor: monitor.clone(),
            region: self.region,
            by_region: self.by_region.unwrap_or(false),
            range,
            step: step(self.step.as_deref(), range)?,
        })
    }
}

pub(crate) fn micros(step: Duration) -> u64 {
    u64::try_from(step.as_micros()).unwrap_or(u64::MAX)
}

fn bands() -> Vec<BandBody> {
    let from = std::iter::once(0).chain(LATENCY_BANDS);
    let to = LATENCY_BANDS.into_iter().map(Some).chain([None]);
    let band = |(from_us, to_us)| BandBody { from_us, to_us };
    from.zip(to).map(band).collect()
}

/// From cells, which are in order.
fn columns(cells: &[HeatCell]) -> Vec<HeatBucketBody> {
    let column = |cells: &[HeatCell]| {
        let mut counts = vec![0; LATENCY_BANDS.len() + 1];
        for cell in cells {
            counts[usize::from(cell.band).min(LATENCY_BANDS.len())] += cell.count;
        }
        HeatBucketBody {
            start: cells[0].start,
            counts,
        }
    };
    let same_column = |a: &HeatCell, b: &HeatCell| a.start == b.start;
    cells.chunk_by(same_column).map(column).collect()
}

fn step(text: Option<&str>, range: TimeRange) -> Result<Duration, ApiError> {
    let length = range.to.since(range.from);
    let wrong = |message: String| ApiError::Parameter {
        field: "step".to_owned(),
        message,
    };
    let Some(text) = text else {
        return Ok(usual_step(range));
    };
    let step = parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    if step < SHORTEST_STEP {
        return Err(wrong("must be 1s or more".to_owned()));
    }
    let count = length.as_micros() / step.as_micros();
    if count > u128::from(MOST_BUCKETS) {
        let message = format!("would make {count} buckets, of {MOST_BUCKETS} at most");
        return Err(wrong(message));
    }
    Ok(step)
}

impl From<ChartBucket> for BucketBody {
    fn from(bucket: ChartBucket) -> Self {
        Self {
            start: bucket.start,
            region: bucket.region,
            numbers: Numbers::from(&bucket.summary),
            mean_us: bucket.mean_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_put_in_their_columns_and_bands_meet() {
        let cell = |start, band| HeatCell {
            start: Timestamp::from_micros(start),
            band,
            count: 3,
        };
        let columns = columns(&[cell(5, 0), cell(5, 15), cell(9, 1)]);
        let counts: Vec<_> = columns.iter().map(|it| &it.counts).collect();
        assert_eq!((counts[0][0], counts[0][15], counts[1][1]), (3, 3, 3));
        assert_eq!(counts.iter().flat_map(|it| *it).sum::<u64>(), 9);
        let bands = bands();
        assert_eq!(bands.len(), counts[0].len());
        let mut pairs = bands.windows(2);
        assert!(pairs.all(|pair| pair[0].to_us == Some(pair[1].from_us)));
        assert_eq!(bands.last().unwrap().to_us, None);
    }
}
