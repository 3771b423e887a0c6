//! What one machine serves: page, API, metrics, health; everything is bound before anything starts.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sonde_service::Service;
use tokio::net::TcpListener;

use super::{Options, metrics};

/// Bound, not yet served.
pub(super) struct Listeners {
    pub(super) main: TcpListener,
    pub(super) checker: TcpListener,
}

/// Where it really listens, where port 0 was asked for.
pub(super) struct Addresses {
    pub(super) main: SocketAddr,
    pub(super) checker: SocketAddr,
}

impl Listeners {
    pub(super) async fn bind(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            main: bind("--listen", options.listen).await?,
            checker: bind("--checker-listen", options.checker_listen).await?,
        })
    }

    pub(super) fn addresses(&self) -> anyhow::Result<Addresses> {
        let address = |listener: &TcpListener| listener.local_addr().context("no local address");
        Ok(Addresses {
            main: address(&self.main)?,
            checker: address(&self.checker)?,
        })
    }
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}: choose another address with {flag}"))
}

/// An empty registry but for what this process is.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    // A gauge and no info metric: older text parsers know no such type.
    let build = ConstGauge::new(1_i64);
    let labelled =
        registry.sub_registry_with_label(("version".into(), env!("CARGO_PKG_VERSION").into()));
    labelled.register("sonde_build_info", "The running release", build);
    registry
}

/// Page and API, with all that the checker's listener has.
pub(super) fn main_router(service: &Service, registry: &Arc<Registry>) -> Router {
    sonde_web::router(service.clone())
        .merge(sonde_api::router(service.clone()))
        .merge(checker_router(service, registry))
}

/// Metrics, health, and `/check`.
pub(super) fn checker_router(service: &Service, registry: &Arc<Registry>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::expose))
        .with_state(Arc::clone(registry))
        // Served only once every store is open and every role runs: alive is ready.
        .route("/-/healthy", get(|| async { "ok\n" }))
        .route("/-/ready", get(|| async { "ok\n" }))
        .merge(sonde_api::check_router(service.clone()))
}
