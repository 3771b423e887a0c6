//! `/settings`: who one is, one's password and sessions, and the workspaces that one is a member of.

use std::sync::Arc;

use askama::Template;
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use sonde_service::{Principal, Visit};

use super::{Tab, tabs, to};
use crate::asked::Asked;
use crate::form::{Field, Form, Group, answered};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages};

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/settings", get(page))
        .route("/settings/password", post(change_password))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    facts: Vec<(&'static str, String)>,
    /// Of who has a session.
    form: Option<Form>,
    /// Name, role, and whether it is this one.
    workspaces: Vec<(String, &'static str, bool)>,
    is_done: bool,
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    let is_done = Asked::new(uri.query()).get("done").is_some();
    let page = Page::new(&pages, &viewer, password_form(), is_done).await?;
    answered(StatusCode::OK, &page)
}

async fn change_password(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Extension(visit): Extension<Visit>,
    typed: String,
) -> Result<Response, PageError> {
    let typed = Asked::new(Some(&typed));
    let text = |name| typed.get(name).unwrap_or_default();
    let changed =
        pages
            .service
            .change_password(visit.session()?, text("current"), text("new"), visit.peer);
    match changed.await {
        Ok(()) => Ok(to("/settings?done=password")),
        Err(error) => {
            // Without what was typed: a password does not go back over the network.
            let mut form = password_form();
            let status = form.refuse(error)?;
            answered(status, &Page::new(&pages, &viewer, form, false).await?)
        }
    }
}

fn password_form() -> Form {
    Form::new(vec![Group::new(
        "Change the password",
        vec![
            Field::line("current", "Current password").of_type("password"),
            Field::line("new", "New password")
                .of_type("password")
                .hint("10 characters or more. All other sessions end."),
        ],
    )])
}

impl Page {
    async fn new(
        pages: &Pages,
        viewer: &Viewer,
        form: Form,
        is_done: bool,
    ) -> Result<Self, PageError> {
        let access = &viewer.access;
        let scopes = &access.grant().scopes;
        let mut facts = match access.principal() {
            Principal::User(user) => {
                vec![("Name", user.name.clone()), ("E-mail", user.email.clone())]
            }
            Principal::Local => vec![(
                "You are",
                "on this machine, where nobody has to sign in".to_owned(),
            )],
            Principal::ApiKey { name, .. } => vec![("API key", name.clone())],
        };
        facts.push(("Workspace", access.workspace().to_string()));
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        facts.push(("You may", scopes.join(", ")));
        let mut workspaces = Vec::new();
        let is_user = if let Principal::User(user) = access.principal() {
            for (workspace, member) in pages.service.workspaces(user).await? {
                let is_here = workspace == *access.workspace();
                workspaces.push((workspace.to_string(), member.role.as_str(), is_here));
            }
            true
        } else {
            false
        };
        Ok(Self {
            shell: Shell::new(viewer, Place::Settings, "Settings", pages.service.now()),
            tabs: tabs(viewer, "/settings"),
            facts,
            form: is_user.then_some(form),
            workspaces,
            is_done,
        })
    }
}
