//! The page of one monitor: where it stands, what its numbers are and how they compare, and everything over time.

mod certificates;
mod charts;
mod compare;
mod data;
mod figures;
mod reasons;
mod regions;
mod time;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sonde_core::{MonitorId, Region, Scope, Timestamp};
use sonde_service::{MonitorView, State};

use crate::asked::{Asked, Period, PresetLink};
use crate::chart::{Figure, Key};
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

use certificates::{Certificate, CertificateRow};
use compare::ComparedRow;
use data::Data;
use figures::{Budget, Number};
use reasons::ReasonRow;
use regions::RegionRow;

/// Quantiles that can be drawn, and those that are when nobody chooses.
pub(crate) const QUANTILES: [&str; 5] = ["50", "75", "90", "95", "99"];
const USUAL_QUANTILES: [&str; 3] = ["50", "95", "99"];

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/monitors/{id}", get(page))
        .route("/monitors/{id}/series.csv", get(csv))
}

#[derive(Template)]
#[template(path = "monitor.html")]
struct Page {
    shell: Shell,
    head: Head,
    controls: Controls,
    numbers: Vec<Number>,
    budget: Budget,
    figures: Vec<Figure>,
    compared: Vec<ComparedRow>,
    regions: Vec<RegionRow>,
    reasons: Vec<ReasonRow>,
    certificates: Vec<Certificate>,
    /// Of the range.
    served: Vec<CertificateRow>,
    renewals: Vec<String>,
    incidents: Vec<IncidentRow>,
    maintenance: Vec<String>,
    /// For the same numbers elsewhere.
    export: String,
}

/// A page of a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Overview,
    Checks,
    Settings,
}

/// What stands on top of every page of a monitor.
pub(crate) struct Head {
    here: Part,
    pub(crate) id: MonitorId,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) state: &'static str,
    /// `down for 5 min`.
    pub(crate) standing: String,
    /// Why it is not up.
    pub(crate) why: Option<(String, String)>,
    pub(crate) tags: Vec<String>,
    /// `every 1m from fra, iad`.
    pub(crate) schedule: String,
    pub(crate) managed_by: Option<String>,
    pub(crate) may_write: bool,
    pub(crate) may_run: bool,
}

/// What can be chosen, and what is.
struct Controls {
    presets: Vec<PresetLink>,
    problems: Vec<String>,
    period: Option<&'static str>,
    /// Local times of a free range.
    between: Option<(String, String)>,
    regions: Vec<Choice>,
    quantiles: Vec<Choice>,
    /// With what it is compared, and with what it can be besides.
    compared: Vec<Choice>,
    others: Vec<Choice>,
    slo: String,
}

struct Choice {
    value: String,
    name: String,
    is_chosen: bool,
}

struct IncidentRow {
    id: uuid::Uuid,
    state: &'static str,
    headline: String,
    when: String,
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
    let data = Data::read(&viewer.access, &id, &asked, period.range(now)).await?;
    let quantiles = chosen(&asked);
    let (budget, numbers) = (
        Budget::new(&asked, &data.comparison.summary),
        figures::numbers(&data.comparison),
    );
    let shell = Shell::new(&viewer, Place::Monitors, &data.view.monitor.name, now);
    html(&Page {
        shell,
        head: Head::new(&viewer, &data.view, Part::Overview, data.since(), now),
        controls: controls(&viewer, &data, &asked, &period, problem, &quantiles),
        numbers,
        budget,
        figures: charts::all(&data, viewer.zone, &quantiles),
        compared: data.compared.rows(&data, &asked),
        regions: regions::rows(&data, now),
        reasons: reasons::rows(&data, now),
        certificates: certificates::current(&data, viewer.zone, now),
        served: certificates::rows(&data, viewer.zone),
        renewals: certificates::renewals(&data, viewer.zone),
        incidents: data.incident_rows(&viewer)?,
        maintenance: data.maintenance_rows(&viewer),
        export: format!("/monitors/{id}/series.csv{}", asked.with(&[])),
    })
}

pub(crate) fn parsed(id: &str) -> Result<MonitorId, PageError> {
    id.parse().map_err(|_| PageError::NotFound)
}

fn chosen(asked: &Asked) -> Vec<&'static str> {
    let known = |name: &str| QUANTILES.into_iter().find(|known| *known == name);
    let chosen: Vec<_> = asked.all("p").filter_map(known).collect();
    if chosen.is_empty() {
        USUAL_QUANTILES.to_vec()
    } else {
        chosen
    }
}

