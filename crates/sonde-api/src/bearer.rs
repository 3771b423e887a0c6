//! Tokens that machines present: one shared secret per route, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use crate::problem::ApiError;

/// Lets nobody through who does not know `token`.
pub(crate) async fn require(
    State(token): State<Arc<str>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_presented(&token, request.headers()) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::WrongToken)
    }
}

fn is_presented(token: &str, headers: &HeaderMap) -> bool {
    let presented = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, presented)| presented.trim());
    presented.is_some_and(|presented| presented.as_bytes().ct_eq(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authorization: Option<&str>, expected: bool) {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(is_presented("secret", &headers), expected);
    }

    #[test]
    fn only_the_whole_token_opens() {
        check(Some("Bearer secret"), true);
        check(Some("bearer  secret"), true);
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Bearer ",
            "Basic secret",
            "secret",
        ] {
            check(Some(wrong), false);
        }
        check(None, false);
    }
}
