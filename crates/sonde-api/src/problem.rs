//! Errors as problem+json (RFC 9457): a status, a stable code, a public sentence, the fields that are wrong. Internals go to
//! the log.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sonde_results::ResultsError;
use sonde_service::{FieldProblem, ServiceError};
use sonde_store::StoreError;
use utoipa::ToSchema;

/// When to ask again what is away: as long as a broker or a store takes to come back, mostly.
const AWAY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("there is nothing at this path")]
    NoSuchPath,
    #[error("{0}")]
    NotThere(String),
    #[error("this path does not take that method")]
    MethodNotAllowed,
    /// A parameter, and what is wrong with it.
    #[error("{field}: {message}")]
    Parameter { field: String, message: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("the body must be JSON: send it with `Content-Type: application/json`")]
    NotJson,
    #[error("the body is larger than this takes")]
    TooLarge,
    /// A body that is JSON, and wrong at a place.
    #[error("{}: {}", .0.path, .0.message)]
    Field(FieldProblem),
    #[error("this needs an `Authorization: Bearer` header with the right token")]
    WrongToken,
    #[error("a page of another site may not do this")]
    CrossSite,
    #[error("{0}")]
    Idempotency(&'static str),
    #[error("more requests than agreed: try again in {} s", seconds(*.0))]
    TooFast(Duration),
    /// For now: trying again later helps.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// An error, as RFC 9457 describes it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the code says more.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// Stable: programs decide by it.
    #[schema(example = "invalid")]
    code: &'static str,
    /// A sentence for people.
    detail: String,
    /// What is wrong with the request, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Field>)]
    errors: Vec<FieldProblem>,
}

/// One thing that is wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what FieldProblem serializes to")]
pub(crate) struct Field {
    /// Where; empty for the whole.
    #[schema(example = "http.headers[0].value")]
    path: String,
    message: String,
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoSuchPath | Self::NotThere(_) => (S::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Parameter { .. } => (S::BAD_REQUEST, "invalid_parameter"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "bad_request"),
            Self::NotJson => (S::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Field(_) => (S::UNPROCESSABLE_ENTITY, "invalid"),
            Self::WrongToken => (S::UNAUTHORIZED, "unauthorized"),
            Self::CrossSite => (S::FORBIDDEN, "cross_site"),
            Self::Idempotency(_) => (S::CONFLICT, "idempotency"),
            Self::TooFast(_) => (S::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Service(error) => status_of(error),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast(wait) => Some(*wait),
            Self::Service(ServiceError::TooMany { retry_after }) => Some(*retry_after),
            _ if self.status().0 == StatusCode::SERVICE_UNAVAILABLE => Some(AWAY),
            _ => None,
        }
    }

    fn errors(&self) -> Vec<FieldProblem> {
        match self {
            Self::Service(ServiceError::Invalid(problems)) => problems.clone(),
            Self::Field(problem) => vec![problem.clone()],
            Self::Parameter { field, message } => vec![FieldProblem {
                path: field.clone(),
                message: message.clone(),
            }],
            _ => Vec::new(),
        }
    }
}

fn status_of(error: &ServiceError) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match error {
        ServiceError::NotFound { .. } => (S::NOT_FOUND, "not_found"),
        ServiceError::Unauthenticated(_) => (S::UNAUTHORIZED, "unauthenticated"),
        ServiceError::Forbidden(_) => (S::FORBIDDEN, "missing_scope"),
        ServiceError::Limited => (S::FORBIDDEN, "limited"),
        ServiceError::Refused(_) => (S::FORBIDDEN, "refused"),
        ServiceError::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "invalid"),
        ServiceError::Exists { .. } => (S::CONFLICT, "exists"),
        ServiceError::ManagedByFile { .. } => (S::CONFLICT, "managed_by_file"),
        ServiceError::Changed => (S::PRECONDITION_FAILED, "changed"),
        ServiceError::PlanChanged => (S::PRECONDITION_FAILED, "plan_changed"),
        ServiceError::TooMany { .. } => (S::TOO_MANY_REQUESTS, "too_many_attempts"),
        ServiceError::NoSuchRegion(_) => (S::UNPROCESSABLE_ENTITY, "no_such_region"),
        ServiceError::Results(ResultsError::InvalidCursor(_)) => {
            (S::BAD_REQUEST, "invalid_parameter")
        }
        ServiceError::Provider { .. } => (S::BAD_GATEWAY, "provider"),
        ServiceError::Store(StoreError::Unavailable(_) | StoreError::Unsynced)
        | ServiceError::Pictures(_)
        | ServiceError::Results(ResultsError::Unavailable(_))
        | ServiceError::Queue(_)
        | ServiceError::Unheard(_) => (S::SERVICE_UNAVAILABLE, "unavailable"),
        _ => (S::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        if status.is_server_error() {
            tracing::error!(error = sonde_core::chain(&self), "request failed");
        }
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            errors: self.errors(),
        };
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, Json(problem)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds(wait).into());
        }
        response
    }
}

/// Whole ones, never none.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

pub(crate) async fn not_found() -> ApiError {
    ApiError::NoSuchPath
}
