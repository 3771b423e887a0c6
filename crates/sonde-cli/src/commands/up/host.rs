//! A page of another site must not read what only this machine may: DNS rebinding gives it our address, never our name.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Answers only requests that were made to a name of this machine's own.
pub(super) async fn only_loopback(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let from = request.headers().get("sec-fetch-site");
    if request.uri().path() == "/check" && from.is_some_and(|site| site == "cross-site") {
        let text = "a page of another site may not start checks\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    // Without a Host no browser asked.
    if host.is_none_or(is_loopback) {
        return next.run(request).await;
    }
    let text =
        "sonde up answers on this machine only, as localhost or 127.0.0.1; --public lifts that\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example:8080",
            "192.0.2.1",
            "",
            "127.0.0.1.evil:80",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
