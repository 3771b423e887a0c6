//! Errors as problem+json (RFC 9457): a status, a stable code, a public sentence. Internals go to the log.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sonde_results::ResultsError;
use sonde_service::ServiceError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    NotFound(String),
    /// A parameter, and what is wrong with it.
    #[error("{field}: {message}")]
    Invalid {
        field: &'static str,
        message: String,
    },
    #[error("the server could not do this")]
    Internal(#[source] ServiceError),
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::MonitorNotFound(_) => Self::NotFound(error.to_string()),
            ServiceError::Results(ResultsError::InvalidCursor(_)) => Self::Invalid {
                field: "cursor",
                message: "is not a cursor of this listing".to_owned(),
            },
            other => Self::Internal(other),
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, field) = match &self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", None),
            Self::Invalid { field, .. } => {
                (StatusCode::BAD_REQUEST, "invalid_parameter", Some(*field))
            }
            Self::Internal(source) => {
                tracing::error!(error = sonde_core::chain(source), "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", None)
            }
        };
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            field,
        };
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, content_type, Json(problem)).into_response()
    }
}

pub(crate) async fn not_found() -> ApiError {
    ApiError::NotFound("there is nothing at this path".to_owned())
}
