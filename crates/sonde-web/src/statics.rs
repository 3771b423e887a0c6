//! Stylesheet, scripts, the sign: parts of the binary, asked for again when that changed.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// Name, type, text.
const FILES: [(&str, &str, &str); 7] = [
    (
        "/static/sonde.css",
        "text/css",
        include_str!("../static/sonde.css"),
    ),
    (
        "/static/sonde.js",
        "text/javascript",
        include_str!("../static/sonde.js"),
    ),
    (
        "/static/live.js",
        "text/javascript",
        include_str!("../static/live.js"),
    ),
    (
        "/static/charts.js",
        "text/javascript",
        include_str!("../static/charts.js"),
    ),
    (
        "/static/forms.js",
        "text/javascript",
        include_str!("../static/forms.js"),
    ),
    (
        "/static/account.js",
        "text/javascript",
        include_str!("../static/account.js"),
    ),
    (
        "/static/sonde.svg",
        "image/svg+xml",
        include_str!("../static/sonde.svg"),
    ),
];

pub(crate) fn router() -> Router {
    let mut router = Router::new();
    for (name, kind, text) in FILES {
        let serve = move |headers: HeaderMap| async move { file(&headers, kind, text) };
        router = router.route(name, get(serve));
    }
    router
}

/// Kept by browsers for a minute; after that they ask whether it is still the same.
fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{}\"", sonde_service::fingerprint(&[text.as_bytes()]));
    let known = headers.get(header::IF_NONE_MATCH);
    let caching = [
        (header::CACHE_CONTROL, "max-age=60".to_owned()),
        (header::ETAG, tag.clone()),
    ];
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, kind)], text).into_response()
}
