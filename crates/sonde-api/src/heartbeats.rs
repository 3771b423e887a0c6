//! `/v1/heartbeats/{token}`: what jobs call to tell that they are well; and where to learn that address.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, parse_duration};
use sonde_service::{Ping, Token, Told};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Caller;
use crate::extract::{Id, unreadable};
use crate::problem::{ApiError, method_not_allowed};
use crate::{Api, limits};

/// Longer jobs tell in between.
const LONGEST: Duration = Duration::from_hours(365 * 24);

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(rotate))
}

/// Whoever has the address may tell.
pub(crate) fn public() -> OpenApiRouter<Api> {
    // A HEAD is sent by who looks whether there is something, which is no sign of life.
    let (schemas, paths, methods) = routes!(call, ping);
    let plain = (schemas, paths, methods.head(method_not_allowed));
    let (schemas, paths, methods) = routes!(call_with_status, ping_with_status);
    let with_status = (schemas, paths, methods.head(method_not_allowed));
    OpenApiRouter::new().routes(plain).routes(with_status)
}

/// Where a job tells that it is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeartbeatAddress {
    /// A secret: whoever has it can tell in the job's name.
    #[schema(example = "https://sonde.example/v1/heartbeats/sonde_beat_…")]
    url: String,
}

/// What a job tells, in the query or in a JSON body; a body that is no JSON is the message. All of it may be left out.
#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PingBody {
    /// `ok`, `degraded`, `fail`; or the exit status of a command, where 0 is `ok` and everything else `fail`.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "ok")]
    #[schema(value_type = Option<String>, nullable = false)]
    status: Option<Text>,
    /// The same for commands: `?exit=$?`.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "0")]
    #[schema(value_type = Option<String>, nullable = false)]
    exit: Option<Text>,
    /// How long the job took, as in `12.5s`; a bare number is milliseconds.
    #[serde(default, alias = "ping")]
    #[param(value_type = Option<String>, example = "12.5s")]
    #[schema(value_type = Option<String>, nullable = false)]
    duration: Option<Text>,
    /// What the job said; of it 4 KiB are kept.
    #[serde(default, alias = "msg")]
    #[schema(nullable = false)]
    message: Option<String>,
}

/// A text, or a number as it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(serde_json::Number),
}

/// The address of a heartbeat. It is made when it is first asked for.
#[utoipa::path(get, path = "/v1/monitors/{id}/heartbeat", tag = "heartbeats", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = HeartbeatAddress)))]
async fn show(
    State(api): State<Api>,
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
) -> Result<Json<HeartbeatAddress>, ApiError> {
    let token = access.heartbeat_token(&id).await?;
    Ok(Json(address(&api, &token)))
}

/// Gives a heartbeat another address; the one before is known no more.
#[utoipa::path(post, path = "/v1/monitors/{id}/heartbeat/rotate", tag = "heartbeats", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("monitors:write"))),
    responses((status = 200, body = HeartbeatAddress)))]
async fn rotate(
    State(api): State<Api>,
    Caller(access): Caller,
    Id(id): Id<MonitorId>,
) -> Result<Json<HeartbeatAddress>, ApiError> {
    let token = access.rotate_heartbeat_token(&id).await?;
    Ok(Json(address(&api, &token)))
}

fn address(api: &Api, token: &Token) -> HeartbeatAddress {
    let base = api.options.public_url.as_str().trim_end_matches('/');
    HeartbeatAddress {
        url: format!("{base}/v1/heartbeats/{}", token.expose()),
    }
}

/// Tells that a job is well, or how it went.
///
/// When this is answered with 204, it is not lost any more. 503 says when to try again. Of a monitor that is paused nothing
/// is noted.
#[utoipa::path(get, path = "/v1/heartbeats/{token}", tag = "heartbeats", security(()),
    params(("token" = String, Path), PingBody), responses((status = 204)))]
async fn call(
    State(api): State<Api>,
    Id(token): Id<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ApiError> {
    tell(&api, &token, read(query.as_deref(), None)?).await
}

/// The same with a body.
#[utoipa::path(post, path = "/v1/heartbeats/{token}", tag = "heartbeats", security(()),
    params(("token" = String, Path), PingBody), request_body(content = PingBody, description = "Or any text, which is the message"),
    responses((status = 204)))]
async fn ping(
    State(api): State<Api>,
    Id(token): Id<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let told = read(query.as_deref(), Some((&headers, &body)))?;
    tell(&api, &token, told).await
}

/// The same with the status at the end of the address: `/fail`, or `/$?` after a command.
#[utoipa::path(get, path = "/v1/heartbeats/{token}/{status}", tag = "heartbeats", security(()),
    params(("token" = String, Path), ("status" = String, Path), PingBody), responses((status = 204)))]
async fn call_with_status(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, ApiError> {
    let told = read(query.as_deref(), None)?;
    tell_status(&api, path, told).await
}

/// The same with a body.
#[utoipa::path(post, path = "/v1/heartbeats/{token}/{status}", tag = "heartbeats", security(()),
    params(("token" = String, Path), ("status" = String, Path), PingBody),
    request_body(content = PingBody, description = "Or any text, which is the message"),
    responses((status = 204)))]
async fn ping_with_status(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let told = read(query.as_deref(), Some((&headers, &body)))?;
    tell_status(&api, path, told).await
}

async fn tell_status(
    api: &Api,
    path: Result<Path<(String, String)>, PathRejection>,
    told: Ping,
) -> Result<StatusCode, ApiError> {
    let path = path.map_err(|rejection| ApiError::BadRequest(rejection.body_text()));
    let Path((token, status)) = path?;
    let told = Ping {
        told: parse_status("status", &status)?,
        ..told
    };
    tell(api, &token, told).await
}

