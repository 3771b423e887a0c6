//! Name → filtered addresses → a TCP connection to one of them. The only way to a target.

use std::net::{IpAddr, SocketAddr};

use sonde_core::NetworkOptions;
use tokio::net::TcpStream;

use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// Resolves `host` (a name or a literal) under the Dns phase and refuses addresses that egress forbids.
///
/// Never empty when `Ok`; ordered by preference.
pub(crate) async fn resolve(
    environment: &Environment,
    host: &str,
    network: &NetworkOptions,
    seen: &mut Observation,
) -> Result<Vec<IpAddr>, Failure> {
    todo!()
}

/// Connects to the first of `addresses` that answers, under the Connect phase.
pub(crate) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    seen: &mut Observation,
) -> Result<(TcpStream, SocketAddr), Failure> {
    todo!()
}
