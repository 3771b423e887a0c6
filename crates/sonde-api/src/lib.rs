//! REST over what `sonde-service` knows: the only crate that turns it into status codes and JSON.

mod bearer;
mod check;
mod cron;
mod monitors;
mod problem;
mod results;
mod task;

use axum::Router;
use axum::routing::{any, get};
use sonde_service::Service;

pub use cron::{Cron, cron_router};
pub use task::{TaskRefused, Tasks, task_router};

/// `/v1/…`.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/v1/monitors", get(monitors::list))
        .route("/v1/monitors/{id}", get(monitors::show))
        .route("/v1/monitors/{id}/results", get(results::list))
        .route("/v1/monitors/{id}/summary", get(results::summary))
        .route("/v1", any(problem::not_found))
        .route("/v1/", any(problem::not_found))
        .route("/v1/{*rest}", any(problem::not_found))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(service)
}

/// `/check`: every monitor now.
pub fn check_router(service: Service) -> Router {
    Router::new()
        .route(
            "/check",
            get(check::run_all)
                .post(check::run_all)
                .head(problem::method_not_allowed),
        )
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(service)
}
