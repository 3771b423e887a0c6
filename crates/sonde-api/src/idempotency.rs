//! `Idempotency-Key`: a POST that is sent again is answered as the first time, and done once.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sonde_service::{Access, Claim, fingerprint};

use crate::problem::ApiError;

const KEY: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST_KEY: usize = 255;
/// What is hashed of a request and kept of an answer; larger ones are refused by their own routes.
const LARGEST: usize = 32 * 1024 * 1024;

pub(crate) async fn layer(request: Request, next: Next) -> Result<Response, ApiError> {
    let access = request.extensions().get::<Access>().cloned();
    let (Some(key), Some(access)) = (key(&request)?, access) else {
        return Ok(next.run(request).await);
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await;
    let body = body.map_err(|_| ApiError::TooLarge)?;
    let uri = parts.uri.to_string();
    let fingerprint = fingerprint(&[uri.as_bytes(), &body]);
    match access.claim_request(&key, &fingerprint).await? {
        Claim::Ours => {}
        Claim::Done { status, body } => return Ok(replayed(status, body)),
        Claim::InProgress => {
            let message = "the same request is being answered: ask again when it is done";
            return Err(ApiError::Idempotency(message));
        }
        Claim::Other => {
            let message = "this Idempotency-Key was used for another request: choose a new one";
            return Err(ApiError::Idempotency(message));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let status = response.status();
    // What failed here, or was too much, may go well the next time.
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        access.release_request(&key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    access.finish_request(&key, status.as_u16(), &text).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Of a request that can be repeated: a stream cannot.
fn key(request: &Request) -> Result<Option<String>, ApiError> {
    let Some(key) = request.headers().get(KEY) else {
        return Ok(None);
    };
    let streams = request.headers().get(header::ACCEPT);
    let streams = streams.is_some_and(|accept| accept.as_bytes() == b"text/event-stream");
    if request.method() != Method::POST || streams {
        return Ok(None);
    }
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST_KEY {
        return Err(ApiError::Parameter {
            field: "Idempotency-Key".to_owned(),
            message: format!("must have 1 to {LONGEST_KEY} visible characters"),
        });
    }
    Ok(Some(key.to_owned()))
}

fn replayed(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let content_type = if status.is_client_error() {
        "application/problem+json"
    } else {
        "application/json"
    };
    let headers = [
        (REPLAYED, HeaderValue::from_static("true")),
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
    ];
    (status, headers, Bytes::from(body)).into_response()
}
