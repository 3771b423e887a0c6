//! Maintenance: what is going on and comes, and each with its times, which are shown before they are saved.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use sonde_core::{
    InvalidMaintenance, MaintainedMonitors, Maintenance, MaintenanceBody, MonitorId, Scope,
};
use sonde_service::{FieldProblem, MaintenanceView, PageQuery};

use super::calendar::Calendar;
use super::maintenance_fields::{body, form, show};
use crate::asked::Asked;
use crate::form::{Confirm, Form, answered, confirmed};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

/// As many as a workspace has.
const ALL: u32 = 1000;
/// What the second button of the form says.
const PREVIEW: &str = "preview";

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/maintenance", get(list))
        .route("/new/maintenance", get(new).post(create))
        .route("/maintenance/{id}", get(edit).post(save))
        .route("/maintenance/{id}/delete", get(confirm).post(remove))
}

#[derive(Template)]
#[template(path = "maintenance.html")]
struct List {
    shell: Shell,
    rows: Vec<Row>,
    may_write: bool,
}

struct Row {
    id: String,
    title: String,
    of: String,
    is_active: bool,
    next: String,
}

#[derive(Template)]
#[template(path = "maintenance_edit.html")]
struct Page {
    shell: Shell,
    id: Option<String>,
    form: Form,
    managed_by: Option<String>,
    calendar: Option<Calendar>,
}

async fn list(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    let query = PageQuery {
        after: None,
        limit: ALL,
    };
    let all = viewer.access.maintenance_list(&query).await?;
    let mut items = all.items;
    // What is going on, what comes next, and at the end what is over.
    items.sort_by_key(|it| {
        let next = it.next.first().map(|window| window.from);
        (!it.is_active, next.is_none(), next)
    });
    html(&List {
        shell: Shell::new(
            &viewer,
            Place::Maintenance,
            "Maintenance",
            pages.service.now(),
        ),
        rows: items.iter().map(|it| Row::new(it, &viewer)).collect(),
        may_write: viewer.may_for_all(Scope::MonitorsWrite),
    })
}

impl Row {
    fn new(view: &MaintenanceView, viewer: &Viewer) -> Self {
        let body = view.maintenance.value.body();
        let moment = |at| format::short_moment(at, viewer.zone);
        let window = view.next.first();
        Self {
            id: view.maintenance.id.clone(),
            title: body.title.clone(),
            of: match &body.monitors {
                MaintainedMonitors::All => "all monitors".to_owned(),
                MaintainedMonitors::Ids(ids) => {
                    let ids: Vec<&str> = ids.iter().map(MonitorId::as_str).collect();
                    ids.join(", ")
                }
                MaintainedMonitors::Tags(tags) => format!("tagged {}", tags.join(" or ")),
            },
            is_active: view.is_active,
            next: window.map_or_else(
                || "none within a year".to_owned(),
                |it| format!("{} – {}", moment(it.from), moment(it.to)),
            ),
        }
    }
}

async fn new(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let form = form(viewer.zone);
    html(&Page::new(&pages, &viewer, form))
}

async fn create(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let typed = Asked::new(Some(&typed));
    let mut form = form(viewer.zone);
    form.type_in(&typed);
    if form.is_draft {
        return check(&viewer, form).await;
    }
    let read = read(&mut form, &viewer);
    let calendar = calendar(&pages, &viewer, read.as_ref());
    let mut status = status_of(read.as_ref());
    if let Some(maintenance) = read
        && typed.get("do") != Some(PREVIEW)
    {
        let made = viewer.access.create_maintenance(maintenance.into()).await;
        match made {
            Ok(made) => return Ok(to(&made.maintenance.id)),
            Err(error) => status = form.refuse(error)?,
        }
    }
    let page = Page {
        calendar,
        ..Page::new(&pages, &viewer, form)
    };
    answered(status, &page)
}

