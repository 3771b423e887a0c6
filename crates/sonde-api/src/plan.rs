//! `/v1/plan` and `/v1/apply`: monitoring as code.

use axum::Json;
use axum::extract::DefaultBodyLimit;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sonde_service::{Action, Plan, WantedFile};
use sonde_store::ResourceKind;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::ApiError;

/// Ten thousand monitors with all their settings written out are 10 MB.
const LARGEST_FILE: usize = 32 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(plan))
        .routes(routes!(apply))
        .layer(DefaultBodyLimit::max(LARGEST_FILE))
}

/// What the workspace should have.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRequest {
    /// By id, each as in `sonde.yaml`. `paused` counts for new monitors only.
    #[schema(value_type = std::collections::HashMap<String, crate::openapi::MonitorConfig>)]
    monitors: Map<String, Value>,
    /// By id, each as in `PUT /v1/channels/{id}`. Without it channels stay as they are. Takes the scope `alerts:read`, and
    /// `alerts:write` to apply.
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<std::collections::HashMap<String, crate::channels::ChannelRequest>>)]
    channels: Option<Map<String, Value>>,
    /// By id, each as in `POST /v1/maintenance`. Without it maintenance stays as it is.
    #[serde(default)]
    #[schema(nullable = false, value_type = Option<std::collections::HashMap<String, crate::maintenance::MaintenanceRequest>>)]
    maintenance: Option<Map<String, Value>>,
    /// Removes what is not named, of the kinds that are here.
    #[serde(default)]
    #[schema(required = false)]
    prune: bool,
    /// Of a plan: refuses to do anything else than what was shown. `POST /v1/apply` only.
    #[schema(nullable = false)]
    fingerprint: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PlanBody {
    changes: Vec<ChangeBody>,
    /// How much stays as it is.
    unchanged: usize,
    fingerprint: String,
}

#[derive(Serialize, ToSchema)]
struct ChangeBody {
    /// `create`, `update`, `remove`.
    #[schema(value_type = String)]
    action: Action,
    /// `monitor`, `channel`, `maintenance`.
    #[schema(value_type = String)]
    kind: ResourceKind,
    id: String,
    fields: Vec<FieldBody>,
}

/// A setting that changes. Secrets read `REDACTED`.
#[derive(Serialize, ToSchema)]
struct FieldBody {
    path: String,
    before: Value,
    after: Value,
    secret: bool,
}

/// What `POST /v1/apply` would change.
#[utoipa::path(post, path = "/v1/plan", tag = "monitoring as code", request_body = FileRequest,
    extensions(("x-required-scope" = json!("monitors:read"))),
    responses((status = 200, body = PlanBody)))]
async fn plan(
    Caller(access): Caller,
    Body(file): Body<FileRequest>,
) -> Result<Json<PlanBody>, ApiError> {
    let plan = access.plan(file.into()).await?;
    Ok(Json(plan.into()))
}

/// Makes the workspace have these monitors, channels and maintenance: all changes at once, or none. Once more changes nothing.
#[utoipa::path(post, path = "/v1/apply", tag = "monitoring as code", request_body = FileRequest,
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = PlanBody)))]
async fn apply(
    Caller(access): Caller,
    Body(file): Body<FileRequest>,
) -> Result<Json<PlanBody>, ApiError> {
    let fingerprint = file.fingerprint.clone();
    let plan = access.apply(file.into(), fingerprint.as_deref()).await?;
    Ok(Json(plan.into()))
}

impl From<FileRequest> for WantedFile {
    fn from(file: FileRequest) -> Self {
        Self {
            monitors: file.monitors,
            channels: file.channels,
            maintenance: file.maintenance,
            prune: file.prune,
        }
    }
}

impl From<Plan> for PlanBody {
    fn from(plan: Plan) -> Self {
        let fingerprint = plan.fingerprint().to_owned();
        let changes = plan.changes.into_iter().map(|change| ChangeBody {
            action: change.action,
            kind: change.kind,
            id: change.id,
            fields: change
                .fields
                .into_iter()
                .map(|field| FieldBody {
                    path: field.path,
                    before: field.before.unwrap_or_default(),
                    after: field.after.unwrap_or_default(),
                    secret: field.secret,
                })
                .collect(),
        });
        Self {
            changes: changes.collect(),
            unchanged: plan.unchanged,
            fingerprint,
        }
    }
}
