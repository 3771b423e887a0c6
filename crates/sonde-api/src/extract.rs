//! Bodies and parameters whose mistakes are answered as every other, each with its place.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use sonde_service::FieldProblem;
use sonde_store::Expected;

use crate::problem::ApiError;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::NotJson);
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| unreadable(&rejection))?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/merge-patch+json")
}

pub(crate) fn unreadable(rejection: &BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
        _ => ApiError::BadRequest(rejection.body_text()),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| ApiError::BadRequest("the body is not UTF-8".to_owned()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer);
    let parsed = parsed.map_err(|error| {
        let path = error.path().to_string();
        let source = error.inner();
        match source.classify() {
            serde_json::error::Category::Data => ApiError::Field(FieldProblem {
                path: if path == "." { String::new() } else { path },
                message: without_position(&source.to_string()),
            }),
            _ => ApiError::BadRequest(format!("the body is not JSON: {source}")),
        }
    })?;
    let rest = deserializer.end();
    rest.map_err(|error| ApiError::BadRequest(format!("the body is not JSON: {error}")))?;
    Ok(parsed)
}

/// The path says where.
fn without_position(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

/// Query parameters.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let deserializer = serde_urlencoded::Deserializer::new(pairs);
        let parsed = serde_path_to_error::deserialize(deserializer);
        parsed.map(Self).map_err(|error| {
            let (field, message) = (error.path().to_string(), error.inner().to_string());
            if field == "." {
                return ApiError::BadRequest(message);
            }
            ApiError::Parameter { field, message }
        })
    }
}

/// The path's parameter as an id; what is no id names nothing.
pub(crate) struct Id<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: std::str::FromStr,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let axum::extract::Path(text) =
            text.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
        let parsed = text.parse();
        let named = parsed.map(Self);
        named.map_err(|_| ApiError::NotThere(format!("`{text}` not found")))
    }
}

/// What `If-Match` and `If-None-Match` ask to be there.
pub(crate) struct Precondition(pub(crate) Expected);

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        precondition(&parts.headers).map(Self)
    }
}

fn precondition(headers: &HeaderMap) -> Result<Expected, ApiError> {
    let text = |name| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| wrong_tag()),
    };
    if text(header::IF_NONE_MATCH)?.is_some_and(|value: &str| value.trim() == "*") {
        return Ok(Expected::Nothing);
    }
    let Some(tag) = text(header::IF_MATCH)? else {
        return Ok(Expected::Anything);
    };
    let tag = tag.trim();
    if tag == "*" {
        return Ok(Expected::Anything);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let version = version.and_then(|version| version.parse().ok());
    version.map(Expected::Version).ok_or_else(wrong_tag)
}

fn wrong_tag() -> ApiError {
    ApiError::Parameter {
        field: "If-Match".to_owned(),
        message: "must be one ETag as it was given, in quotes".to_owned(),
    }
}

/// The ETag of a version.
pub(crate) fn etag(version: u64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is looked at")]
    struct Sample {
        names: Vec<u8>,
    }

    #[track_caller]
    fn check(body: &[u8], code: &str, path: &str) {
        let error = parse::<Sample>(body).unwrap_err();
        match error {
            ApiError::Field(problem) => assert_eq!(("invalid", &*problem.path), (code, path)),
            ApiError::BadRequest(_) => assert_eq!("bad_request", code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_body_is_refused_at_its_place() {
        check(br#"{"names": [1, "x"]}"#, "invalid", "names[1]");
        check(br#"{"names": [1e99]}"#, "invalid", "names[0]");
        check(br#"{"name": []}"#, "invalid", "name");
        check(br#"{"names": []} x"#, "bad_request", "");
        check(b"{\"names\": \xff}", "bad_request", "");
        parse::<serde_json::Value>(&vec![b'['; 100_000]).unwrap_err();
        parse::<Sample>(br#"{"names": [1]}"#).unwrap();
    }

    #[test]
    fn a_precondition_is_one_version_or_none() {
        let check = |name: header::HeaderName, value: &str| {
            let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
            precondition(&headers).ok()
        };
        assert_eq!(check(header::IF_MATCH, "\"3\""), Some(Expected::Version(3)));
        assert_eq!(check(header::IF_MATCH, "*"), Some(Expected::Anything));
        assert_eq!(check(header::IF_NONE_MATCH, "*"), Some(Expected::Nothing));
        for wrong in ["3", "W/\"3\"", "\"x\"", "\"1\", \"2\"", ""] {
            assert_eq!(check(header::IF_MATCH, wrong), None, "{wrong}");
        }
    }
}