/// Of an address that is unknown nothing is said but that: neither whose it was, nor what it looked like.
async fn tell(api: &Api, token: &str, told: Ping) -> Result<StatusCode, ApiError> {
    limits::admit_ping(api, token)?;
    if api.service.ping(&Token::presented(token), told).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let message = "there is no heartbeat with this address";
        Err(ApiError::NotThere(message.to_owned()))
    }
}

/// The query, and the body where it says something else.
fn read(query: Option<&str>, body: Option<(&HeaderMap, &Bytes)>) -> Result<Ping, ApiError> {
    let asked: PingBody = serde_urlencoded::from_str(query.unwrap_or_default())
        .map_err(|error| ApiError::BadRequest(format!("the query: {error}")))?;
    let said = match body {
        Some((headers, body)) if !body.is_empty() => from_body(headers, body)?,
        _ => PingBody::default(),
    };
    let told = match (said.exit.or(asked.exit), said.status.or(asked.status)) {
        (Some(exit), _) => parse_status("exit", &exit.into_text())?,
        (None, Some(status)) => parse_status("status", &status.into_text())?,
        (None, None) => Told::Ok,
    };
    // Uptime Kuma's clients send an empty one.
    let duration = said.duration.or(asked.duration).map(Text::into_text);
    let duration = duration.filter(|text| !text.is_empty());
    Ok(Ping {
        told,
        duration: duration.map(|text| how_long(&text)).transpose()?,
        message: said.message.or(asked.message),
    })
}

fn from_body(headers: &HeaderMap, body: &Bytes) -> Result<PingBody, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        return Ok(PingBody {
            message: Some(String::from_utf8_lossy(body).into_owned()),
            ..PingBody::default()
        });
    }
    serde_json::from_slice(body).map_err(|error| ApiError::BadRequest(format!("the body: {error}")))
}

impl Text {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

fn parse_status(field: &str, text: &str) -> Result<Told, ApiError> {
    match text {
        // Also as Uptime Kuma and Healthchecks have it.
        "ok" | "up" | "success" => Ok(Told::Ok),
        "degraded" => Ok(Told::Degraded),
        "fail" | "failed" | "down" => Ok(Told::Failed),
        _ => text
            .parse()
            .map(Told::Exit)
            .map_err(|_| ApiError::Parameter {
                field: field.to_owned(),
                message: "must be ok, degraded, fail, or the exit status of a command".to_owned(),
            }),
    }
}

fn how_long(text: &str) -> Result<Duration, ApiError> {
    let number = |text: &str, unit: f64| {
        let seconds = text.trim().parse::<f64>().ok()? * unit;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let parts = text.strip_suffix('s').filter(|rest| !rest.ends_with('m'));
    let parsed = number(text, 0.001)
        .or_else(|| number(parts?, 1.0))
        .or_else(|| parse_duration(text).ok());
    parsed
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| ApiError::Parameter {
            field: "duration".to_owned(),
            message: "must be as in 12.5s, or milliseconds, and a year at most".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, told: Told, millis: Option<u64>, message: Option<&str>) {
        let ping = read(Some(query), None).unwrap();
        assert_eq!(ping.told, told, "{query}");
        assert_eq!(ping.duration, millis.map(Duration::from_millis), "{query}");
        assert_eq!(ping.message.as_deref(), message, "{query}");
    }

    #[test]
    fn a_query_says_how_it_went() {
        check("", Told::Ok, None, None);
        check(
            "status=fail&message=disk+full",
            Told::Failed,
            None,
            Some("disk full"),
        );
        check("status=3", Told::Exit(3), None, None);
        check("exit=0&duration=12.5s", Told::Exit(0), Some(12_500), None);
        check("exit=-1&duration=7", Told::Exit(-1), Some(7), None);
        check("duration=1m%2030s", Told::Ok, Some(90_000), None);
        check(
            "duration=250ms&status=degraded",
            Told::Degraded,
            Some(250),
            None,
        );
        // As Uptime Kuma's push monitors are called.
        check("status=up&msg=OK&ping=", Told::Ok, None, Some("OK"));
    }

    #[test]
    fn a_body_says_more_and_text_is_the_message() {
        let body = |kind: &'static str, text: &'static str| {
            let kind = kind.parse().unwrap();
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
            read(Some("status=fail"), Some((&headers, &Bytes::from(text))))
        };
        let ping = body("application/json", r#"{"exit": 2, "duration": 1500}"#).unwrap();
        assert_eq!(ping.told, Told::Exit(2));
        assert_eq!(ping.duration, Some(Duration::from_millis(1500)));
        let ping = body("application/x-www-form-urlencoded", "no space left").unwrap();
        assert_eq!(ping.told, Told::Failed);
        assert_eq!(ping.message.as_deref(), Some("no space left"));
        assert!(body("application/json", "no space left").is_err());
    }

    #[test]
    fn what_is_wrong_is_refused_and_named() {
        for (query, part) in [
            ("status=fine", "status: must be ok"),
            ("exit=x", "exit: must be"),
            ("duration=long", "duration: must be"),
            ("duration=-1", "duration: must be"),
            ("duration=1e99", "duration: must be"),
            ("stauts=ok", "stauts"),
        ] {
            let error = read(Some(query), None).unwrap_err().to_string();
            assert!(error.contains(part), "{query}: {error}");
        }
    }
}