async fn edit(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let view = viewer.access.maintenance(&id).await?;
    let mut form = form(viewer.zone);
    show(&mut form, view.maintenance.value.body(), viewer.zone);
    form.version = Some(view.maintenance.meta.version);
    let calendar = calendar(&pages, &viewer, Some(&view.maintenance.value));
    let page = Page {
        calendar,
        ..Page::of(&pages, &viewer, view, form)
    };
    html(&page)
}

async fn save(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let view = viewer.access.maintenance(&id).await?;
    let typed = Asked::new(Some(&typed));
    let mut form = form(viewer.zone);
    form.type_in(&typed);
    if form.is_draft {
        return check(&viewer, form).await;
    }
    let read = read(&mut form, &viewer);
    let calendar = calendar(&pages, &viewer, read.as_ref());
    let mut status = status_of(read.as_ref());
    if let Some(maintenance) = read
        && typed.get("do") != Some(PREVIEW)
    {
        let body = maintenance.into();
        let saved = viewer.access.change_maintenance(&id, body, form.expected());
        match saved.await {
            Ok(_) => return Ok(to(&id)),
            Err(error) => status = form.refuse(error)?,
        }
    }
    let page = Page {
        calendar,
        ..Page::of(&pages, &viewer, view, form)
    };
    answered(status, &page)
}

async fn check(viewer: &Viewer, mut form: Form) -> Result<Response, PageError> {
    let checked = match body(&mut form, viewer.zone) {
        Some(body) => viewer.access.check_maintenance(body).await,
        None => Ok(()),
    };
    form.told(checked)
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let view = viewer.access.maintenance(&id).await?;
    let row = Row::new(&view, &viewer);
    let mut goes = vec![format!("Maintenance of {}; next: {}.", row.of, row.next)];
    if view.is_active {
        goes.push("It is going on: from now on, outcomes count and alert again.".to_owned());
    }
    goes.push("What was checked before stays as it was marked.".to_owned());
    let title = format!("Delete {}?", row.title);
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Maintenance, title, pages.service.now()),
        back: (format!("/maintenance/{id}"), row.title),
        goes,
        action: format!("/maintenance/{id}/delete"),
        button: "Delete the maintenance",
        version: Some(view.maintenance.meta.version),
    })
}

async fn remove(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let expected = confirmed(&typed);
    viewer.access.remove_maintenance(&id, expected).await?;
    Ok(Redirect::to("/maintenance").into_response())
}

fn to(id: &str) -> Response {
    Redirect::to(&format!("/maintenance/{id}")).into_response()
}

/// What was typed, where it is right.
fn read(form: &mut Form, viewer: &Viewer) -> Option<Maintenance> {
    let body: MaintenanceBody = body(form, viewer.zone)?;
    match Maintenance::new(body) {
        Ok(maintenance) => Some(maintenance),
        Err(InvalidMaintenance(problems)) => {
            let problems = problems.into_iter();
            form.place(problems.map(|it| FieldProblem::new(it.path, it.message)));
            None
        }
    }
}

fn status_of(read: Option<&Maintenance>) -> StatusCode {
    match read {
        Some(_) => StatusCode::OK,
        None => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn calendar(pages: &Pages, viewer: &Viewer, of: Option<&Maintenance>) -> Option<Calendar> {
    of.map(|it| Calendar::new(it, pages.service.now(), viewer.zone))
}

impl Page {
    fn new(pages: &Pages, viewer: &Viewer, form: Form) -> Self {
        let now = pages.service.now();
        Self {
            shell: Shell::new(viewer, Place::Maintenance, "New maintenance", now),
            id: None,
            form,
            managed_by: None,
            calendar: None,
        }
    }

    fn of(pages: &Pages, viewer: &Viewer, view: MaintenanceView, form: Form) -> Self {
        let entry = view.maintenance;
        let may_write = viewer.may_for_all(Scope::MonitorsWrite);
        let is_locked = !may_write || entry.meta.managed_by.is_some();
        let title = entry.value.body().title.clone();
        Self {
            shell: Shell::new(viewer, Place::Maintenance, title, pages.service.now()),
            id: Some(entry.id),
            form: Form { is_locked, ..form },
            managed_by: entry.meta.managed_by,
            calendar: None,
        }
    }
}
