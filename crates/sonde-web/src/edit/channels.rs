//! Channels: the list, and each with its settings, a test, and what was told there.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde_json::Value;
use sonde_core::Scope;
use sonde_notify::{Channel, ChannelConfig};
use sonde_service::{Entry, PageQuery, ServiceError};
use sonde_store::{Expected, Telling};

use super::channel_fields::{form, known, title};
use crate::asked::Asked;
use crate::form::{Confirm, Form, answered, confirmed};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

/// More than a workspace has.
const ALL: u32 = 1000;
const USUAL: &str = "webhook";

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/channels", get(list))
        .route("/new/channel", get(new).post(create))
        .route("/channels/{id}", get(show).post(save))
        .route("/channels/{id}/test", post(test))
        .route("/channels/{id}/delete", get(confirm).post(remove))
}

#[derive(Template)]
#[template(path = "channels.html")]
struct List {
    shell: Shell,
    rows: Vec<Row>,
    may_write: bool,
}

struct Row {
    id: String,
    kind: &'static str,
    takes: String,
    last: String,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "channel.html")]
struct Page {
    shell: Shell,
    /// Of a channel that is there.
    id: Option<String>,
    /// Of a new one: name, title, and whether it is this one.
    kinds: Vec<(&'static str, &'static str, bool)>,
    kind: &'static str,
    form: Form,
    managed_by: Option<String>,
    may_write: bool,
    log: Vec<LogRow>,
}

struct LogRow {
    at: String,
    state: String,
    dot: &'static str,
    attempts: u32,
    incident: String,
    error: String,
}

async fn list(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    let query = PageQuery {
        after: None,
        limit: ALL,
    };
    let mut rows = Vec::new();
    for channel in viewer.access.channels(&query).await?.items {
        let log = viewer.access.channel_log(&channel.id).await?;
        let last = log.first();
        rows.push(Row {
            kind: title_of(&channel.value),
            takes: takes(&channel.value),
            last: last.map_or_else(
                || "nothing yet".to_owned(),
                |it| format!("{} {}", it.state, format::moment(when(it), viewer.zone)),
            ),
            state: last.map_or("none", dot),
            id: channel.id,
        });
    }
    html(&List {
        shell: Shell::new(&viewer, Place::Channels, "Channels", pages.service.now()),
        rows,
        may_write: viewer.may_for_all(Scope::AlertsWrite),
    })
}

async fn new(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let kind = kind_of(&pages, &uri)?;
    html(&Page::new(&pages, &viewer, kind, form(kind, true)))
}

async fn create(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let kind = kind_of(&pages, &uri)?;
    let mut form = form(kind, true);
    form.type_in(&Asked::new(Some(&typed)));
    let id = form.get("id").to_owned();
    let config = config(&mut form, kind);
    if form.is_draft {
        return check(&viewer, form, &id, config, true).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(config) = config {
        let put = viewer.access.put_channel(&id, config, Expected::Nothing);
        match put.await.map_err(|error| exists(error, &id)) {
            Ok(_) => return Ok(Redirect::to(&format!("/channels/{id}")).into_response()),
            Err(error) => status = form.refuse(error)?,
        }
    }
    answered(status, &Page::new(&pages, &viewer, kind, form))
}

async fn show(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let channel = viewer.access.channel(&id).await?;
    let mut form = form(channel.value.send.kind(), false);
    if let Value::Object(config) = serde_json::to_value(&channel.value)? {
        form.show(config);
    }
    form.version = Some(channel.meta.version);
    html(&Page::of(&pages, &viewer, channel, form).await?)
}

async fn save(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let channel = viewer.access.channel(&id).await?;
    let kind = channel.value.send.kind();
    let mut form = form(kind, false);
    form.type_in(&Asked::new(Some(&typed)));
    let config = config(&mut form, kind);
    if form.is_draft {
        return check(&viewer, form, &id, config, false).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(config) = config {
        match viewer
            .access
            .put_channel(&id, config, form.expected())
            .await
        {
            Ok(_) => return Ok(Redirect::to(&format!("/channels/{id}")).into_response()),
            Err(error) => status = form.refuse(error)?,
        }
    }
    answered(status, &Page::of(&pages, &viewer, channel, form).await?)
}

async fn check(
    viewer: &Viewer,
    form: Form,
    id: &str,
    config: Option<ChannelConfig>,
    is_new: bool,
) -> Result<Response, PageError> {
    let checked = match config {
        Some(config) => viewer.access.check_channel(id, config, is_new).await,
        None => Ok(()),
    };
    form.told(checked)
}

async fn test(viewer: Viewer, Path(id): Path<String>) -> Result<Response, PageError> {
    viewer.access.test_channel(&id).await?;
    Ok(Redirect::to(&format!("/channels/{id}#log")).into_response())
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let channel = viewer.access.channel(&id).await?;
    let mut goes = vec![
        format!(
            "The channel {id} ({}) with its settings and secrets.",
            title_of(&channel.value)
        ),
        "What was still to be told there, also that something has recovered.".to_owned(),
    ];
    let query = PageQuery {
        after: None,
        limit: ALL,
    };
    let reports = viewer.access.reports(&query).await?.items.into_iter();
    let reports = reports.filter(|it| it.value.body().channel == id);
    let reports: Vec<String> = reports.map(|it| it.id).collect();
    if !reports.is_empty() {
        goes.push(format!(
            "Reports that are told there have nowhere to go: {}.",
            reports.join(", ")
        ));
    }
    let title = format!("Delete {id}?");
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Channels, title, pages.service.now()),
        back: (format!("/channels/{id}"), id.clone()),
        goes,
        action: format!("/channels/{id}/delete"),
        button: "Delete the channel",
        version: Some(channel.meta.version),
    })
}

