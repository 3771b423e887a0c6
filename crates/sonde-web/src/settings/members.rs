//! `/settings/members`: who is in the workspace and as what, and who is invited. A link to join by is shown once.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use sonde_core::{Role, Scope};
use sonde_service::{Member, MemberChange};
use sonde_store::Expected;

use super::{ALL, Tab, limited, only, tabs, to};
use crate::asked::Asked;
use crate::form::{Confirm, Field, Form, Group, answered};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

const PATH: &str = "/settings/members";
const ROLES: [(&str, &str); 4] = [
    ("viewer", "viewer: looks"),
    ("editor", "editor: changes monitors, channels, maintenance"),
    ("admin", "admin: members and keys too"),
    ("owner", "owner"),
];

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route(PATH, get(page).post(invite))
        .route("/settings/members/{id}/role", post(change_role))
        .route("/settings/members/{id}/remove", get(confirm).post(remove))
        .route("/settings/invitations/{id}/remove", post(withdraw))
}

#[derive(Template)]
#[template(path = "members.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    members: Vec<MemberRow>,
    invitations: Vec<InvitationRow>,
    roles: [Role; 4],
    may_write: bool,
    form: Form,
    /// For whom, and the link.
    invited: Option<(String, String)>,
}

struct MemberRow {
    id: String,
    name: String,
    email: String,
    role: Role,
    limited: String,
}

struct InvitationRow {
    id: String,
    email: String,
    role: Role,
    by: String,
    until: String,
}

async fn page(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    html(&Page::new(&pages, &viewer, form()).await?)
}

async fn invite(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::MembersWrite)?;
    let mut sent = form();
    sent.type_in(&Asked::new(Some(&typed)));
    let only = only(&mut sent);
    let role = Role::from_name(sent.get("role")).unwrap_or(Role::Viewer);
    if sent.is_draft {
        let only = only.unwrap_or_default();
        let access = &viewer.access;
        let checked = access.check_invitation(sent.get("email"), role, only.as_deref());
        return sent.told(checked);
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Ok(only) = only {
        match viewer.access.invite(sent.get("email"), role, only).await {
            Ok((invitation, token)) => {
                let path = format!("/invitation#{}", token.expose());
                let link = pages.service.link(&path);
                let mut page = Page::new(&pages, &viewer, form()).await?;
                page.invited = Some((invitation.value.email, link));
                return answered(StatusCode::CREATED, &page);
            }
            Err(error) => status = sent.refuse(error)?,
        }
    }
    answered(status, &Page::new(&pages, &viewer, sent).await?)
}

async fn change_role(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let typed = Asked::new(Some(&typed));
    let wanted = MemberChange {
        role: typed.get("role").and_then(Role::from_name),
        ..MemberChange::default()
    };
    let changed = viewer.access.change_member(&id, wanted, Expected::Anything);
    changed.await?;
    Ok(to(PATH))
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::MembersWrite)?;
    let member: Member = viewer.access.member(&id).await?.value;
    let title = format!("Remove {}?", member.name);
    let goes = vec![
        format!(
            "{} is no {} of {} any more, from this moment on.",
            member.email,
            member.role,
            viewer.access.workspace()
        ),
        "Their account, and what they are in other workspaces, stays.".to_owned(),
        "API keys that they made go on working: revoke those that are not to.".to_owned(),
    ];
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Settings, title, pages.service.now()),
        back: (PATH.to_owned(), "Members".to_owned()),
        goes,
        action: format!("/settings/members/{id}/remove"),
        button: "Remove from the workspace",
        version: None,
    })
}

async fn remove(viewer: Viewer, Path(id): Path<String>) -> Result<Response, PageError> {
    viewer.access.remove_member(&id).await?;
    Ok(to(PATH))
}

async fn withdraw(viewer: Viewer, Path(id): Path<String>) -> Result<Response, PageError> {
    viewer.access.remove_invitation(&id).await?;
    Ok(to(PATH))
}

fn form() -> Form {
    Form::new(vec![Group::new(
        "Invite somebody",
        vec![
            Field::line("email", "E-mail").of_type("email"),
            Field::choice("role", "As", &ROLES),
            Field::words("only", "Only for these monitors")
                .hint("Ids with commas in between; the whole workspace when it is left empty."),
        ],
    )])
}

impl Page {
    async fn new(pages: &Pages, viewer: &Viewer, form: Form) -> Result<Self, PageError> {
        let access = &viewer.access;
        let members = access.members(&ALL).await?.items.into_iter();
        let members = members.map(|member| MemberRow {
            id: member.id,
            limited: limited(member.value.only.as_deref()),
            name: member.value.name,
            email: member.value.email,
            role: member.value.role,
        });
        let invitations = access.invitations(&ALL).await?.items.into_iter();
        let invitations = invitations.map(|it| InvitationRow {
            id: it.id,
            email: it.value.email,
            role: it.value.role,
            by: it.value.invited_by,
            until: format::moment(it.value.expires_at, viewer.zone),
        });
        Ok(Self {
            shell: Shell::new(viewer, Place::Settings, "Members", pages.service.now()),
            tabs: tabs(viewer, PATH),
            members: members.collect(),
            invitations: invitations.collect(),
            roles: Role::ALL,
            may_write: viewer.may_for_all(Scope::MembersWrite),
            form,
            invited: None,
        })
    }
}
