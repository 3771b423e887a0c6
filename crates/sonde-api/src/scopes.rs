//! Who may not do something is told so before anything else of the request is looked at: by the scopes that routes tell of
//! themselves. What is really reached is guarded again in `sonde-service`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use sonde_core::Scope;
use sonde_service::{Access, ServiceError};
use utoipa::openapi::OpenApi;

use crate::problem::ApiError;

/// Where the name of one monitor stands.
const ONE_MONITOR: &str = "/v1/monitors/{id}";
/// What shows of several monitors those that the caller may see.
const OF_MONITORS: [&str; 3] = ["/v1/monitors", "/v1/outcomes", "/v1/summaries"];

/// The scope of each route, by path and method.
pub(crate) struct Scopes(HashMap<(String, Method), Scope>);

impl Scopes {
    pub(crate) fn of(document: &OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let mut scopes = HashMap::new();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let scope = operation["x-required-scope"].as_str();
                let scope = scope.and_then(Scope::from_name);
                let method = Method::from_bytes(method.to_uppercase().as_bytes());
                if let (Some(scope), Ok(method)) = (scope, method) {
                    scopes.insert((path.clone(), method), scope);
                }
            }
        }
        Self(scopes)
    }
}

pub(crate) async fn require(
    State(scopes): State<Arc<Scopes>>,
    Extension(access): Extension<Access>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = (path.as_str().to_owned(), request.method().clone());
    if let Some(scope) = scopes.0.get(&route) {
        let grant = access.grant();
        if !grant.scopes.contains(scope) {
            return Err(ServiceError::Forbidden(*scope).into());
        }
        if let Some(only) = &grant.only {
            let one = path.as_str().starts_with(ONE_MONITOR);
            let id = request.uri().path().split('/').nth(3).unwrap_or_default();
            let is_theirs = only.iter().any(|own| own.as_str() == id);
            if !(OF_MONITORS.contains(&path.as_str()) || (one && is_theirs)) {
                return Err(ServiceError::Limited.into());
            }
        }
    }
    Ok(next.run(request).await)
}
