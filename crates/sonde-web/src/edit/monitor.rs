//! A monitor's settings: made, tried before they are saved, changed, paused, removed. What was typed stays where it is refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value};
use sonde_core::{Kind, MonitorId, Region, Scope, slugify};
use sonde_service::{FieldProblem, MonitorView, PageQuery, masked_config};
use sonde_store::Expected;

use super::monitor_fields::{KINDS, form};
use crate::asked::Asked;
use crate::form::{Confirm, Form, answered, confirmed};
use crate::monitor::{Head, Part, parsed};
use crate::run::{AD_HOC, Answer};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, html};

/// Of the monitors, for the regions that are in use.
const LOOKED_AT: u32 = 1000;
/// What the second button of the form says.
const TEST: &str = "test";

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/new/monitor", get(new).post(create))
        .route("/monitors/{id}/edit", get(edit).post(save))
        .route("/monitors/{id}/delete", get(confirm).post(remove))
        .route("/monitors/{id}/pause", post(pause))
        .route("/monitors/{id}/rotate", post(rotate))
}

#[derive(Template)]
#[template(path = "monitor_edit.html")]
struct Page {
    shell: Shell,
    /// Of a monitor that is there.
    head: Option<Head>,
    /// Of a new one: each kind with whether it is this one.
    kinds: Vec<(&'static str, bool)>,
    form: Form,
    may_test: bool,
    /// What came of a test.
    tested: Option<Tested>,
    /// Where a job tells that it is well.
    heartbeat: Option<String>,
}

async fn new(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let kind = kind_of(&pages, &uri)?;
    let form = form(kind, true, &regions(&viewer).await?);
    html(&Page::new(&pages, &viewer, kind, form))
}

async fn create(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let kind = kind_of(&pages, &uri)?;
    let typed = Asked::new(Some(&typed));
    let mut form = form(kind, true, &regions(&viewer).await?);
    form.type_in(&typed);
    let is_test = typed.get("do") == Some(TEST);
    let id = new_id(&mut form, is_test);
    let mut config = config(&mut form, kind);
    if let Some(config) = &mut config {
        config.remove("id");
    }
    if form.is_draft {
        // What is no id has been told: it does not matter for the rest.
        let id = id.unwrap_or_else(ad_hoc);
        return check(&viewer, form, &id, config, true).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let (Some(config), Some(id)) = (config, id) {
        if is_test {
            let (status, tested) = try_out(&viewer, &id, &mut form, config).await?;
            let page = Page::new(&pages, &viewer, kind, form);
            return answered(status, &Page { tested, ..page });
        }
        match viewer.access.create_monitor(&id, config).await {
            Ok(_) => return Ok(Redirect::to(&place_after(&id, kind)).into_response()),
            Err(error) => status = form.refuse(error)?,
        }
    }
    answered(status, &Page::new(&pages, &viewer, kind, form))
}

async fn edit(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let view = viewer.access.monitor_view(&parsed(&id)?).await?;
    let mut form = form(view.monitor.spec.kind(), false, &regions(&viewer).await?);
    form.show(masked_config(&view.monitor));
    form.version = Some(view.meta.version);
    html(&Page::of(&pages, &viewer, &view, form).await?)
}

async fn save(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let id = parsed(&id)?;
    let view = viewer.access.monitor_view(&id).await?;
    let kind = view.monitor.spec.kind();
    let typed = Asked::new(Some(&typed));
    let mut form = form(kind, false, &regions(&viewer).await?);
    form.type_in(&typed);
    let config = config(&mut form, kind);
    if form.is_draft {
        return check(&viewer, form, &id, config, false).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(config) = config {
        if typed.get("do") == Some(TEST) {
            let (status, tested) = try_out(&viewer, &id, &mut form, config).await?;
            let page = Page::of(&pages, &viewer, &view, form).await?;
            return answered(status, &Page { tested, ..page });
        }
        let expected = form.expected();
        match viewer
            .access
            .put_monitor_config(&id, config, expected)
            .await
        {
            Ok(_) => return Ok(Redirect::to(&place_after(&id, kind)).into_response()),
            Err(error) => status = form.refuse(error)?,
        }
    }
    answered(status, &Page::of(&pages, &viewer, &view, form).await?)
}

async fn check(
    viewer: &Viewer,
    form: Form,
    id: &MonitorId,
    config: Option<Map<String, Value>>,
    is_new: bool,
) -> Result<Response, PageError> {
    let config = config.unwrap_or_default();
    form.told(viewer.access.check_monitor(id, config, is_new).await)
}

/// A row, or why there is none.
type Tested = Result<String, String>;

/// What comes of a check of what was typed, which is not saved.
async fn try_out(
    viewer: &Viewer,
    id: &MonitorId,
    form: &mut Form,
    config: Map<String, Value>,
) -> Result<(StatusCode, Option<Tested>), PageError> {
    let mut run = match viewer.access.try_monitor(id, config, &ad_hoc()).await {
        Ok(run) => run,
        Err(error) => return Ok((form.refuse(error)?, None)),
    };
    let tested = if let Some(result) = run.next().await? {
        Ok(Answer::new(&result, viewer, false).render()?)
    } else {
        let from: Vec<String> = run.unanswered().iter().map(Region::to_string).collect();
        let from = from.join(", ");
        Err(format!(
            "No answer from {from}: no checker took the check in time."
        ))
    };
    Ok((StatusCode::OK, Some(tested)))
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::MonitorsWrite)?;
    let id = parsed(&id)?;
    let stored = viewer.access.monitor(&id).await?;
    let monitor = stored.value;
    let mut goes = vec![format!(
        "The monitor {} ({id}), which checks {}: its settings, and its place on every page.",
        monitor.name,
        monitor.target()
    )];
    if monitor.spec.heartbeat().is_some() {
        goes.push("Its address: jobs that call it are answered that there is nothing.".to_owned());
    }
    let all = viewer.access.overview().await?.into_iter();
    let needing = all.filter(|it| it.monitor.depends_on.contains(&id));
    let needing: Vec<String> = needing.map(|it| it.monitor.name).collect();
    if !needing.is_empty() {
        goes.push(format!("{} depend on it.", needing.join(", ")));
    }
    goes.push("Results and incidents stay until their retention is over.".to_owned());
    let title = format!("Delete {}?", monitor.name);
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Monitors, title, pages.service.now()),
        back: (format!("/monitors/{id}/edit"), monitor.name),
        goes,
        action: format!("/monitors/{id}/delete"),
        button: "Delete the monitor",
        version: Some(stored.meta.version),
    })
}

