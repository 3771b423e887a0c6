//! `/v1/members` and `/v1/invitations`: who works in a workspace, and who may.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};
use sonde_core::{MonitorId, Role, Timestamp};
use sonde_service::{Entry, Invitation, LimitChange, Member, MemberChange, Token};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::caller::Caller;
use crate::extract::{Body, Id, Precondition, Query, etag};
use crate::openapi::RoleName;
use crate::page::PageParameters;
use crate::problem::ApiError;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, change, remove))
        .routes(routes!(invitations, invite))
        .routes(routes!(invitation, uninvite))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MemberList {
    members: Vec<MemberBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MemberBody {
    /// The user's.
    id: String,
    email: String,
    name: String,
    /// `viewer`, `editor`, `admin`, `owner`.
    #[schema(value_type = RoleName)]
    role: Role,
    /// Only these monitors, and nothing of the workspace as a whole; all of it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    only: Option<Vec<MonitorId>>,
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberPatch {
    #[schema(value_type = Option<RoleName>, nullable = false)]
    role: Option<Role>,
    /// `null` lifts the limit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    only: LimitChange,
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LimitChange, D::Error> {
    Option::deserialize(deserializer).map(LimitChange::Becomes)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationList {
    invitations: Vec<InvitationBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationBody {
    id: String,
    email: String,
    #[schema(value_type = RoleName)]
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    only: Option<Vec<MonitorId>>,
    invited_by: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// An invitation with its link, which is shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationWithLink {
    /// For the invited: it opens for a week, once.
    link: String,
    /// What `POST /v1/invitations/accept` takes; part of the link.
    token: String,
    #[serde(flatten)]
    invitation: InvitationBody,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRequest {
    #[schema(example = "ada@example.org", max_length = 254)]
    email: String,
    #[schema(value_type = RoleName, example = "editor")]
    role: Role,
    /// Only these monitors.
    #[schema(value_type = Option<Vec<String>>)]
    only: Option<Vec<MonitorId>>,
}

/// The members of the workspace.
#[utoipa::path(get, path = "/v1/members", tag = "members", params(PageParameters),
    extensions(("x-required-scope" = json!("members:read"))),
    responses((status = 200, body = MemberList)))]
async fn list(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<MemberList>, ApiError> {
    let page = access.members(&page.query()?).await?;
    Ok(Json(MemberList {
        members: page.items.into_iter().map(MemberBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// One member.
#[utoipa::path(get, path = "/v1/members/{id}", tag = "members", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("members:read"))),
    responses((status = 200, body = MemberBody, headers(("ETag" = String)))))]
async fn show(Caller(access): Caller, Id(id): Id<String>) -> Result<Response, ApiError> {
    Ok(tagged(access.member(&id).await?))
}

/// Changes a member's role or limit. A workspace keeps at least one owner.
#[utoipa::path(patch, path = "/v1/members/{id}", tag = "members", params(("id" = String, Path)),
    request_body = MemberPatch,
    extensions(("x-required-scope" = json!("members:write"))),
    responses((status = 200, body = MemberBody, headers(("ETag" = String)))))]
async fn change(
    Caller(access): Caller,
    Id(id): Id<String>,
    Precondition(expected): Precondition,
    Body(patch): Body<MemberPatch>,
) -> Result<Response, ApiError> {
    let change = MemberChange {
        role: patch.role,
        only: patch.only,
    };
    Ok(tagged(access.change_member(&id, change, expected).await?))
}

/// Removes a member, whose sessions see nothing of the workspace from now on.
#[utoipa::path(delete, path = "/v1/members/{id}", tag = "members", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("members:write"))),
    responses((status = 204)))]
async fn remove(Caller(access): Caller, Id(id): Id<String>) -> Result<StatusCode, ApiError> {
    access.remove_member(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Invitations that were not accepted yet.
#[utoipa::path(get, path = "/v1/invitations", tag = "members", params(PageParameters),
    extensions(("x-required-scope" = json!("members:read"))),
    responses((status = 200, body = InvitationList)))]
async fn invitations(
    Caller(access): Caller,
    Query(page): Query<PageParameters>,
) -> Result<Json<InvitationList>, ApiError> {
    let page = access.invitations(&page.query()?).await?;
    let items = page.items.into_iter();
    Ok(Json(InvitationList {
        invitations: items.map(InvitationBody::from).collect(),
        next_cursor: page.next,
    }))
}

/// Invites somebody by a link. It is for you to send.
#[utoipa::path(post, path = "/v1/invitations", tag = "members", request_body = InvitationRequest,
    extensions(("x-required-scope" = json!("members:write"))),
    responses((status = 201, body = InvitationWithLink, headers(("Location" = String)))))]
async fn invite(
    Caller(access): Caller,
    State(api): State<Api>,
    Body(wanted): Body<InvitationRequest>,
) -> Result<Response, ApiError> {
    let invited = access.invite(&wanted.email, wanted.role, wanted.only);
    let (invitation, token) = invited.await?;
    let location = [(
        header::LOCATION,
        format!("/v1/invitations/{}", invitation.id),
    )];
    let body = InvitationWithLink::new(&api, invitation, &token);
    Ok((StatusCode::CREATED, location, Json(body)).into_response())
}

/// One invitation.
#[utoipa::path(get, path = "/v1/invitations/{id}", tag = "members", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("members:read"))),
    responses((status = 200, body = InvitationBody)))]
async fn invitation(
    Caller(access): Caller,
    Id(id): Id<String>,
) -> Result<Json<InvitationBody>, ApiError> {
    Ok(Json(access.invitation(&id).await?.into()))
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/v1/invitations/{id}", tag = "members", params(("id" = String, Path)),
    extensions(("x-required-scope" = json!("members:write"))),
    responses((status = 204)))]
async fn uninvite(Caller(access): Caller, Id(id): Id<String>) -> Result<StatusCode, ApiError> {
    access.remove_invitation(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tagged(member: Entry<Member>) -> Response {
    (etag(member.meta.version), Json(MemberBody::from(member))).into_response()
}

impl From<Entry<Member>> for MemberBody {
    fn from(entry: Entry<Member>) -> Self {
        let member = entry.value;
        Self {
            id: entry.id,
            email: member.email,
            name: member.name,
            role: member.role,
            only: member.only,
            version: entry.meta.version,
            created_at: entry.meta.created_at,
        }
    }
}

impl From<Entry<Invitation>> for InvitationBody {
    fn from(entry: Entry<Invitation>) -> Self {
        let invitation = entry.value;
        Self {
            id: entry.id,
            email: invitation.email,
            role: invitation.role,
            only: invitation.only,
            invited_by: invitation.invited_by,
            expires_at: invitation.expires_at,
        }
    }
}

impl InvitationWithLink {
    fn new(api: &Api, invitation: Entry<Invitation>, token: &Token) -> Self {
        Self {
            link: api.options.link("invitation", token),
            token: token.expose().to_owned(),
            invitation: invitation.into(),
        }
    }
}
