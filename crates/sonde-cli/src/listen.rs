//! What every long-running process binds and tells about itself; bound before anything starts.

use std::net::SocketAddr;

use anyhow::Context as _;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// `flag` is what to change when the address cannot be had.
pub(crate) async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}: choose another address with {flag}"))
}

/// An empty registry but for what this process is.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    // A gauge and no info metric: older text parsers know no such type.
    let build = ConstGauge::new(1_i64);
    let labelled =
        registry.sub_registry_with_label(("version".into(), env!("CARGO_PKG_VERSION").into()));
    labelled.register("sonde_build_info", "The running release", build);
    registry
}
