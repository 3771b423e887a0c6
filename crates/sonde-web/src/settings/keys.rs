//! `/settings/keys`: API keys. A secret is shown once, on the page that answers the form that made it.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use sonde_core::{Scope, Timestamp};
use sonde_service::{FieldProblem, KeyView, NewKey, Token};

use super::{ALL, Tab, limited, only, tabs, to};
use crate::asked::{Asked, instant};
use crate::form::{Confirm, Field, Form, Group, answered};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

const PATH: &str = "/settings/keys";

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route(PATH, get(page).post(create))
        .route("/settings/keys/{id}/rotate", post(rotate))
        .route("/settings/keys/{id}/revoke", get(confirm).post(revoke))
}

#[derive(Template)]
#[template(path = "keys.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    keys: Vec<Row>,
    may_write: bool,
    form: Form,
    /// The name of a key, and its secret.
    made: Option<(String, String)>,
}

struct Row {
    id: String,
    name: String,
    scopes: String,
    limited: String,
    made: String,
    used: String,
    expires: String,
}

async fn page(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    html(&Page::new(&pages, &viewer, form(&viewer)).await?)
}

async fn create(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::KeysWrite)?;
    let mut sent = form(&viewer);
    sent.type_in(&Asked::new(Some(&typed)));
    let new = wanted(&mut sent, &viewer);
    if sent.is_draft {
        let checked = new.map_or(Ok(()), |new| viewer.access.check_key(&new));
        return sent.told(checked);
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(new) = new {
        match viewer.access.create_key(new).await {
            Ok(made) => return shown(&pages, &viewer, made, StatusCode::CREATED).await,
            Err(error) => status = sent.refuse(error)?,
        }
    }
    answered(status, &Page::new(&pages, &viewer, sent).await?)
}

async fn rotate(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let made = viewer.access.rotate_key(&id).await?;
    shown(&pages, &viewer, made, StatusCode::OK).await
}

async fn shown(
    pages: &Pages,
    viewer: &Viewer,
    (key, secret): (KeyView, Token),
    status: StatusCode,
) -> Result<Response, PageError> {
    let mut page = Page::new(pages, viewer, form(viewer)).await?;
    page.made = Some((key.key.value.name, secret.expose().to_owned()));
    answered(status, &page)
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::KeysWrite)?;
    let row = Row::new(viewer.access.key(&id).await?, &viewer);
    let title = format!("Revoke {}?", row.name);
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Settings, title, pages.service.now()),
        back: (PATH.to_owned(), "API keys".to_owned()),
        goes: vec![
            format!(
                "Whoever uses it can do nothing with it any more: {}.",
                row.scopes
            ),
            format!("Last used: {}.", row.used),
        ],
        action: format!("/settings/keys/{id}/revoke"),
        button: "Revoke the key",
        version: None,
    })
}

async fn revoke(viewer: Viewer, Path(id): Path<String>) -> Result<Response, PageError> {
    viewer.access.remove_key(&id).await?;
    Ok(to(PATH))
}

fn form(viewer: &Viewer) -> Form {
    let scopes = viewer.access.grant().scopes.iter();
    let scopes: Vec<_> = scopes.map(|it| (it.as_str(), it.as_str())).collect();
    Form::new(vec![Group::new(
        "Make a key",
        vec![
            Field::line("name", "Name").hint("What it is for."),
            Field::line("expires_at", "Ends on")
                .of_type("date")
                .hint("Never when it is left empty."),
            Field::words("only", "Only for these monitors")
                .hint("Ids with commas in between; all when it is left empty."),
            Field::several("scopes", "It may", &scopes),
        ],
    )])
}

/// What is typed; what cannot be read stands beside its field.
fn wanted(form: &mut Form, viewer: &Viewer) -> Option<NewKey> {
    let expires_at = match form.get("expires_at") {
        "" => Ok(None),
        day => instant("ends on", Some(&format!("{day}T00:00")), viewer.zone).map(Some),
    };
    let expires_at: Option<Option<Timestamp>> = expires_at
        .map_err(|message| form.place([FieldProblem::new("expires_at", message)]))
        .ok();
    let only = only(form).ok();
    // What cannot be read of a draft is told: the rest is looked at without it.
    let (expires_at, only) = if form.is_draft {
        (expires_at.or(Some(None)), only.or(Some(None)))
    } else {
        (expires_at, only)
    };
    let scopes = form.get("scopes").split(',').map(str::trim);
    Some(NewKey {
        name: form.get("name").to_owned(),
        scopes: scopes.filter_map(Scope::from_name).collect(),
        only: only?,
        expires_at: expires_at?,
    })
}

impl Row {
    fn new(view: KeyView, viewer: &Viewer) -> Self {
        let moment = |at| format::moment(at, viewer.zone);
        let key = view.key.value;
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        Self {
            id: view.key.id,
            scopes: scopes.join(", "),
            limited: limited(key.only.as_deref()),
            made: format!("{} by {}", moment(view.key.meta.created_at), key.created_by),
            used: view.last_used_at.map_or_else(|| "never".to_owned(), moment),
            expires: key.expires_at.map_or_else(|| "never".to_owned(), moment),
            name: key.name,
        }
    }
}

impl Page {
    async fn new(pages: &Pages, viewer: &Viewer, form: Form) -> Result<Self, PageError> {
        let keys = viewer.access.keys(&ALL).await?.items.into_iter();
        Ok(Self {
            shell: Shell::new(viewer, Place::Settings, "API keys", pages.service.now()),
            tabs: tabs(viewer, PATH),
            keys: keys.map(|key| Row::new(key, viewer)).collect(),
            may_write: viewer.may_for_all(Scope::KeysWrite),
            form,
            made: None,
        })
    }
}
