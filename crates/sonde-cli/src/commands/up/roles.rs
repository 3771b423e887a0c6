//! The roles of one machine, and what it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use prometheus_client::registry::Registry;
use sonde_api::Api;
use sonde_checker::Checker;
use sonde_core::Monitor;
use sonde_dispatcher::{Dispatcher, Schedule};
use sonde_ingester::Ingester;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::serve::{self, Listeners, Progress};
use super::{Options, host};
use crate::roles::{Roles, Stage};

pub(super) fn start(
    roles: &mut Roles,
    dispatcher: Dispatcher,
    schedule: Schedule,
    configured: watch::Receiver<Arc<[Arc<Monitor>]>>,
    checker: Checker,
    ingester: Ingester,
) {
    // It ends when the queue is closed and empty, and not before.
    let never = CancellationToken::new();
    roles.spawn(Stage::Storage, "ingester", |_| async {
        ingester.run(never).await.map_err(Into::into)
    });
    roles.spawn(Stage::Checks, "checker", |stop| async {
        checker.run(stop).await.map_err(Into::into)
    });
    roles.spawn(Stage::Inflow, "dispatcher", |stop| async move {
        dispatcher
            .run(schedule, configured, stop)
            .await
            .map_err(Into::into)
    });
}

pub(super) fn serve(
    roles: &mut Roles,
    listeners: Listeners,
    api: &Api,
    registry: Registry,
    progress: &Progress,
    options: &Options,
) {
    let registry = Arc::new(registry);
    let checker = serve::checker_router(api, &registry, progress);
    let mut main = serve::main_router(api);
    if options.is_open() {
        main = main.merge(checker.clone());
    }
    let guard = |router: Router, address: SocketAddr| {
        if options.public || !address.ip().is_loopback() {
            router
        } else {
            router.layer(from_fn(host::only_loopback))
        }
    };
    roles.serve(listeners.main, guard(main, options.listen));
    roles.serve(listeners.checker, guard(checker, options.checker_listen));
}
