//! `/v1/channels`: where incidents are told, and what was told there.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sonde_core::Timestamp;
use sonde_notify::ChannelConfig;
use sonde_service::Entry;
use sonde_store::Telling;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id, Precondition, Query, etag};
use crate::openapi::{CauseName, TellingState};
use crate::page::PageParameters;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, put, remove))
        .routes(routes!(test))
        .routes(routes!(log))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelList {
    channels: Vec<ChannelBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelBody {
    id: String,
    #[schema(value_type = ChannelRequest)]
    config: ChannelConfig,
    /// The file that it is kept in, where it is not to be changed here.
    managed_by: Option<String>,
    /// One more with every change; also the `ETag`, in quotes.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Where incidents are told, and which.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what ChannelConfig reads")]
pub(crate) struct ChannelRequest {
    /// One kind and its settings, as in `{"slack": {"url": "…"}}`: `webhook`, `email`, `slack`, `discord`, `teams`,
    /// `google_chat`, `telegram`, `pagerduty`, `opsgenie`, `grafana_oncall`, `alertmanager`, `ntfy`, `pushover`,
    /// `mattermost`, `rocket_chat`, `matrix`, `twilio`, `mastodon` or `exec`. Secrets read `REDACTED`; sent back so, they
    /// stay as they are.
    #[schema(value_type = Object, example = json!({ "webhook": { "url": "https://hooks.example/sonde" } }))]
    send: Value,
    /// Only incidents of these monitors.
    #[schema(required = false)]
    monitors: Vec<String>,
    /// Only incidents of monitors with any of these.
    #[schema(required = false)]
    tags: Vec<String>,
    /// Only incidents that are opened for one of these.
    #[schema(required = false)]
    causes: Vec<CauseName>,
    /// So long after the incident was opened, unless somebody acknowledges it before.
    #[schema(required = false, example = "10m")]
    after: String,
    /// Reminds until the incident ends or somebody acknowledges it.
    #[schema(nullable = false, example = "30m")]
    repeat: Option<String>,
    /// When somebody is there to be told; always, without.
    #[schema(nullable = false)]
    hours: Option<HoursBody>,
}

/// Quiet hours, or a rotation in which each has a channel.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Hours reads")]
pub(crate) struct HoursBody {
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// Days and local times; what ends before it begins ends the day after. All of the week where there is none.
    #[schema(required = false, example = json!(["mon-fri 09:00-18:00", "sat 10:00-14:00"]))]
    weekly: Vec<String>,
    /// Only one week of so many.
    #[schema(nullable = false)]
    turn: Option<TurnBody>,
    /// `wait`: told when the hours begin, unless it is over by then. `skip`: not told here, for others are on call.
    #[schema(required = false, example = "skip")]
    outside: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Turn reads")]
pub(crate) struct TurnBody {
    /// How many take turns.
    #[schema(minimum = 2, maximum = 12)]
    of: u32,
    /// The first day of a week in which it is this one's turn.
    #[schema(format = Date, example = "2026-11-30")]
    from: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Tested {
    /// The notice; the channel's log says what becomes of it.
    #[schema(format = "uuid")]
    id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelLog {
    /// The newest first, a hundred at most.
    notices: Vec<TellingBody>,
}

/// What a channel is told, or was.
#[derive(Serialize, ToSchema)]
pub(crate) struct TellingBody {
    #[schema(format = "uuid")]
    id: String,
    #[schema(format = "uuid")]
    incident: String,
    channel: String,
    /// `waiting`, `sent`, `failed`, `dropped`.
    #[schema(value_type = TellingState)]
    state: String,
    /// Tries so far.
    attempts: u32,
    /// When it is tried next, or was last.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    #[schema(value_type = String, format = DateTime, nullable)]
    settled_at: Option<Timestamp>,
    error: Option<String>,
}

/// The channels of the workspace, by id.
#[utoipa::path(get, path = "/v1/channels", tag = "channels", params(PageParameters),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = ChannelList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<ChannelList>, ApiError> {
    let page = access.channels(&page.query()?).await?;
    Ok(Json(ChannelList {
        channels: page.items.into_iter().map(ChannelBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// One channel.
#[utoipa::path(get, path = "/v1/channels/{id}", tag = "channels", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = ChannelBody, headers(("ETag" = String)))))]
async fn show(Caller(access): Caller, Id(id): Id<String>) -> Result<Response, ApiError> {
    Ok(tagged(access.channel(&id).await?).into_response())
}

/// Makes a channel, or makes it as the body says.
///
/// `If-Match` with the ETag refuses what somebody else changed meanwhile.
#[utoipa::path(put, path = "/v1/channels/{id}", tag = "channels", params(("id" = String, Path)),
    request_body = ChannelRequest,
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses(
        (status = 200, body = ChannelBody, headers(("ETag" = String))),
        (status = 201, body = ChannelBody, headers(("ETag" = String), ("Location" = String))),
    ))]
async fn put(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
    Body(config): Body<ChannelConfig>,
) -> Result<Response, ApiError> {
    let (channel, is_new) = access.put_channel(&id, config, expected).await?;
    let location = [(header::LOCATION, format!("/v1/channels/{}", channel.id))];
    if is_new {
        return Ok((StatusCode::CREATED, location, tagged(channel)).into_response());
    }
    Ok(tagged(channel).into_response())
}

/// Removes a channel. What was still to be told there is not.
#[utoipa::path(delete, path = "/v1/channels/{id}", tag = "channels", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 204)))]
async fn remove(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
) -> Result<StatusCode, ApiError> {
    access.remove_channel(&id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells the channel something, to see whether it comes.
#[utoipa::path(post, path = "/v1/channels/{id}/test", tag = "channels", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:write"))),
    responses((status = 202, body = Tested)))]
async fn test(
    Caller(access): Caller,
    Id(id): Id<String>,
) -> Result<(StatusCode, Json<Tested>), ApiError> {
    let id = access.test_channel(&id).await?.to_string();
    Ok((StatusCode::ACCEPTED, Json(Tested { id })))
}

/// What the channel was told, and what is still to be.
#[utoipa::path(get, path = "/v1/channels/{id}/log", tag = "channels", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("alerts:read"))),
    responses((status = 200, body = ChannelLog)))]
async fn log(Caller(access): Caller, Id(id): Id<String>) -> Result<Json<ChannelLog>, ApiError> {
    let notices = access.channel_log(&id).await?.into_iter();
    let notices = notices.map(TellingBody::from).collect();
    Ok(Json(ChannelLog { notices }))
}

fn tagged(channel: Entry<ChannelConfig>) -> impl IntoResponse {
    let version = channel.meta.version;
    (etag(version), Json(ChannelBody::from(channel)))
}

impl From<Entry<ChannelConfig>> for ChannelBody {
    fn from(channel: Entry<ChannelConfig>) -> Self {
        Self {
            id: channel.id,
            config: channel.value,
            managed_by: channel.meta.managed_by,
            version: channel.meta.version,
            created_at: channel.meta.created_at,
            updated_at: channel.meta.updated_at,
        }
    }
}

impl From<Telling> for TellingBody {
    fn from(told: Telling) -> Self {
        Self {
            id: told.id.to_string(),
            incident: told.incident.to_string(),
            channel: told.channel,
            state: told.state,
            attempts: told.attempts,
            due_at: told.due,
            settled_at: told.settled_at,
            error: told.error,
        }
    }
}
