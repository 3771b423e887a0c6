//! `/v1/audit`: who changed what.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_core::Timestamp;
use sonde_store::{ActorKind, AuditAction, AuditEntry, AuditQuery, ResourceKind};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::Query;
use crate::openapi::{ActionName, ActorName, ResourceName};
use crate::page;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// `monitor`, `maintenance`, `channel`, `member`, `invitation`, `api_key`.
    #[param(value_type = Option<ResourceName>)]
    kind: Option<ResourceKind>,
    /// Of one resource.
    id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<i64>,
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuditList {
    entries: Vec<EntryBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// One change of one resource. Secrets read `REDACTED`.
#[derive(Serialize, ToSchema)]
struct EntryBody {
    number: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    actor: ActorBody,
    /// `created`, `updated`, `removed`.
    #[schema(value_type = ActionName)]
    action: AuditAction,
    #[schema(value_type = ResourceName)]
    kind: ResourceKind,
    id: String,
    #[schema(value_type = Object, nullable)]
    before: Option<Value>,
    #[schema(value_type = Object, nullable)]
    after: Option<Value>,
}

#[derive(Serialize, ToSchema)]
struct ActorBody {
    /// `user`, `api_key`, `file`, `operator`.
    #[schema(value_type = ActorName)]
    kind: ActorKind,
    id: String,
    name: String,
}

/// Every change, newest first, as it was written with it.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Parameters),
    extensions(("x-required-scope" = json!("audit:read"))),
    responses((status = 200, body = AuditList)))]
async fn list(
    Caller(access): Caller,
    Query(asked): Query<Parameters>,
) -> Result<Json<AuditList>, ApiError> {
    let query = AuditQuery {
        kind: asked.kind,
        id: asked.id,
        before: asked.cursor,
        limit: page::limit(asked.limit)?,
    };
    let page = access.audit(query).await?;
    Ok(Json(AuditList {
        entries: page.items.into_iter().map(EntryBody::from).collect(),
        next_cursor: page.next,
    }))
}

impl From<AuditEntry> for EntryBody {
    fn from(entry: AuditEntry) -> Self {
        let value = |body: Option<String>| body.and_then(|body| serde_json::from_str(&body).ok());
        Self {
            number: entry.number,
            at: entry.at,
            actor: ActorBody {
                kind: entry.actor.kind,
                id: entry.actor.id,
                name: entry.actor.name,
            },
            action: entry.action,
            kind: entry.kind,
            id: entry.id,
            before: value(entry.before),
            after: value(entry.after),
        }
    }
}
