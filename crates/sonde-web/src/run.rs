//! Checks now: a monitor, or a target that is none, from chosen regions. Each region's row comes with its answer: the page is
//! sent as they come, so that no script is needed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use serde_json::{Map, Value};
use sonde_core::{CheckResult, Kind, MonitorId, Region};
use sonde_service::{MonitorView, Run, ServiceError};

use crate::asked::Asked;
use crate::chart::Key;
use crate::chart::phases::{self, Step};
use crate::checks;
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, html};

/// Kinds that a target alone says enough of.
const KINDS: [Kind; 6] = [
    Kind::Http,
    Kind::Tcp,
    Kind::Tls,
    Kind::Dns,
    Kind::Icmp,
    Kind::Domain,
];
/// Where the rows of checks stand that are of no monitor.
pub(crate) const AD_HOC: &str = "ad-hoc";
/// In the page, where rows come.
const HERE: &str = "<!--rows-->";

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new().route("/run", get(page).post(run))
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    shell: Shell,
    monitors: Vec<(String, String, bool)>,
    kinds: Vec<(&'static str, bool)>,
    target: String,
    regions: Vec<(String, bool)>,
    problem: Option<String>,
    /// What runs, once something does.
    running: Option<String>,
    legend: Vec<Key>,
}

/// What came from one region.
#[derive(Template)]
#[template(path = "run_row.html")]
pub(crate) struct Answer {
    row: checks::Row,
    /// What is kept of it, where it is of a monitor.
    has_link: bool,
    steps: Vec<Step>,
}

impl Answer {
    pub(crate) fn new(result: &CheckResult, viewer: &Viewer, has_link: bool) -> Self {
        let longest = result.total_us.unwrap_or(0);
        Self {
            row: checks::Row::new(result, viewer, longest),
            has_link,
            steps: phases::waterfall(result),
        }
    }
}

/// What is to be checked, from a form or a link.
struct Wanted {
    monitor: Option<MonitorId>,
    kind: String,
    target: String,
    regions: Vec<Region>,
}

impl Wanted {
    fn new(asked: &Asked) -> Self {
        Self {
            monitor: asked.monitor("monitor"),
            kind: asked.get("kind").unwrap_or(Kind::Http.as_str()).to_owned(),
            target: asked.get("target").unwrap_or_default().to_owned(),
            regions: asked
                .all("region")
                .filter_map(|it| it.parse().ok())
                .collect(),
        }
    }

    async fn start(&self, viewer: &Viewer) -> Result<Run, ServiceError> {
        let regions = (!self.regions.is_empty()).then_some(&*self.regions);
        if let Some(monitor) = &self.monitor {
            return viewer.access.run_monitor(monitor, regions).await;
        }
        let config = Map::from_iter([(self.kind.clone(), Value::from(self.target.clone()))]);
        let id = MonitorId::new(AD_HOC).expect("it is a slug");
        viewer.access.check_now(&id, config, regions).await
    }

    fn what(&self, views: &[MonitorView]) -> String {
        let Some(id) = &self.monitor else {
            return self.target.clone();
        };
        let known = views.iter().find(|it| it.monitor.id == *id);
        known.map_or_else(|| id.to_string(), |it| it.monitor.name.clone())
    }
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    let wanted = Wanted::new(&Asked::new(uri.query()));
    let views = viewer.access.overview().await?;
    html(&Page::new(&pages, &viewer, &wanted, &views))
}

async fn run(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    form: String,
) -> Result<Response, PageError> {
    let wanted = Wanted::new(&Asked::new(Some(&form)));
    let views = viewer.access.overview().await?;
    let mut page = Page::new(&pages, &viewer, &wanted, &views);
    match wanted.start(&viewer).await {
        Ok(run) => {
            page.running = Some(wanted.what(&views));
            let mut response = html(&page)?;
            let text = page.render()?;
            let (before, after) = text.split_once(HERE).unwrap_or((&text, ""));
            let rows = rows(run, viewer, wanted.monitor.is_some());
            *response.body_mut() = streamed(before.to_owned(), rows, after.to_owned());
            Ok(response)
        }
        Err(error @ (ServiceError::Invalid(_) | ServiceError::NoSuchRegion(_))) => {
            page.problem = Some(error.to_string());
            Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

impl Page {
    fn new(pages: &Pages, viewer: &Viewer, wanted: &Wanted, views: &[MonitorView]) -> Self {
        let chosen = views
            .iter()
            .find(|it| Some(&it.monitor.id) == wanted.monitor.as_ref());
        let all: BTreeSet<&Region> = match chosen {
            Some(view) => view.monitor.regions.iter().collect(),
            None => views.iter().flat_map(|it| &it.monitor.regions).collect(),
        };
        let push = Region::push();
        let regions = all.into_iter().filter(|region| **region != push);
        let regions = regions.map(|region| {
            let is_chosen = wanted.regions.is_empty() || wanted.regions.contains(region);
            (region.to_string(), is_chosen)
        });
        let monitors = views
            .iter()
            .filter(|it| it.monitor.spec.heartbeat().is_none());
        let monitors = monitors.map(|it| {
            let id = &it.monitor.id;
            let is_chosen = wanted.monitor.as_ref() == Some(id);
            (id.to_string(), it.monitor.name.clone(), is_chosen)
        });
        Self {
            shell: Shell::new(viewer, Place::Run, "Run a check", pages.service.now()),
            monitors: monitors.collect(),
            kinds: KINDS
                .map(|kind| (kind.as_str(), kind.as_str() == wanted.kind))
                .into(),
            target: wanted.target.clone(),
            regions: regions.collect(),
            problem: None,
            running: None,
            legend: phases::legend(),
        }
    }
}

/// A row for each region as it answers, then what there is to say at the end.
fn rows(run: Run, viewer: Viewer, has_link: bool) -> impl Stream<Item = String> + Send {
    stream::unfold(Some((run, viewer)), move |running| async move {
        let (mut run, viewer) = running?;
        match run.next().await {
            Ok(Some(result)) => {
                let answer = Answer::new(&result, &viewer, has_link);
                let text = answer.render().unwrap_or_default();
                Some((text, Some((run, viewer))))
            }
            Ok(None) => {
                let missing: Vec<String> = run.unanswered().iter().map(Region::to_string).collect();
                let text = if missing.is_empty() {
                    "<li class=\"muted\">All regions have answered.</li>".to_owned()
                } else {
                    format!(
                        "<li class=\"problem\">No answer from {}: no checker took the check in time.</li>",
                        missing.join(", ")
                    )
                };
                Some((text, None))
            }
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::error!(error, "a run cannot be followed");
                let text = "<li class=\"problem\">The run cannot be followed any more: see the monitor's checks.</li>";
                Some((text.to_owned(), None))
            }
        }
    })
}

fn streamed(
    before: String,
    rows: impl Stream<Item = String> + Send + 'static,
    after: String,
) -> Body {
    use futures_util::StreamExt as _;
    let begin = stream::iter([before]);
    let whole = begin.chain(rows).chain(stream::iter([after]));
    Body::from_stream(whole.map(|part| Ok::<_, Infallible>(Bytes::from(part))))
}
