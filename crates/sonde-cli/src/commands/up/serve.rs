//! What one machine serves: page, API, metrics, health; everything is bound before anything starts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use prometheus_client::registry::Registry;
use sonde_api::Api;
use sonde_core::Clock;
use sonde_dispatcher::DispatcherMetrics;
use tokio::net::TcpListener;

use super::Options;
use crate::{exposition, listen};

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
            main: listen::bind("--listen", options.listen).await?,
            checker: listen::bind("--checker-listen", options.checker_listen).await?,
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

/// Page and API.
pub(crate) fn main_router(api: &Api) -> Router {
    let pages = sonde_web::router(api.service().clone());
    let arrivals = sonde_web::arrivals_router(api.service().clone());
    pages
        .layer(from_fn_with_state(
            api.clone(),
            sonde_api::authenticate_page,
        ))
        .merge(sonde_web::public_router())
        .merge(sonde_api::around_arrivals(api, arrivals))
        .merge(sonde_api::session_forms_router(api))
        .merge(sonde_api::router(api))
}

/// How far dispatch has come, and the clock to hold that against.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) dispatcher: DispatcherMetrics,
    pub(super) clock: Arc<dyn Clock>,
}

/// The dispatcher records its watermark every 30 s at the latest; behind that, its journal fails.
const STUCK: Duration = Duration::from_mins(1);

/// Served only once every store is open and every role runs; what can go wrong after that is that nothing is dispatched.
async fn ready(State(progress): State<Progress>) -> (StatusCode, String) {
    let behind = progress.clock.now().since(progress.dispatcher.watermark());
    if behind > STUCK {
        let text = format!(
            "nothing was dispatched for {} s: see the log\n",
            behind.as_secs()
        );
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, "ok\n".to_owned())
}

/// Metrics, health, and `/check`.
pub(super) fn checker_router(api: &Api, registry: &Arc<Registry>, progress: &Progress) -> Router {
    Router::new()
        .route("/metrics", get(exposition::expose))
        .with_state(Arc::clone(registry))
        .route("/-/healthy", get(|| async { "ok\n" }))
        .merge(
            Router::new()
                .route("/-/ready", get(ready))
                .with_state(progress.clone()),
        )
        .merge(sonde_api::check_router(api))
}