async fn remove(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let expected = confirmed(&typed);
    viewer
        .access
        .remove_monitor(&parsed(&id)?, expected)
        .await?;
    Ok(Redirect::to("/").into_response())
}

/// Nothing but that is changed, so that it does not matter what else was meanwhile.
async fn pause(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    let is_paused = Asked::new(Some(&typed)).get("paused") == Some("true");
    let patch = Map::from_iter([("paused".to_owned(), Value::from(is_paused))]);
    let patched = viewer.access.patch_monitor(&id, patch, Expected::Anything);
    patched.await?;
    Ok(Redirect::to(&format!("/monitors/{id}")).into_response())
}

async fn rotate(viewer: Viewer, Path(id): Path<String>) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    viewer.access.rotate_heartbeat_token(&id).await?;
    Ok(Redirect::to(&format!("/monitors/{id}/edit#heartbeat")).into_response())
}

/// A heartbeat's address is what somebody needs next.
fn place_after(id: &MonitorId, kind: Kind) -> String {
    match kind {
        Kind::Heartbeat => format!("/monitors/{id}/edit#heartbeat"),
        _ => format!("/monitors/{id}"),
    }
}

fn kind_of(pages: &Pages, uri: &Uri) -> Result<Kind, PageError> {
    let asked = Asked::new(uri.query());
    let name = asked.get("kind").unwrap_or(Kind::Http.as_str());
    let mut known = kinds(pages);
    known
        .find(|kind| kind.as_str() == name)
        .ok_or(PageError::NotFound)
}

fn kinds(pages: &Pages) -> impl Iterator<Item = Kind> {
    let allows_exec = pages.service.allows_exec();
    let kinds = KINDS.into_iter();
    kinds.filter(move |kind| *kind != Kind::Exec || allows_exec)
}

/// Those that monitors are checked from.
async fn regions(viewer: &Viewer) -> Result<Vec<String>, PageError> {
    let query = PageQuery {
        after: None,
        limit: LOOKED_AT,
    };
    let monitors = viewer.access.monitors(&query).await?.items;
    let regions = monitors.iter().flat_map(|it| &it.value.regions);
    let regions: BTreeSet<&Region> = regions.filter(|it| !it.is_push()).collect();
    Ok(regions.into_iter().map(Region::to_string).collect())
}

/// With the key that names the kind, also where nothing is said of it.
fn config(form: &mut Form, kind: Kind) -> Option<Map<String, Value>> {
    let mut config = form.config()?;
    config
        .entry(kind.as_str())
        .or_insert_with(|| Map::new().into());
    Some(config)
}

fn ad_hoc() -> MonitorId {
    MonitorId::new(AD_HOC).expect("it is a slug")
}

/// As it was typed, or made of the name; a test needs none.
fn new_id(form: &mut Form, is_test: bool) -> Option<MonitorId> {
    let typed = form.get("id").to_owned();
    if typed.is_empty() {
        let proposed = slugify(form.get("name")).or_else(|| is_test.then(|| AD_HOC.to_owned()));
        let Some(proposed) = proposed else {
            let message = "must be there where no name is that it can be made of";
            form.place([FieldProblem::new("id", message)]);
            return None;
        };
        return MonitorId::new(&proposed).ok();
    }
    match MonitorId::new(&typed) {
        Ok(id) => Some(id),
        Err(error) => {
            form.place([FieldProblem::new("id", error.to_string())]);
            None
        }
    }
}

impl Page {
    fn new(pages: &Pages, viewer: &Viewer, kind: Kind, form: Form) -> Self {
        let now = pages.service.now();
        Self {
            shell: Shell::new(viewer, Place::Monitors, "New monitor", now),
            head: None,
            kinds: kinds(pages).map(|it| (it.as_str(), it == kind)).collect(),
            form,
            may_test: viewer.may(Scope::ChecksRun) && kind != Kind::Heartbeat,
            tested: None,
            heartbeat: None,
        }
    }

    async fn of(
        pages: &Pages,
        viewer: &Viewer,
        view: &MonitorView,
        form: Form,
    ) -> Result<Self, PageError> {
        let monitor = &view.monitor;
        let now = pages.service.now();
        let title = format!("Settings of {}", monitor.name);
        let is_heartbeat = monitor.spec.heartbeat().is_some();
        let heartbeat = if is_heartbeat {
            let token = viewer.access.heartbeat_token(&monitor.id).await?;
            let path = format!("/v1/heartbeats/{}", token.expose());
            Some(pages.service.link(&path))
        } else {
            None
        };
        let is_locked = view.meta.managed_by.is_some();
        Ok(Self {
            shell: Shell::new(viewer, Place::Monitors, title, now),
            head: Some(Head::new(viewer, view, Part::Settings, None, now)),
            kinds: Vec::new(),
            form: Form { is_locked, ..form },
            may_test: viewer.may(Scope::ChecksRun) && !is_heartbeat,
            tested: None,
            heartbeat,
        })
    }
}
