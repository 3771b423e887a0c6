//! `/v1/setup`, `/v1/session`, `/v1/workspaces`, accepting invitations: how people come in and go.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Role, Scope, WorkspaceId};
use sonde_service::{Newcomer, Principal, SignedIn, Token};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::{Caller, From, SESSION_COOKIE, Session, is_cross_site};
use crate::extract::Body;
use crate::openapi::{RoleName, ScopeName};
use crate::problem::ApiError;

/// For who is nobody yet.
pub(crate) fn public() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(set_up))
        .routes(routes!(sign_in))
        .routes(routes!(accept))
        .routes(routes!(look))
        .routes(routes!(sign_out))
        .routes(routes!(change_password))
        .routes(routes!(workspaces, create_workspace))
}

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUpRequest {
    /// Out of the link that the first start prints.
    token: String,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(example = "Ada")]
    name: String,
    /// 10 characters or more.
    #[schema(min_length = 10, max_length = 1024)]
    password: String,
    /// Whose first owner this is; `default` when absent, where the monitors of `sonde config load` and `sonde up` are.
    #[schema(value_type = Option<String>, nullable = false)]
    workspace: Option<WorkspaceId>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    email: String,
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptRequest {
    token: String,
    name: String,
    /// A new one; or your own when the invited address has an account already.
    #[schema(max_length = 1024)]
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationToken {
    token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    current: String,
    #[schema(min_length = 10, max_length = 1024)]
    new: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceRequest {
    #[schema(value_type = String, max_length = 63, pattern = "^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$")]
    name: WorkspaceId,
}

/// Who signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserBody {
    id: String,
    email: String,
    name: String,
}

/// What an invitation is for.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitedBody {
    #[schema(value_type = String)]
    workspace: WorkspaceId,
    email: String,
    #[schema(value_type = RoleName)]
    role: Role,
    invited_by: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct WorkspaceList {
    workspaces: Vec<WorkspaceBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct WorkspaceBody {
    #[schema(value_type = String)]
    name: WorkspaceId,
    #[schema(value_type = RoleName)]
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    only: Option<Vec<MonitorId>>,
}

/// Who asks, and what they may.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallerBody {
    /// `local`, `user`, `api_key`.
    kind: &'static str,
    #[schema(value_type = String)]
    workspace: WorkspaceId,
    /// Of the user or the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    name: String,
    #[schema(value_type = Vec<ScopeName>)]
    scopes: Vec<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    only: Option<Vec<MonitorId>>,
}

/// Makes the first account, with the link that the first start printed.
#[utoipa::path(post, path = "/v1/setup", tag = "session", request_body = SetUpRequest, security(()),
    responses((status = 201, body = UserBody, headers(("Set-Cookie" = String)))))]
async fn set_up(
    State(api): State<Api>,
    From(peer): From,
    Body(wanted): Body<SetUpRequest>,
) -> Result<Response, ApiError> {
    let token = Token::presented(&wanted.token);
    let newcomer = Newcomer {
        name: wanted.name,
        password: wanted.password,
    };
    let workspace = wanted.workspace.unwrap_or_else(WorkspaceId::local);
    let service = &api.service;
    let signed_in = service
        .set_up(&token, &wanted.email, &newcomer, workspace, peer)
        .await?;
    Ok((StatusCode::CREATED, signed(&api, signed_in)).into_response())
}

/// Signs in with e-mail address and password. The session is in the cookie.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = SignInRequest, security(()),
    responses((status = 200, body = UserBody, headers(("Set-Cookie" = String)))))]
async fn sign_in(
    State(api): State<Api>,
    From(peer): From,
    headers: HeaderMap,
    Body(wanted): Body<SignInRequest>,
) -> Result<Response, ApiError> {
    if is_cross_site(&Method::POST, &headers) {
        return Err(ApiError::CrossSite);
    }
    let signed_in = api.service.sign_in(&wanted.email, &wanted.password, peer);
    Ok(signed(&api, signed_in.await?).into_response())
}

/// Becomes a member by an invitation, with a new account or the one that the address has.
#[utoipa::path(post, path = "/v1/invitations/accept", tag = "session", request_body = AcceptRequest, security(()),
    responses((status = 200, body = UserBody, headers(("Set-Cookie" = String)))))]
async fn accept(
    State(api): State<Api>,
    From(peer): From,
    Body(wanted): Body<AcceptRequest>,
) -> Result<Response, ApiError> {
    let token = Token::presented(&wanted.token);
    let newcomer = Newcomer {
        name: wanted.name,
        password: wanted.password,
    };
    let accepted = api.service.accept_invitation(&token, &newcomer, peer);
    Ok(signed(&api, accepted.await?).into_response())
}

/// What an invitation is for, before it is accepted.
#[utoipa::path(post, path = "/v1/invitations/look", tag = "session", request_body = InvitationToken, security(()),
    responses((status = 200, body = InvitedBody)))]
