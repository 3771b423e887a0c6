//! `/v1/usage`: what a workspace uses.

use axum::Json;
use serde::{Deserialize, Serialize};
use sonde_core::{Kind, Region, Timestamp};
use sonde_service::{DayUsage, ResourceUsage, UsageReport};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::Query;
use crate::openapi::{KindName, ResourceName};
use crate::problem::ApiError;

const DEFAULT_DAYS: u32 = 30;
const MAX_DAYS: u32 = 92;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(usage))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsageParameters {
    /// How many days, with today.
    #[param(minimum = 1, maximum = 92, default = 30)]
    days: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UsageBody {
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Every day in UTC, oldest first; the last one is today.
    days: Vec<DayUsageBody>,
    configured: ConfiguredBody,
    resources: Vec<ResourceCount>,
}

/// Scheduled checks of a day. Those on demand are not among them.
#[derive(Serialize, ToSchema)]
pub(crate) struct DayUsageBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    executed: u64,
    missed: u64,
    by_kind: Vec<KindChecks>,
    by_region: Vec<RegionChecks>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KindChecks {
    /// What its monitors are now; absent for those that are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<KindName>, nullable = false)]
    kind: Option<Kind>,
    executed: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RegionChecks {
    #[schema(value_type = String)]
    region: Region,
    executed: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConfiguredBody {
    monitors: u64,
    /// Of monitors that are not paused, in all their regions.
    checks_per_day: u64,
    by_kind: Vec<KindCount>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KindCount {
    #[schema(value_type = KindName)]
    kind: Kind,
    monitors: u64,
    /// Of these.
    paused: u64,
    /// Heartbeats are told, not checked.
    checks_per_day: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ResourceCount {
    #[schema(value_type = ResourceName)]
    kind: &'static str,
    count: u64,
    /// How many a workspace may have, where there is a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    most: Option<u32>,
}

/// What the workspace uses: scheduled checks day by day, what is configured now, and limits where there are any.
#[utoipa::path(get, path = "/v1/usage", tag = "results",
    params(UsageParameters),
    extensions(("x-required-scope" = json!("results:read"))),
    responses((status = 200, body = UsageBody)))]
async fn usage(
    Caller(access): Caller,
    Query(asked): Query<UsageParameters>,
) -> Result<Json<UsageBody>, ApiError> {
    let days = asked.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ApiError::Parameter {
            field: "days".to_owned(),
            message: format!("must be 1 to {MAX_DAYS}, got {days}"),
        });
    }
    Ok(Json(access.usage(days).await?.into()))
}

impl From<UsageReport> for UsageBody {
    fn from(report: UsageReport) -> Self {
        let kinds = report.configured.iter();
        let kinds = kinds.map(|(kind, it)| KindCount {
            kind: *kind,
            monitors: it.monitors,
            paused: it.paused,
            checks_per_day: it.checks_per_day,
        });
        let configured = ConfiguredBody {
            monitors: report.monitors(),
            checks_per_day: report.checks_per_day(),
            by_kind: kinds.collect(),
        };
        Self {
            from: report.range.from,
            to: report.range.to,
            days: report.days.into_iter().map(DayUsageBody::from).collect(),
            configured,
            resources: report.resources.iter().map(ResourceCount::from).collect(),
        }
    }
}

impl From<DayUsage> for DayUsageBody {
    fn from(day: DayUsage) -> Self {
        let by_kind = day.by_kind.into_iter();
        let by_region = day.by_region.into_iter();
        Self {
            start: day.start,
            executed: day.executed,
            missed: day.missed,
            by_kind: by_kind
                .map(|(kind, executed)| KindChecks { kind, executed })
                .collect(),
            by_region: by_region
                .map(|(region, executed)| RegionChecks { region, executed })
                .collect(),
        }
    }
}

impl From<&ResourceUsage> for ResourceCount {
    fn from(usage: &ResourceUsage) -> Self {
        Self {
            kind: usage.kind.as_str(),
            count: usage.count,
            most: usage.most,
        }
    }
}
