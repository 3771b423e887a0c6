//! `/v1/keys`: API keys.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Scope, Timestamp};
use sonde_service::{KeyView, NewKey, Token};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id, Query};
use crate::openapi::ScopeName;
use crate::page::PageParameters;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(rotate))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KeyList {
    keys: Vec<KeyBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: String,
    name: String,
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<Scope>,
    /// Only these monitors; all of them when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    only: Option<Vec<MonitorId>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// A key with its secret, which is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyWithSecret {
    /// Send it as `Authorization: Bearer …`.
    secret: String,
    #[serde(flatten)]
    key: KeyBody,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `monitors:read`, `monitors:write`, `results:read`, `checks:run`, `fleet:read`, `members:read`, `members:write`,
    /// `keys:read`, `keys:write`, `audit:read`.
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<Scope>,
    /// Only these monitors.
    #[schema(value_type = Option<Vec<String>>)]
    only: Option<Vec<MonitorId>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// The API keys of the workspace.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", params(PageParameters),
    extensions(("x-required-scope" = json!("keys:read"))),
    responses((status = 200, body = KeyList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<KeyList>, ApiError> {
    let page = access.keys(&page.query()?).await?;
    Ok(Json(KeyList {
        keys: page.items.into_iter().map(KeyBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// Makes a key. It can do no more than who makes it.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest,
    extensions(("x-required-scope" = json!("keys:write"))),
    responses((status = 201, body = KeyWithSecret, headers(("Location" = String)))))]
async fn create(
    Caller(access): Caller,
    Body(wanted): Body<KeyRequest>,
) -> Result<Response, ApiError> {
    let new = NewKey {
        name: wanted.name,
        scopes: wanted.scopes,
        only: wanted.only,
        expires_at: wanted.expires_at,
    };
    let (key, secret) = access.create_key(new).await?;
    let location = [(header::LOCATION, format!("/v1/keys/{}", key.key.id))];
    let body = Json(KeyWithSecret::new(key, &secret));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("keys:read"))),
    responses((status = 200, body = KeyBody)))]
async fn show(Caller(access): Caller, Id(id): Id<String>) -> Result<Json<KeyBody>, ApiError> {
    Ok(Json(access.key(&id).await?.into()))
}

/// Gives a key another secret; the one before opens nothing from now on.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", tag = "keys", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("keys:write"))),
    responses((status = 200, body = KeyWithSecret)))]
async fn rotate(
    Caller(access): Caller,
    Id(id): Id<String>,
) -> Result<Json<KeyWithSecret>, ApiError> {
    let (key, secret) = access.rotate_key(&id).await?;
    Ok(Json(KeyWithSecret::new(key, &secret)))
}

/// Removes a key, which opens nothing from now on.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("keys:write"))),
    responses((status = 204)))]
async fn remove(Caller(access): Caller, Id(id): Id<String>) -> Result<StatusCode, ApiError> {
    access.remove_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl KeyWithSecret {
    fn new(key: KeyView, secret: &Token) -> Self {
        Self {
            secret: secret.expose().to_owned(),
            key: key.into(),
        }
    }
}

impl From<KeyView> for KeyBody {
    fn from(view: KeyView) -> Self {
        let key = view.key.value;
        Self {
            id: view.key.id,
            name: key.name,
            scopes: key.scopes,
            only: key.only,
            expires_at: key.expires_at,
            created_by: key.created_by,
            created_at: view.key.meta.created_at,
            last_used_at: view.last_used_at,
        }
    }
}
