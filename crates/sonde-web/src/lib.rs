//! Pages: the monitors, incidents, and how people come in. Server-rendered, no third-party requests.

mod account;
mod history;
mod incident;
mod incidents;
mod overview;
mod sparkline;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use sonde_service::Service;

use history::History;

/// What the pages share.
struct Pages {
    service: Service,
    history: History,
}

/// `/`, `/incidents` and what is below it, which take an [`Access`](sonde_service::Access) that somebody put into the request.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/", get(overview::page))
        .route("/incidents", get(incidents::page))
        .route("/incidents/{id}", get(incident::page))
        .merge(incident::forms())
        .with_state(Arc::new(Pages {
            service,
            history: History::default(),
        }))
}

/// What everybody may see: the pages to come in by, and what pages are made of.
pub fn public_router() -> Router {
    Router::new()
        .route("/static/sonde.css", get(stylesheet))
        .merge(account::router())
}

const STYLE: &str = include_str!("../static/sonde.css");

async fn stylesheet() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css"),
        (header::CACHE_CONTROL, "max-age=60"),
    ];
    (headers, STYLE).into_response()
}

/// What keeps a page from doing anything that we did not write.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'";

#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("the page could not be rendered")]
    Render(#[from] askama::Error),
    #[error("the page's data could not be read")]
    Service(#[from] sonde_service::ServiceError),
    #[error("the page's data is unreadable")]
    Unreadable(#[from] serde_json::Error),
    #[error("there is no such page")]
    NotFound,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        use sonde_service::ServiceError;
        let (status, why) = match &self {
            Self::NotFound | Self::Service(ServiceError::NotFound { .. }) => {
                (StatusCode::NOT_FOUND, "There is nothing here.")
            }
            Self::Service(ServiceError::Forbidden(_) | ServiceError::Limited) => {
                (StatusCode::FORBIDDEN, "You may not see this.")
            }
            failed => {
                tracing::error!(error = sonde_core::chain(failed), "page failed");
                let why = "This page cannot be shown right now.";
                (StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        };
        let text = format!("<!doctype html><title>Sonde</title><p>{why}");
        (status, Html(text)).into_response()
    }
}

fn html(page: &impl askama::Template) -> Result<Response, PageError> {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Html(page.render()?)).into_response())
}
