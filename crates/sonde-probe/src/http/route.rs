//! The connection of a hop: straight to the target or through a proxy, then TLS where the URL asks for it.

use http::HeaderValue;
use sonde_core::{HttpSpec, HttpVersion, Reason};

use tokio::net::TcpStream;
use url::Url;

use super::proxy;
use super::request::Outgoing;
use crate::dial::Stream;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::{dial, tls};

const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

/// A fresh connection, ready for one request.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    pub(super) h2: bool,
    /// Over TLS, where the server was asked which version it speaks.
    pub(super) secure: bool,
    /// The proxy reads the request itself and needs the absolute URL.
    pub(super) through_proxy: bool,
    /// For the proxy that reads the request itself.
    pub(super) proxy_authorization: Option<HeaderValue>,
}

pub(super) async fn open(
    environment: &Environment,
    spec: &HttpSpec,
    outgoing: &Outgoing<'_>,
    seen: &mut Observation,
) -> Result<Opened, Failure> {
    let url = &outgoing.url;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let secure = url.scheme() == "https";
    let (tcp, proxy_authorization) = if let Some(proxy) = &spec.proxy {
        through(environment, spec, proxy, (host, port, secure), seen).await?
    } else {
        let addresses = dial::resolve(environment, host, &spec.network, seen).await?;
        (dial::connect(&addresses, port, seen).await?.0, None)
    };
    let (stream, h2): (Box<dyn Stream>, bool) = if secure {
        let alpn: &[&[u8]] = match spec.version {
            HttpVersion::Auto => &[H2, H1],
            HttpVersion::Http1 => &[H1],
            HttpVersion::Http2 => &[H2],
        };
        let stream = tls::handshake(environment, tcp, host, &outgoing.tls, alpn, seen).await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        (Box::new(stream), h2)
    } else {
        let h2 = spec.version == HttpVersion::Http2 && spec.proxy.is_none();
        (Box::new(tcp), h2)
    };
    if spec.version == HttpVersion::Http2 && !h2 {
        let message = format!("HTTP/2 is not to be had from `{host}` this way");
        return Err(Failure::new(Reason::HttpVersion, message));
    }
    Ok(Opened {
        stream,
        h2,
        secure,
        through_proxy: !secure && spec.proxy.is_some(),
        proxy_authorization,
    })
}

/// A connection through a proxy, and the credentials that go with the request itself: those of a tunnel do not.
async fn through(
    environment: &Environment,
    spec: &HttpSpec,
    proxy: &Url,
    (host, port, secure): (&str, u16, bool),
    seen: &mut Observation,
) -> Result<(TcpStream, Option<HeaderValue>), Failure> {
    // The proxy resolves the name again and may find another address; this keeps out what is plainly inside.
    if environment.settings.egress.is_guarded() {
        dial::resolve(environment, host, &spec.network, seen).await?;
    }
    let mut tcp = proxy::connect(environment, proxy, &spec.network, seen).await?;
    let authorization = proxy::authorization(proxy)?;
    if !secure {
        return Ok((tcp, authorization));
    }
    let target = format!("{host}:{port}");
    proxy::tunnel(&mut tcp, &target, authorization, seen).await?;
    Ok((tcp, None))
}