async fn look(
    State(api): State<Api>,
    From(peer): From,
    Body(wanted): Body<InvitationToken>,
) -> Result<Json<InvitedBody>, ApiError> {
    let token = Token::presented(&wanted.token);
    let (workspace, invitation) = api.service.invitation_of(&token, peer).await?;
    Ok(Json(InvitedBody {
        workspace,
        email: invitation.email,
        role: invitation.role,
        invited_by: invitation.invited_by,
    }))
}

/// Who asks, in which workspace, and what they may do there.
#[utoipa::path(get, path = "/v1/session", tag = "session",
    responses((status = 200, body = CallerBody)))]
async fn show(Caller(access): Caller) -> Json<CallerBody> {
    let (kind, id, name) = match access.principal() {
        Principal::Local => ("local", None, "this machine".to_owned()),
        Principal::User(user) => ("user", Some(user.id.clone()), user.email.clone()),
        Principal::ApiKey { id, name } => ("api_key", Some(id.clone()), name.clone()),
    };
    let grant = access.grant();
    Json(CallerBody {
        kind,
        workspace: access.workspace().clone(),
        id,
        name,
        scopes: grant.scopes.iter().copied().collect(),
        only: grant
            .only
            .as_ref()
            .map(|only| only.iter().cloned().collect()),
    })
}

/// Ends the session.
#[utoipa::path(delete, path = "/v1/session", tag = "session", security(("session" = [])),
    responses((status = 204, headers(("Set-Cookie" = String)))))]
async fn sign_out(
    State(api): State<Api>,
    headers: HeaderMap,
    Session(session): Session,
) -> Result<Response, ApiError> {
    if is_cross_site(&Method::DELETE, &headers) {
        return Err(ApiError::CrossSite);
    }
    api.service.sign_out(&session).await?;
    Ok((StatusCode::NO_CONTENT, forget_session()).into_response())
}

/// What takes the cookie of a session back.
pub(crate) fn forget_session() -> [(header::HeaderName, String); 1] {
    let gone = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    [(header::SET_COOKIE, gone)]
}

/// Changes one's own password, which ends all other sessions.
#[utoipa::path(put, path = "/v1/session/password", tag = "session", request_body = PasswordRequest,
    security(("session" = [])), responses((status = 204)))]
async fn change_password(
    State(api): State<Api>,
    From(peer): From,
    headers: HeaderMap,
    Session(session): Session,
    Body(wanted): Body<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    if is_cross_site(&Method::PUT, &headers) {
        return Err(ApiError::CrossSite);
    }
    let service = &api.service;
    service
        .change_password(&session, &wanted.current, &wanted.new, peer)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The workspaces that one is a member of.
#[utoipa::path(get, path = "/v1/workspaces", tag = "session", security(("session" = [])),
    responses((status = 200, body = WorkspaceList)))]
async fn workspaces(
    State(api): State<Api>,
    Session(session): Session,
) -> Result<Json<WorkspaceList>, ApiError> {
    let user = api.service.session_user(&session).await?;
    let workspaces = api.service.workspaces(&user).await?.into_iter();
    let workspaces = workspaces.map(|(name, member)| WorkspaceBody {
        name,
        role: member.role,
        only: member.only,
    });
    Ok(Json(WorkspaceList {
        workspaces: workspaces.collect(),
    }))
}

/// Makes a workspace, which one owns.
#[utoipa::path(post, path = "/v1/workspaces", tag = "session", request_body = WorkspaceRequest,
    security(("session" = [])), responses((status = 201, body = WorkspaceBody)))]
async fn create_workspace(
    State(api): State<Api>,
    headers: HeaderMap,
    Session(session): Session,
    Body(wanted): Body<WorkspaceRequest>,
) -> Result<Response, ApiError> {
    if is_cross_site(&Method::POST, &headers) {
        return Err(ApiError::CrossSite);
    }
    let user = api.service.session_user(&session).await?;
    let name = wanted.name;
    api.service.create_workspace(&user, name.clone()).await?;
    let body = WorkspaceBody {
        name,
        role: Role::Owner,
        only: None,
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn signed(api: &Api, signed_in: SignedIn) -> impl IntoResponse + use<> {
    let SignedIn { user, session } = signed_in;
    let cookie = [(header::SET_COOKIE, session_cookie(api, &session))];
    let body = UserBody {
        id: user.id,
        email: user.email,
        name: user.name,
    };
    (cookie, Json(body))
}

pub(crate) fn session_cookie(api: &Api, session: &Token) -> String {
    let secure = if api.options.is_https() {
        "; Secure"
    } else {
        ""
    };
    // As long as the session lives at most; it ends sooner where it is not used.
    let age = 30 * 24 * 3600;
    format!(
        "{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}",
        session.expose()
    )
}
