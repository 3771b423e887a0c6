//! Pages: the monitors, incidents, and how people come in. Server-rendered, no third-party requests; what scripts add, pages
//! do without.

mod account;
mod asked;
mod chart;
mod check;
mod checks;
mod edit;
mod error;
mod fleet;
mod form;
mod format;
mod history;
mod incident;
mod incidents;
mod monitor;
mod overview;
mod run;
mod settings;
mod statics;
mod viewer;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use sonde_service::Service;
use tower_http::compression::CompressionLayer;

use error::PageError;
use history::History;

/// What the pages share.
struct Pages {
    service: Service,
    history: History,
}

/// Every page but those to come in by. They take an [`Access`](sonde_service::Access) that somebody put into the request.
pub fn router(service: Service) -> Router {
    let pages = Router::new()
        .merge(overview::router())
        .merge(monitor::router())
        .merge(checks::router())
        .merge(check::router())
        .merge(fleet::router())
        .merge(edit::router())
        .merge(settings::router())
        .route("/incidents", get(incidents::page))
        .route("/incidents/{id}", get(incident::page))
        .merge(incident::forms())
        .layer(CompressionLayer::new());
    // What comes row by row must not be held back.
    pages.merge(run::router()).with_state(Arc::new(Pages {
        service,
        history: History::default(),
    }))
}

/// The pages to come in by. They take a [`Stranger`](sonde_service::Stranger) that somebody put into the request; what is to
/// be kept of a session stands in the extensions of the answer.
pub fn arrivals_router(service: Service) -> Router {
    account::router().with_state(service)
}

/// What everybody may see: what pages are made of.
pub fn public_router() -> Router {
    statics::router()
        .layer(CompressionLayer::new())
        .fallback(async || PageError::NotFound)
}

/// What keeps a page from doing anything that we did not write.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'";

fn html(page: &impl askama::Template) -> Result<Response, PageError> {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Html(page.render()?)).into_response())
}
