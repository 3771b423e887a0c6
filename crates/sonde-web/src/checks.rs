//! The log of a monitor: its checks, newest first, narrowed down by what is asked for.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use sonde_core::{CheckResult, MonitorId, Outcome, Reason, Trigger};
use sonde_results::{Cursor, ResultQuery};

use crate::asked::{Asked, Period, PresetLink};
use crate::chart::{Key, phases};
use crate::monitor::{Head, Part, parsed};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

/// Rows of a page.
const SHOWN: u32 = 100;

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new().route("/monitors/{id}/checks", get(page))
}

#[derive(Template)]
#[template(path = "checks.html")]
struct Page {
    shell: Shell,
    head: Head,
    presets: Vec<PresetLink>,
    problem: Option<String>,
    period: Option<&'static str>,
    between: Option<(String, String)>,
    choices: Vec<Choices>,
    status: String,
    legend: Vec<Key>,
    rows: Vec<Row>,
    /// To the first page, where this is another one.
    newest: Option<String>,
    older: Option<String>,
}

/// One thing to narrow down by.
struct Choices {
    name: &'static str,
    title: &'static str,
    values: Vec<(String, bool)>,
}

pub(crate) struct Row {
    pub(crate) link: String,
    pub(crate) at: String,
    pub(crate) region: String,
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<(String, String)>,
    pub(crate) status: String,
    pub(crate) took: String,
    pub(crate) phases: String,
    pub(crate) notes: String,
}

/// Where a check is shown.
pub(crate) fn link(result: &CheckResult) -> String {
    let CheckResult {
        monitor,
        region,
        slot,
        run_id,
        ..
    } = result;
    format!(
        "/monitors/{monitor}/checks/{}.{region}.{run_id}",
        slot.as_micros()
    )
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    let asked = Asked::new(uri.query());
    let (period, problem) = asked.period(viewer.zone);
    let now = pages.service.now();
    let access = &viewer.access;
    let view = access.monitor_view(&id).await?;
    let found = access
        .results(query(&viewer, &asked, &id, &period, now)?)
        .await?;
    let longest = found.results.iter().filter_map(|it| it.total_us).max();
    let row = |it| Row::new(it, &viewer, longest.unwrap_or(0));
    let name = &view.monitor.name;
    html(&Page {
        shell: Shell::new(&viewer, Place::Monitors, format!("Checks of {name}"), now),
        head: Head::new(&viewer, &view, Part::Checks, None, now),
        presets: asked.presets(&period),
        problem,
        period: period.name(),
        between: period.between(viewer.zone),
        choices: choices(&asked, &view.monitor.regions),
        status: asked.get("status").unwrap_or_default().to_owned(),
        legend: phases::legend(),
        rows: found.results.iter().map(row).collect(),
        newest: asked.get("cursor").map(|_| asked.with(&[("cursor", "")])),
        older: found
            .next
            .map(|next| asked.with(&[("cursor", &next.to_string())])),
    })
}

fn query(
    viewer: &Viewer,
    asked: &Asked,
    id: &MonitorId,
    period: &Period,
    now: sonde_core::Timestamp,
) -> Result<ResultQuery, PageError> {
    let cursor = asked.get("cursor").map(str::parse::<Cursor>);
    Ok(ResultQuery {
        workspace: viewer.access.workspace().clone(),
        monitor: id.clone(),
        range: period.range(now),
        region: asked.region(),
        outcome: asked.get("outcome").and_then(Outcome::from_name),
        reason: asked.get("reason").and_then(Reason::from_name),
        trigger: asked.get("trigger").and_then(trigger),
        status: asked.get("status").and_then(|it| it.parse().ok()),
        after: cursor.transpose().map_err(|_| PageError::NotFound)?,
        limit: SHOWN,
    })
}

fn trigger(name: &str) -> Option<Trigger> {
    [Trigger::Schedule, Trigger::OnDemand]
        .into_iter()
        .find(|it| it.as_str() == name)
}

fn choices(asked: &Asked, regions: &[sonde_core::Region]) -> Vec<Choices> {
    let choices = |name, title, values: Vec<String>| {
        let chosen = asked.get(name);
        let values = values.into_iter().map(|value| {
            let is_chosen = chosen == Some(value.as_str());
            (value, is_chosen)
        });
        Choices {
            name,
            title,
            values: values.collect(),
        }
    };
    let outcomes = Outcome::ALL.map(|it| it.to_string());
    let triggers = [Trigger::Schedule, Trigger::OnDemand].map(|it| it.as_str().to_owned());
    vec![
        choices("outcome", "Outcome", outcomes.into()),
        choices(
            "reason",
            "Reason",
            Reason::ALL.iter().map(ToString::to_string).collect(),
        ),
        choices(
            "region",
            "Region",
            regions.iter().map(ToString::to_string).collect(),
        ),
        choices("trigger", "Started by", triggers.into()),
    ]
}

impl Row {
    pub(crate) fn new(result: &CheckResult, viewer: &Viewer, longest: u64) -> Self {
        let notes = [
            (result.attempts.len() > 1).then(|| format!("{} attempts", result.attempts.len())),
            result.in_maintenance.then(|| "maintenance".to_owned()),
            result.suspect.then(|| "suspect".to_owned()),
            (result.trigger == Trigger::OnDemand).then(|| "on demand".to_owned()),
        ];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        Self {
            link: link(result),
            at: format::moment(result.slot, viewer.zone),
            region: result.region.to_string(),
            outcome: result.outcome.as_str(),
            reason: format::why(result),
            status: match (&result.http, &result.dns) {
                (Some(http), _) => http.status.to_string(),
                (_, Some(dns)) => dns.rcode.clone(),
                _ => String::new(),
            },
            took: format::latency_or_nothing(result.total_us),
            phases: phases::bar(result, longest),
            notes: notes.join(", "),
        }
    }
}
