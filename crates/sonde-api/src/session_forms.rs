//! What the pages' buttons to go by, and to change the workspace by, send; and what is around the pages to come in by. They work
//! without a script, and cookies stay with who makes them.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;
use sonde_core::WorkspaceId;
use sonde_service::{Departure, Presented, ServiceError, SignedIn, Stranger, Token};

use crate::caller::{From, Session, is_cross_site, presented, workspace_cookie};
use crate::problem::ApiError;
use crate::session::{forget_session, session_cookie};
use crate::{Api, limits, oidc};

/// For who has a session, or had one.
pub fn session_forms_router(api: &Api) -> Router {
    Router::new()
        .route("/sign-out", post(leave))
        .route("/sign-out/everywhere", post(leave_everywhere))
        .route("/workspace", post(choose))
        .with_state(api.clone())
}

/// Pages that take a [`Stranger`] and answer with a [`SignedIn`] or a [`Departure`]: no other site sends their forms, and what
/// a browser is to keep of the answer becomes its cookies.
pub fn around_arrivals(api: &Api, pages: Router) -> Router {
    pages
        .layer(from_fn_with_state(api.clone(), arrive))
        .layer(from_fn_with_state(api.clone(), limits::admit_address))
}

async fn arrive(
    State(api): State<Api>,
    From(peer): From,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if is_cross_site(request.method(), request.headers()) {
        return Err(ApiError::CrossSite);
    }
    let told = oidc::told_before(request.headers());
    let mut cookies = Vec::new();
    if told.is_some() {
        cookies.push(oidc::told_cookie(&api.options, ""));
    }
    request.extensions_mut().insert(Stranger {
        peer,
        back: oidc::redirect(&api).ok(),
        told,
    });
    let mut response = next.run(request).await;
    let answer = response.extensions_mut();
    let signed_in = answer.remove::<SignedIn>();
    cookies.extend(signed_in.map(|it| session_cookie(&api, &it.session)));
    let departure = answer.remove::<Departure>();
    cookies.extend(departure.map(|it| oidc::flow_cookie(&api, it.flow.expose())));
    let cookies = cookies.into_iter().map(|it| (header::SET_COOKIE, it));
    Ok((AppendHeaders(cookies), response).into_response())
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