impl Head {
    pub(crate) fn new(
        viewer: &Viewer,
        view: &MonitorView,
        here: Part,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let monitor = &view.monitor;
        let last = view.last();
        let why = last.filter(|_| !matches!(view.state, State::Up | State::Paused));
        let state = view.state.as_str();
        let regions: Vec<&str> = monitor.regions.iter().map(Region::as_str).collect();
        let may = |scope| viewer.access.grant().scopes.contains(&scope);
        Self {
            here,
            id: monitor.id.clone(),
            name: monitor.name.clone(),
            kind: monitor.spec.kind().as_str(),
            target: monitor.target(),
            state,
            standing: format::standing(state, since, now),
            why: why.and_then(format::why),
            tags: monitor.tags.clone(),
            schedule: format!(
                "every {} from {}",
                sonde_core::format_duration(monitor.interval),
                regions.join(", ")
            ),
            managed_by: view.meta.managed_by.clone(),
            may_write: may(Scope::MonitorsWrite),
            may_run: may(Scope::ChecksRun) && monitor.spec.heartbeat().is_none(),
        }
    }

    /// Its pages that the viewer may see: path, name, and whether it is this one.
    pub(crate) fn links(&self) -> Vec<(String, &'static str, bool)> {
        let own = format!("/monitors/{}", self.id);
        let link = |path: String, name, part| (path, name, self.here == part);
        let mut links = vec![
            link(own.clone(), "Overview", Part::Overview),
            link(format!("{own}/checks"), "Checks", Part::Checks),
        ];
        if self.may_run {
            let path = format!("/run?monitor={}", self.id);
            links.push((path, "Run now", false));
        }
        if self.may_write {
            let path = format!("{own}/edit");
            links.push(link(path, "Settings", Part::Settings));
        }
        links
    }
}

fn controls(
    viewer: &Viewer,
    data: &Data,
    asked: &Asked,
    period: &Period,
    problem: Option<String>,
    quantiles: &[&str],
) -> Controls {
    let choice = |value: &str, name: String, is_chosen| Choice {
        value: value.to_owned(),
        name,
        is_chosen,
    };
    let regions = data.regions.iter().map(|region| {
        let is_chosen = data.region.as_ref() == Some(region);
        choice(region.as_str(), region.to_string(), is_chosen)
    });
    let drawn = QUANTILES.map(|name| choice(name, format!("p{name}"), quantiles.contains(&name)));
    let compared = &data.compared.others;
    let is_free = |id: &MonitorId| compared.iter().all(|it| it.id != *id);
    let is_full = compared.len() == compare::MOST;
    let others = data.others.iter().filter(|(id, _)| !is_full && is_free(id));
    let others = others.map(|(id, name)| choice(id.as_str(), name.clone(), false));
    let compared = compared.iter();
    let compared = compared.map(|it| choice(it.id.as_str(), it.name.clone(), true));
    let problems = problem.into_iter();
    Controls {
        presets: asked.presets(period),
        problems: problems
            .chain(data.compared.problems.iter().cloned())
            .collect(),
        period: period.name(),
        between: period.between(viewer.zone),
        regions: regions.collect(),
        quantiles: drawn.into(),
        compared: compared.collect(),
        others: others.collect(),
        slo: Budget::slo(asked).to_string(),
    }
}

/// The chart's numbers as comma-separated values, in UTC and microseconds.
async fn csv(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    let asked = Asked::new(uri.query());
    let (period, _) = asked.period(viewer.zone);
    let range = period.range(pages.service.now());
    let buckets = data::series(&viewer.access, &id, asked.region(), range).await?;
    let mut text =
        "start,ok,degraded,failed,missed,uptime,p50_us,p75_us,p90_us,p95_us,p99_us,mean_us\r\n"
            .to_owned();
    for bucket in buckets {
        let summary = &bucket.summary;
        let counts = [summary.ok, summary.degraded, summary.failed, summary.missed].map(Some);
        let quantiles = figures::quantiles(summary).map(|(_, value)| value);
        let written = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
        let mut fields = vec![bucket.start.to_string()];
        fields.extend(counts.map(written));
        fields.push(summary.uptime.map_or_else(String::new, |it| it.to_string()));
        fields.extend(quantiles.map(written));
        fields.push(written(bucket.mean_us));
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{id}.csv\""),
        ),
    ];
    Ok((headers, text).into_response())
}

fn key_of_quantile(name: &str) -> Key {
    Key::new(format!("line-key p{name}"), format!("p{name}"))
}
