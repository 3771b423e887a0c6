//! HTTP proxies: the connection to one, its credentials, and the tunnel through it (RFC 9110 §9.3.6).

use http::HeaderValue;
use sonde_core::{NetworkOptions, Phase, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::request::{secret, userinfo};
use crate::dial;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// A proxy's answer to CONNECT is short; what is longer is something else.
const HEAD_LIMIT: usize = 16 * 1024;

pub(super) async fn connect(
    environment: &Environment,
    proxy: &Url,
    network: &NetworkOptions,
    seen: &mut Observation,
) -> Result<TcpStream, Failure> {
    let host = proxy.host_str().unwrap_or_default();
    let port = proxy.port_or_known_default().unwrap_or(80);
    let blame = |failure: Failure| Failure {
        message: format!("the proxy {host}:{port}: {}", failure.message),
        ..failure
    };
    let addresses = dial::resolve(environment, host, network, seen).await;
    let connected = dial::connect(&addresses.map_err(blame)?, port, seen).await;
    Ok(connected.map_err(blame)?.0)
}

/// The value of `Proxy-Authorization`, from the URL's userinfo.
pub(super) fn authorization(proxy: &Url) -> Result<Option<HeaderValue>, Failure> {
    let credentials = userinfo(proxy);
    credentials
        .map(|credentials| secret("the proxy's credentials", &credentials))
        .transpose()
}

/// Asks the proxy to connect to `target` (`host:port`). The time counts as connecting: to the check it is part of that.
pub(super) async fn tunnel(
    stream: &mut TcpStream,
    target: &str,
    authorization: Option<HeaderValue>,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let opened = seen
        .phase(Phase::Connect, ask(stream, target, authorization))
        .await;
    opened.map_err(|failure| match failure.reason {
        Reason::ConnectTimeout => Failure {
            message: format!("the proxy did not connect to {target} in time"),
            ..failure
        },
        _ => failure,
    })
}

async fn ask(
    stream: &mut TcpStream,
    target: &str,
    authorization: Option<HeaderValue>,
) -> Result<(), Failure> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broken = |error| protocol(&format!("the proxy closed the connection: {error}"));
    stream.write_all(&request).await.map_err(broken)?;
    let mut head = Vec::with_capacity(256);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT {
            return Err(protocol("the proxy's answer to CONNECT does not end"));
        }
        if stream.read_buf(&mut head).await.map_err(broken)? == 0 {
            return Err(protocol(if head.is_empty() {
                "the proxy closed the connection without an answer"
            } else {
                "the proxy closed the connection in the middle of its answer"
            }));
        }
    }
    judge(&head, target)
}

fn judge(head: &[u8], target: &str) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(head);
    let line = text.lines().next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_whitespace().nth(1))
        .and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err(Failure::new(
            Reason::ProxyAuth,
            format!("the proxy asks for other credentials (`{line}`)"),
        )),
        Some(_) => Err(Failure::new(
            Reason::ProxyRefused,
            format!("the proxy refused to connect to {target}: `{line}`"),
        )),
        None => Err(protocol("the proxy's answer to CONNECT is not HTTP")),
    }
}

fn protocol(message: &str) -> Failure {
    Failure::new(Reason::ProxyProtocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_answer_has_a_reason_of_its_own() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", None),
            ("HTTP/1.0 200\r\n\r\n", None),
            ("HTTP/1.1 407 Authenticate\r\n\r\n", Some(Reason::ProxyAuth)),
            ("HTTP/1.1 403 No\r\n\r\n", Some(Reason::ProxyRefused)),
            (
                "HTTP/1.1 502 Bad gateway\r\n\r\n",
                Some(Reason::ProxyRefused),
            ),
            ("SSH-2.0-x\r\n\r\n", Some(Reason::ProxyProtocol)),
        ] {
            let reason = judge(head.as_bytes(), "a:443")
                .err()
                .map(|failure| failure.reason);
            assert_eq!(reason, expected, "{head}");
        }
    }
}
