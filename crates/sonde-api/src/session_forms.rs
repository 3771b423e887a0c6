//! What the pages' buttons to go by, and to change the workspace by, send. They work without a script, and cookies stay with
//! who makes them.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;
use sonde_core::WorkspaceId;
use sonde_service::{Presented, ServiceError, Token};

use crate::Api;
use crate::caller::{Session, is_cross_site, presented, workspace_cookie};
use crate::problem::ApiError;
use crate::session::forget_session;

/// For who has a session, or had one.
pub fn session_forms_router(api: &Api) -> Router {
    Router::new()
        .route("/sign-out", post(leave))
        .route("/sign-out/everywhere", post(leave_everywhere))
        .route("/workspace", post(choose))
        .with_state(api.clone())
}

async fn leave(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(session) = leaving(&headers)? {
        api.service.sign_out(&session).await?;
    }
    Ok((forget_session(), Redirect::to("/sign-in")).into_response())
}

async fn leave_everywhere(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(session) = leaving(&headers)? {
        match api.service.sign_out_everywhere(&session).await {
            // It has ended by itself.
            Ok(()) | Err(ServiceError::Unauthenticated(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((forget_session(), Redirect::to("/sign-in")).into_response())
}

#[derive(Deserialize)]
struct Choice {
    workspace: WorkspaceId,
}

/// From now on the pages show this one.
async fn choose(
    State(api): State<Api>,
    headers: HeaderMap,
    Session(session): Session,
    Form(Choice { workspace }): Form<Choice>,
) -> Result<Response, ApiError> {
    if is_cross_site(&Method::POST, &headers) {
        return Err(ApiError::CrossSite);
    }
    let presented = Presented::Cookie(session);
    api.service
        .authenticate(&presented, Some(&workspace), None)
        .await?;
    let chosen = workspace_cookie(&api, &workspace);
    Ok((chosen, Redirect::to("/")).into_response())
}

fn leaving(headers: &HeaderMap) -> Result<Option<Token>, ApiError> {
    if is_cross_site(&Method::POST, headers) {
        return Err(ApiError::CrossSite);
    }
    Ok(match presented(headers)? {
        Presented::Cookie(session) => Some(session),
        Presented::Bearer(_) | Presented::Nothing => None,
    })
}
