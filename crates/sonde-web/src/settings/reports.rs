//! `/settings/reports`: how a period went, told to a channel.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use sonde_core::{MonitorId, Report, ReportBody, ReportInterval, Scope};
use sonde_service::{Entry, ServiceError};
use sonde_store::Expected;

use super::{ALL, Tab, tabs, to};
use crate::asked::Asked;
use crate::form::{Confirm, Field, Form, Group, answered, confirmed};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, html};

const PATH: &str = "/settings/reports";
const EVERY: [(&str, &str); 3] = [("day", "day"), ("week", "week"), ("month", "month")];

pub(super) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route(PATH, get(page).post(create))
        .route("/settings/reports/{id}", get(edit).post(save))
        .route("/settings/reports/{id}/delete", get(confirm).post(remove))
}

#[derive(Template)]
#[template(path = "reports.html")]
struct Page {
    shell: Shell,
    tabs: Vec<Tab>,
    reports: Vec<Row>,
    may_write: bool,
    has_channels: bool,
    form: Form,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Edit {
    shell: Shell,
    id: String,
    form: Form,
}

struct Row {
    id: String,
    channel: String,
    when: String,
    of: String,
}

async fn page(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    let channels = channels(&viewer).await?;
    let form = form(&viewer, &channels, true);
    html(&Page::new(&pages, &viewer, form, !channels.is_empty()).await?)
}

async fn create(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let channels = channels(&viewer).await?;
    let mut form = form(&viewer, &channels, true);
    form.type_in(&Asked::new(Some(&typed)));
    let id = form.get("id").to_owned();
    let body = body(&mut form);
    if form.is_draft {
        return check(&viewer, form, &id, body, true).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(body) = body {
        let put = viewer.access.put_report(&id, body, Expected::Nothing);
        let put = put.await.map_err(|error| match error {
            ServiceError::Changed => ServiceError::Exists { what: "report", id },
            other => other,
        });
        match put {
            Ok(_) => return Ok(to(PATH)),
            Err(error) => status = form.refuse(error)?,
        }
    }
    let page = Page::new(&pages, &viewer, form, !channels.is_empty()).await?;
    answered(status, &page)
}

async fn edit(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let report = viewer.access.report(&id).await?;
    let mut form = form(&viewer, &channels(&viewer).await?, false);
    if let Value::Object(config) = serde_json::to_value(report.value.body())? {
        form.show(config);
    }
    form.version = Some(report.meta.version);
    html(&Edit::new(&pages, &viewer, id, form))
}

async fn save(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    viewer.access.report(&id).await?;
    let mut form = form(&viewer, &channels(&viewer).await?, false);
    form.type_in(&Asked::new(Some(&typed)));
    let body = body(&mut form);
    if form.is_draft {
        return check(&viewer, form, &id, body, false).await;
    }
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(body) = body {
        match viewer.access.put_report(&id, body, form.expected()).await {
            Ok(_) => return Ok(to(PATH)),
            Err(error) => status = form.refuse(error)?,
        }
    }
    answered(status, &Edit::new(&pages, &viewer, id, form))
}

async fn check(
    viewer: &Viewer,
    form: Form,
    id: &str,
    body: Option<ReportBody>,
    is_new: bool,
) -> Result<Response, PageError> {
    let checked = match body {
        Some(body) => viewer.access.check_report(id, body, is_new).await,
        None => Ok(()),
    };
    form.told(checked)
}

async fn confirm(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    viewer.require(Scope::AlertsWrite)?;
    let report = viewer.access.report(&id).await?;
    let version = Some(report.meta.version);
    let row = Row::new(report);
    let title = format!("Delete {id}?");
    html(&Confirm {
        shell: Shell::new(&viewer, Place::Settings, title, pages.service.now()),
        back: (PATH.to_owned(), "Reports".to_owned()),
        goes: vec![format!(
            "The report {}, told to {}, about {}.",
            row.when, row.channel, row.of
        )],
        action: format!("/settings/reports/{id}/delete"),
        button: "Delete the report",
        version,
    })
}

async fn remove(
    viewer: Viewer,
    Path(id): Path<String>,
    typed: String,
) -> Result<Response, PageError> {
    let expected = confirmed(&typed);
    viewer.access.remove_report(&id, expected).await?;
    Ok(to(PATH))
}

/// Those that are for more than alerts.
async fn channels(viewer: &Viewer) -> Result<Vec<String>, PageError> {
    let channels = viewer.access.channels(&ALL).await?.items.into_iter();
    let channels = channels.filter(|it| it.value.send.takes_reports());
    Ok(channels.map(|it| it.id).collect())
}

fn form(viewer: &Viewer, channels: &[String], is_new: bool) -> Form {
    let channels: Vec<_> = channels
        .iter()
        .map(|it| (it.as_str(), it.as_str()))
        .collect();
    let id = Field::line("id", "Id").hint("a-z, 0-9, - and _.");
    let settings = [
        Field::choice("channel", "Told to", &channels),
        Field::choice("every", "Every", &EVERY),
        Field::line("at", "At")
            .hint("09:00 of every day, mon 09:00 of every week, 1 09:00 of every month."),
        Field::line("zone", "Time zone")
            .with(viewer.zone.name())
            .hint("An IANA name."),
        Field::words("monitors", "Only of these monitors").hint("Ids with commas in between."),
        Field::words("tags", "Only of monitors with any of these tags"),
    ];
    let fields = is_new.then_some(id).into_iter().chain(settings).collect();
    let title = if is_new {
        "Make a report"
    } else {
        "What is told, and when"
    };
    Form::new(vec![Group::new(title, fields)])
}

/// What is typed, as the API reads it; what is wrong stands beside its field.
fn body(form: &mut Form) -> Option<ReportBody> {
    let mut config = form.config()?;
    config.remove("id");
    for required in ["channel", "at"] {
        config.entry(required).or_insert_with(|| Value::from(""));
    }
    form.read(config)
}

impl Row {
    fn new(report: Entry<Report>) -> Self {
        let body: ReportBody = report.value.into();
        let every = match body.every {
            ReportInterval::Day => "every day",
            ReportInterval::Week => "every week",
            ReportInterval::Month => "every month",
        };
        let ids: Vec<&str> = body.monitors.iter().map(MonitorId::as_str).collect();
        let named = [ids.join(", "), body.tags.join(" or ")];
        let named: Vec<String> = named.into_iter().filter(|it| !it.is_empty()).collect();
        Self {
            id: report.id,
            when: format!("{every} at {}, {}", body.at, body.zone),
            channel: body.channel,
            of: if named.is_empty() {
                "all monitors".to_owned()
            } else {
                named.join("; tagged ")
            },
        }
    }
}

impl Edit {
    fn new(pages: &Pages, viewer: &Viewer, id: String, form: Form) -> Self {
        let is_locked = !viewer.may_for_all(Scope::AlertsWrite);
        Self {
            shell: Shell::new(viewer, Place::Settings, &id, pages.service.now()),
            id,
            form: Form { is_locked, ..form },
        }
    }
}

impl Page {
    async fn new(
        pages: &Pages,
        viewer: &Viewer,
        form: Form,
        has_channels: bool,
    ) -> Result<Self, PageError> {
        let reports = viewer.access.reports(&ALL).await?.items.into_iter();
        Ok(Self {
            shell: Shell::new(viewer, Place::Settings, "Reports", pages.service.now()),
            tabs: tabs(viewer, PATH),
            reports: reports.map(Row::new).collect(),
            may_write: viewer.may_for_all(Scope::AlertsWrite),
            has_channels,
            form,
        })
    }
}