async fn remove(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let expected = confirmed(&typed);
    viewer.access.remove_channel(&id, expected).await?;
    Ok(Redirect::to("/channels").into_response())
}

fn kind_of(pages: &Pages, uri: &Uri) -> Result<&'static str, PageError> {
    let asked = Asked::new(uri.query());
    let kind = known(asked.get("kind").unwrap_or(USUAL));
    let kind = kind.filter(|kind| *kind != "exec" || pages.service.allows_exec());
    kind.ok_or(PageError::NotFound)
}

/// What is typed, as the API reads it; what is wrong stands beside its field.
fn config(form: &mut Form, kind: &str) -> Option<ChannelConfig> {
    let mut config = form.config()?;
    config.remove("id");
    let send = config
        .entry("send")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Value::Object(send) = send {
        send.entry(kind)
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    form.read(config)
}

fn exists(error: ServiceError, id: &str) -> ServiceError {
    match error {
        ServiceError::Changed => ServiceError::Exists {
            what: "channel",
            id: id.to_owned(),
        },
        other => other,
    }
}

fn title_of(config: &ChannelConfig) -> &'static str {
    title(config.send.kind())
}

/// Which incidents, in a few words.
fn takes(config: &ChannelConfig) -> String {
    let mut parts = Vec::new();
    if !config.monitors.is_empty() {
        let ids: Vec<&str> = config
            .monitors
            .iter()
            .map(sonde_core::MonitorId::as_str)
            .collect();
        parts.push(ids.join(", "));
    }
    if !config.tags.is_empty() {
        parts.push(format!("tagged {}", config.tags.join(" or ")));
    }
    if parts.is_empty() {
        parts.push("all monitors".to_owned());
    }
    if !config.after.is_zero() {
        parts.push(format!(
            "after {}",
            sonde_core::format_duration(config.after)
        ));
    }
    if let Some(repeat) = config.repeat {
        parts.push(format!(
            "again every {}",
            sonde_core::format_duration(repeat)
        ));
    }
    if config.hours.is_some() {
        parts.push("at its hours".to_owned());
    }
    parts.join(" · ")
}

fn when(told: &Telling) -> sonde_core::Timestamp {
    told.settled_at.unwrap_or(told.due)
}

fn dot(told: &Telling) -> &'static str {
    match told.state.as_str() {
        "sent" => "ok",
        "failed" => "failed",
        "waiting" => "pending",
        _ => "none",
    }
}

impl Page {
    fn new(pages: &Pages, viewer: &Viewer, kind: &'static str, form: Form) -> Self {
        let now = pages.service.now();
        let allows_exec = pages.service.allows_exec();
        let kinds = Channel::KINDS.iter().copied();
        let kinds = kinds.filter(|it| *it != "exec" || allows_exec);
        Self {
            shell: Shell::new(viewer, Place::Channels, "New channel", now),
            id: None,
            kinds: kinds.map(|it| (it, title(it), it == kind)).collect(),
            kind: title(kind),
            form,
            managed_by: None,
            may_write: true,
            log: Vec::new(),
        }
    }

    async fn of(
        pages: &Pages,
        viewer: &Viewer,
        channel: Entry<ChannelConfig>,
        form: Form,
    ) -> Result<Self, PageError> {
        let log = viewer.access.channel_log(&channel.id).await?;
        let now = pages.service.now();
        let may_write = viewer.may_for_all(Scope::AlertsWrite);
        let is_locked = !may_write || channel.meta.managed_by.is_some();
        Ok(Self {
            shell: Shell::new(viewer, Place::Channels, &channel.id, now),
            kinds: Vec::new(),
            kind: title_of(&channel.value),
            form: Form { is_locked, ..form },
            managed_by: channel.meta.managed_by,
            may_write,
            log: log.into_iter().map(|it| LogRow::new(it, viewer)).collect(),
            id: Some(channel.id),
        })
    }
}

impl LogRow {
    fn new(told: Telling, viewer: &Viewer) -> Self {
        Self {
            at: format::moment(when(&told), viewer.zone),
            dot: dot(&told),
            incident: told.incident.to_string(),
            attempts: told.attempts,
            state: told.state,
            error: told.error.unwrap_or_default(),
        }
    }
}
