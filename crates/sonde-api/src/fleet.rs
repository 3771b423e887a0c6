//! `/v1/regions`, `/v1/fleet`, `/v1/ledger`: where checks run, and the proof that none is lost.

use std::time::Duration;

use axum::Json;
use serde::{Deserialize, Serialize};
use sonde_core::{Region, Timestamp};
use sonde_queue::fleet::CheckerStatus;
use sonde_results::TimeRange;
use sonde_service::fleet::{Fleet, RegionView};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::Query;
use crate::problem::ApiError;

/// What is looked at of the ledger when no range is given, and at most.
const DEFAULT_RANGE: Duration = Duration::from_hours(1);
const LONGEST_RANGE: Duration = Duration::from_hours(24);

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(regions))
        .routes(routes!(fleet))
        .routes(routes!(ledger))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RegionList {
    regions: Vec<RegionBody>,
}

/// A place where checks run.
#[derive(Serialize, ToSchema)]
pub(crate) struct RegionBody {
    #[schema(value_type = String)]
    region: Region,
    /// How many checkers answered just now.
    checkers: usize,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct FleetBody {
    regions: Vec<FleetRegion>,
    backlog: BacklogBody,
}

#[derive(Serialize, ToSchema)]
struct FleetRegion {
    #[schema(value_type = String)]
    region: Region,
    checkers: Vec<CheckerBody>,
    /// Checks that wait in its queues; absent when a queue is not declared.
    waiting: Option<u64>,
}

/// A checker, as it told just now.
#[derive(Serialize, ToSchema)]
struct CheckerBody {
    id: String,
    version: String,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    in_flight: u32,
    permits: u32,
    executed: u64,
    queue_wait_us: u64,
    clock_offset_us: Option<i64>,
    unwell: Option<String>,
    draining: bool,
}

/// Messages that wait to be stored; absent when a queue is not declared.
#[derive(Serialize, ToSchema)]
struct BacklogBody {
    results: Option<u64>,
    dead: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LedgerParameters {
    /// RFC 3339; an hour before `to` when absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// RFC 3339; now when absent. At most a day after `from`.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LedgerBody {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Per minute and region, oldest first.
    minutes: Vec<MinuteBody>,
    /// When nothing was dispatched.
    gaps: Vec<GapBody>,
}

/// Once all have had their time, `scheduled = ok + degraded + failed + missed`.
#[derive(Serialize, ToSchema)]
struct MinuteBody {
    #[schema(value_type = String, format = DateTime)]
    minute: Timestamp,
    #[schema(value_type = String)]
    region: Region,
    scheduled: u64,
    ok: u64,
    degraded: u64,
    failed: u64,
    missed: u64,
}

#[derive(Serialize, ToSchema)]
struct GapBody {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
}

/// The regions that monitors name or checkers are in.
#[utoipa::path(get, path = "/v1/regions", tag = "fleet",
    extensions(("x-required-scope" = json!("fleet:read"))),
    responses((status = 200, body = RegionList)))]
async fn regions(Caller(access): Caller) -> Result<Json<RegionList>, ApiError> {
    let regions = access.fleet().await?.regions.into_iter();
    let regions = regions.map(|view| RegionBody {
        region: view.region,
        checkers: view.checkers.len(),
    });
    Ok(Json(RegionList {
        regions: regions.collect(),
    }))
}

/// Every checker that answers within a second, and what waits for them and for the store.
#[utoipa::path(get, path = "/v1/fleet", tag = "fleet",
    extensions(("x-required-scope" = json!("fleet:read"))),
    responses((status = 200, body = FleetBody)))]
async fn fleet(Caller(access): Caller) -> Result<Json<FleetBody>, ApiError> {
    let Fleet { regions, backlog } = access.fleet().await?;
    Ok(Json(FleetBody {
        regions: regions.into_iter().map(FleetRegion::from).collect(),
        backlog: BacklogBody {
            results: backlog.results,
            dead: backlog.dead,
        },
    }))
}

/// What was scheduled against what came of it, over all workspaces.
#[utoipa::path(get, path = "/v1/ledger", tag = "fleet", params(LedgerParameters),
    extensions(("x-required-scope" = json!("fleet:read"))),
    responses((status = 200, body = LedgerBody)))]
async fn ledger(
    Caller(access): Caller,
    Query(asked): Query<LedgerParameters>,
) -> Result<Json<LedgerBody>, ApiError> {
    let to = asked.to.unwrap_or_else(|| access.last(DEFAULT_RANGE).to);
    let from = asked.from.unwrap_or(to - DEFAULT_RANGE);
    if from >= to || to.since(from) > LONGEST_RANGE {
        return Err(ApiError::Parameter {
            field: "from".to_owned(),
            message: format!("must be up to a day before `to` ({to}), got {from}"),
        });
    }
    let (balances, gaps) = access.ledger(TimeRange { from, to }).await?;
    let minutes = balances.into_iter().map(|balance| MinuteBody {
        minute: balance.minute,
        region: balance.region,
        scheduled: balance.scheduled,
        ok: balance.ok,
        degraded: balance.degraded,
        failed: balance.failed,
        missed: balance.missed,
    });
    let gap = |gap: sonde_core::DispatchGap| GapBody {
        from: gap.from,
        to: gap.to,
    };
    Ok(Json(LedgerBody {
        from,
        to,
        minutes: minutes.collect(),
        gaps: gaps.into_iter().map(gap).collect(),
    }))
}

impl From<RegionView> for FleetRegion {
    fn from(view: RegionView) -> Self {
        Self {
            region: view.region,
            checkers: view.checkers.into_iter().map(CheckerBody::from).collect(),
            waiting: view.queues.map(|queues| queues.ready),
        }
    }
}

impl From<CheckerStatus> for CheckerBody {
    fn from(status: CheckerStatus) -> Self {
        Self {
            id: status.id,
            version: status.version,
            started_at: status.started_at,
            in_flight: status.in_flight,
            permits: status.permits,
            executed: status.executed,
            queue_wait_us: status.queue_wait_us,
            clock_offset_us: status.clock_offset_us,
            unwell: status.unwell,
            draining: status.draining,
        }
    }
}
