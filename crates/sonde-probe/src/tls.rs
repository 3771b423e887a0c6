//! The handshake of every kind that speaks TLS: settings built once, certificates kept even when they are refused.

use std::sync::Arc;

use sonde_core::{TlsDetail, TlsOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// Shakes hands under the Tls phase. `seen.tls` has the certificates also when it fails.
pub(crate) async fn handshake<S>(
    environment: &Environment,
    stream: S,
    host: &str,
    options: &TlsOptions,
    alpn: &[&[u8]],
    seen: &mut Observation,
) -> Result<TlsStream<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    todo!()
}
