//! REST and its description, triggers of an outer clock, tasks by HTTP.
//!
//! One file per resource: its bodies, its routes, what they answer. What is allowed is decided in `sonde-service`.

mod audit;
mod bearer;
mod caller;
mod certificates;
mod channels;
mod charts;
mod check;
mod cron;
mod extract;
mod fleet;
mod heartbeats;
mod idempotency;
mod incidents;
mod keys;
mod limits;
mod maintenance;
mod members;
mod monitors;
mod oidc;
mod openapi;
mod outcomes;
mod page;
mod plan;
mod problem;
mod reports;
mod results;
mod runs;
mod scopes;
mod session;
mod session_forms;
mod task;
mod usage;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use sonde_service::{Service, Token};
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::Url;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use caller::authenticate_page;
pub use check::check_router;
pub use cron::{Cron, cron_router};
pub use session_forms::{around_arrivals, session_forms_router};
pub use task::{TaskRefused, Tasks, task_router};

/// A monitor's configuration with bodies and certificates is far smaller.
const LARGEST_BODY: usize = 1024 * 1024;
const STALE: HeaderName = HeaderName::from_static("sonde-stale");

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Where people reach it, for links.
    pub public_url: Url,
    /// Of one caller.
    pub requests_per_minute: NonZeroU32,
    /// Pages of these sites may call it; of none by default.
    pub allowed_origins: Vec<HeaderValue>,
    /// A proxy in front says whom it asks for.
    pub trust_forwarded_for: bool,
}

impl ApiOptions {
    pub fn new(public_url: Url) -> Self {
        Self {
            public_url,
            requests_per_minute: NonZeroU32::new(600).expect("it is not zero"),
            allowed_origins: Vec::new(),
            trust_forwarded_for: false,
        }
    }

    /// A page that takes a token. It stands behind `#`, which browsers send to nobody.
    pub fn link(&self, page: &str, token: &Token) -> String {
        let base = self.public_url.as_str().trim_end_matches('/');
        format!("{base}/{page}#{}", token.expose())
    }

    pub(crate) fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    pub(crate) service: Service,
    pub(crate) options: Arc<ApiOptions>,
    pub(crate) limits: Arc<limits::Limits>,
}

impl Api {
    pub fn new(service: Service, options: ApiOptions) -> Self {
        Self {
            service,
            limits: Arc::new(limits::Limits::new(options.requests_per_minute)),
            options: Arc::new(options),
        }
    }

    pub fn service(&self) -> &Service {
        &self.service
    }

    /// See [`ApiOptions::link`].
    pub fn link(&self, page: &str, token: &Token) -> String {
        self.options.link(page, token)
    }
}

/// `/v1` and `/docs`.
pub fn router(api: &Api) -> Router {
    let (described, document) = described(api);
    let document = Bytes::from(openapi::complete(&document).to_string());
    let mut router = described
        .route("/v1/openapi.json", get(serve_document).with_state(document))
        .route("/v1", any(problem::not_found))
        .route("/v1/", any(problem::not_found))
        .route("/v1/{*rest}", any(problem::not_found))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(api.clone(), mark_stale))
        .layer(from_fn_with_state(api.clone(), limits::admit_address))
        .layer(from_fn(keep_out_of_caches));
    if !api.options.allowed_origins.is_empty() {
        router = router.layer(cors(&api.options));
    }
    let config = utoipa_swagger_ui::Config::from("/v1/openapi.json")
        .try_it_out_enabled(true)
        // Nobody else is asked about the document.
        .validator_url("none");
    router.merge(SwaggerUi::new("/docs").config(config))
}

/// All routes, and what they say of themselves.
fn described(api: &Api) -> (Router, utoipa::openapi::OpenApi) {
    let protected = OpenApiRouter::new()
        .merge(session::router())
        .merge(monitors::router())
        .merge(heartbeats::router())
        .merge(results::router())
        .merge(charts::router())
        .merge(certificates::router())
        .merge(usage::router())
        .merge(outcomes::router())
        .merge(runs::router())
        .merge(fleet::router())
        .merge(keys::router())
        .merge(members::router())
        .merge(maintenance::router())
        .merge(channels::router())
        .merge(reports::router())
        .merge(incidents::router())
        .merge(audit::router())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .merge(plan::router());
    let public = session::public()
        .merge(oidc::public())
        .merge(heartbeats::public())
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    let (protected, of_protected) = protected.split_for_parts();
    let (public, of_public) = public.split_for_parts();
    let scopes = Arc::new(scopes::Scopes::of(&of_protected));
    let protected = protected
        .layer(from_fn(idempotency::layer))
        .layer(from_fn_with_state(scopes, scopes::require))
        .layer(from_fn_with_state(api.clone(), caller::authenticate));
    let mut document = openapi::Api::openapi();
    document.merge(of_protected);
    document.merge(of_public);
    let router = protected.merge(public).with_state(api.clone());
    (router, document)
}

async fn serve_document(State(document): State<Bytes>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document)
}

/// The configuration may be older than it is at the primary.
async fn mark_stale(State(api): State<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(since) = api.service.stale_since()
        && let Ok(since) = HeaderValue::from_str(&since.to_string())
    {
        response.headers_mut().insert(STALE, since);
    }
    response
}

async fn keep_out_of_caches(request: Request, next: Next) -> impl IntoResponse {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn cors(options: &ApiOptions) -> CorsLayer {
    let origins = AllowOrigin::list(options.allowed_origins.clone());
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(tower_http::cors::Any)
        .allow_headers(tower_http::cors::Any)
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER, STALE])
        .max_age(Duration::from_hours(24))
}
