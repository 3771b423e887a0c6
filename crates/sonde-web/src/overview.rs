//! The page `/`: all monitors, filtered and grouped, what is wrong on top. Rows are asked for again by the page's script as
//! results come in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use sonde_core::{Kind, MonitorId, Scope, Timestamp};
use sonde_results::Bucket;
use sonde_service::{MonitorView, State};
use sonde_store::{Incident, IncidentQuery};

use crate::asked::Asked;
use crate::chart::strip::{self, DAY, STEP};
use crate::history::Day;
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html, incident};

/// Open incidents on top of the page; the rest is behind a link.
const MOST_OPEN: usize = 5;
/// Incidents that tell since when monitors are what they are.
const MOST_INCIDENTS: u32 = 1_000;
/// Regions that a row names one by one.
const MOST_REGIONS: usize = 6;

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/", get(page))
        .route("/rows", get(rows))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    headline: Headline,
    open: Open,
    filters: Filters,
    groups: Vec<Group>,
    shown: usize,
    all: usize,
    may_write: bool,
    sees_fleet: bool,
}

/// What the script puts in place of what the page has.
#[derive(Template)]
#[template(path = "rows.html")]
struct Part {
    headline: Headline,
    open: Open,
    rows: Vec<Row>,
}

/// One sentence on the whole, coloured by the gravest state.
struct Headline {
    state: &'static str,
    text: String,
}

/// What is wrong now, the newest first; what others caused comes last.
#[derive(Template)]
#[template(path = "open.html")]
struct Open {
    shown: Vec<OpenIncident>,
    more: usize,
}

struct OpenIncident {
    id: uuid::Uuid,
    state: &'static str,
    headline: String,
    since: String,
}

/// What the list is narrowed down to, and how it is grouped.
struct Filters {
    asked: Asked,
    text: String,
    state: Vec<Choice>,
    kind: Vec<Choice>,
    tag: Vec<Choice>,
    group: Vec<Choice>,
    is_narrowed: bool,
}

struct Choice {
    value: String,
    is_chosen: bool,
}

struct Group {
    title: Option<String>,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "row.html")]
struct Row {
    id: String,
    name: String,
    kind: &'static str,
    target: String,
    state: &'static str,
    standing: String,
    reason: Option<(String, String)>,
    strip: String,
    trend: String,
    uptime: String,
    p50: String,
    p95: String,
    regions: Vec<RegionDot>,
    more_regions: usize,
    ago: String,
}

struct RegionDot {
    name: String,
    class: &'static str,
    title: String,
}

/// What rows are made of.
struct Known {
    now: Timestamp,
    day: Arc<Day>,
    /// The newest incident of each monitor.
    newest: HashMap<MonitorId, Incident>,
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    let asked = Asked::new(uri.query());
    let views = viewer.access.overview().await?;
    let known = Known::read(&pages, &viewer).await?;
    let headline = Headline::of(&views);
    let filters = Filters::new(&asked, &views);
    let all = views.len();
    let views: Vec<MonitorView> = views.into_iter().filter(|it| filters.take(it)).collect();
    let grant = viewer.access.grant();
    let may = |scope| grant.scopes.contains(&scope);
    html(&Overview {
        shell: Shell::new(&viewer, Place::Monitors, &headline.text, known.now),
        headline,
        open: known.open(&viewer)?,
        shown: views.len(),
        groups: groups(&asked, &views, &known),
        filters,
        all,
        may_write: may(Scope::MonitorsWrite),
        sees_fleet: may(Scope::FleetRead) && grant.only.is_none(),
    })
}

/// Some rows anew: `ids` by commas.
async fn rows(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, PageError> {
    let asked = Asked::new(uri.query());
    let ids: BTreeSet<&str> = asked.get("ids").unwrap_or_default().split(',').collect();
    let views = viewer.access.overview().await?;
    let known = Known::read(&pages, &viewer).await?;
    let these = views
        .iter()
        .filter(|it| ids.contains(it.monitor.id.as_str()));
    html(&Part {
        headline: Headline::of(&views),
        open: known.open(&viewer)?,
        rows: these.map(|it| known.row(it)).collect(),
    })
}

fn groups(asked: &Asked, views: &[MonitorView], known: &Known) -> Vec<Group> {
    let of = |view: &MonitorView| -> Vec<String> {
        match asked.get("group") {
            Some("tag") if view.monitor.tags.is_empty() => vec!["without a tag".to_owned()],
            Some("tag") => view.monitor.tags.clone(),
            Some("kind") => vec![view.monitor.spec.kind().to_string()],
            Some("state") => vec![view.state.as_str().to_owned()],
            _ => vec![String::new()],
        }
    };
    let mut groups: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for view in views {
        for group in of(view) {
            groups.entry(group).or_default().push(known.row(view));
        }
    }
    let groups = groups.into_iter().map(|(title, rows)| Group {
        title: (!title.is_empty()).then_some(title),
        rows,
    });
    groups.collect()
}

impl Headline {
    fn of(views: &[MonitorView]) -> Self {
        let count = |state| views.iter().filter(|view| view.state == state).count();
        let noun = |count: usize| {
            if count == 1 {
                "monitor is"
            } else {
                "monitors are"
            }
        };
        let is = |state: State, count: usize, word: &str| Self {
            state: state.as_str(),
            text: format!("{count} {} {word}", noun(count)),
        };
        for (state, word) in [
            (State::Down, "down"),
            (State::Degraded, "degraded"),
            (State::Unknown, "unknown"),
        ] {
            let count = count(state);
            if count > 0 {
                return is(state, count, word);
            }
        }
        let said = |state: State, text: &str| Self {
            state: state.as_str(),
            text: text.to_owned(),
        };
        match (views.len(), count(State::Up), count(State::Paused)) {
            (0, ..) => said(State::Unknown, "Nothing is watched yet"),
            (all, 0, paused) if all == paused => said(State::Paused, "All monitors are paused"),
            (_, 0, _) => said(State::Pending, "Waiting for the first checks"),
            (all, up, _) if all == up => is(State::Up, up, "up"),
            (_, up, _) => is(State::Up, up, "up, none is down"),
        }
    }
}

impl Filters {
    fn new(asked: &Asked, views: &[MonitorView]) -> Self {
        let choices = |name: &str, values: Vec<String>| -> Vec<Choice> {
            let chosen = asked.get(name);
            let values = values.into_iter().map(|value| Choice {
                is_chosen: chosen == Some(value.as_str()),
                value,
            });
            values.collect()
        };
        let states = ["down", "degraded", "unknown", "pending", "up", "paused"];
        let kinds: BTreeSet<&str> = views
            .iter()
            .map(|it| it.monitor.spec.kind().as_str())
            .collect();
        let tags: BTreeSet<&String> = views.iter().flat_map(|it| &it.monitor.tags).collect();
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        Self {
            asked: asked.clone(),
            text: asked.get("text").unwrap_or_default().to_owned(),
            state: choices("state", owned(&states)),
            kind: choices("kind", kinds.into_iter().map(str::to_owned).collect()),
            tag: choices("tag", tags.into_iter().cloned().collect()),
            group: choices("group", owned(&["tag", "kind", "state"])),
            is_narrowed: ["text", "state", "kind", "tag"]
                .iter()
                .any(|it| asked.get(it).is_some()),
        }
    }

    fn take(&self, view: &MonitorView) -> bool {
        let chosen = |name: &str, is: &dyn Fn(&str) -> bool| self.asked.get(name).is_none_or(is);
        let monitor = &view.monitor;
        let text = self.text.to_lowercase();
        let has_text = |of: &str| of.to_lowercase().contains(&text);
        (text.is_empty() || has_text(&monitor.name) || has_text(&monitor.target()))
            && chosen("state", &|it| it == view.state.as_str())
            && chosen("kind", &|it| {
                Kind::from_name(it) == Some(monitor.spec.kind())
            })
            && chosen("tag", &|it| monitor.tags.iter().any(|tag| tag == it))
    }
}

impl Known {
    async fn read(pages: &Pages, viewer: &Viewer) -> Result<Self, PageError> {
        let access = &viewer.access;
        let day = pages.history.get(access).await?;
        let grant = access.grant();
        let mut newest = HashMap::new();
        if grant.scopes.contains(&Scope::AlertsRead) && grant.only.is_none() {
            let query = IncidentQuery {
                limit: MOST_INCIDENTS,
                ..IncidentQuery::default()
            };
            let incidents = access.incidents(query).await?.items.into_iter();
            for incident in incidents.filter(incident::is_of_state) {
                let monitor = incident.monitor.clone();
                newest.entry(monitor).or_insert(incident);
            }
        }
        Ok(Self {
            now: pages.service.now(),
            day,
            newest,
        })
    }

    fn open(&self, viewer: &Viewer) -> Result<Open, PageError> {
        let open = self.newest.values().filter(|it| it.resolved_at.is_none());
        let mut open: Vec<&Incident> = open.collect();
        open.sort_by_key(|it| (it.caused_by.is_some(), std::cmp::Reverse(it.opened_at)));
        let more = open.len().saturating_sub(MOST_OPEN);
        let shown = open.into_iter().take(MOST_OPEN).map(|it| {
            Ok(OpenIncident {
                id: it.id,
                state: incident::state(it),
                headline: incident::notice(&viewer.access, it)?.headline(),
                since: format!("for {}", format::span(self.now.since(it.opened_at))),
            })
        });
        Ok(Open {
            shown: shown.collect::<Result<_, PageError>>()?,
            more,
        })
    }

    fn row(&self, view: &MonitorView) -> Row {
        let monitor = &view.monitor;
        let last = view.last();
        let why = last.filter(|_| !matches!(view.state, State::Up | State::Paused));
        let buckets = self
            .day
            .buckets
            .get(&monitor.id)
            .map_or(&[][..], Vec::as_slice);
        let summary = self
            .day
            .summaries
            .get(&monitor.id)
            .cloned()
            .unwrap_or_default();
        Row {
            id: monitor.id.to_string(),
            name: monitor.name.clone(),
            kind: monitor.spec.kind().as_str(),
            target: monitor.target(),
            state: view.state.as_str(),
            standing: format::standing(
                view.state.as_str(),
                incident::since(view, self.newest.get(&monitor.id)),
                self.now,
            ),
            reason: why.and_then(format::why),
            strip: strip::day(buckets, self.now),
            trend: self.trend(buckets),
            uptime: format::percent(summary.uptime),
            p50: format::latency_or_nothing(summary.p50_us),
            p95: format::latency_or_nothing(summary.p95_us),
            regions: self.regions(view),
            more_regions: monitor.regions.len().saturating_sub(MOST_REGIONS),
            ago: last.map_or_else(
                || "no check yet".to_owned(),
                |last| format::ago(self.now, last.slot),
            ),
        }
    }

    fn trend(&self, buckets: &[Bucket]) -> String {
        let range = sonde_results::TimeRange {
            from: self.now - DAY,
            to: self.now,
        };
        let points: Vec<_> = buckets.iter().map(|it| (it.start, it.mean_us)).collect();
        strip::trend(&points, range, STEP)
    }

    fn regions(&self, view: &MonitorView) -> Vec<RegionDot> {
        let regions = view
            .monitor
            .regions
            .iter()
            .take(MOST_REGIONS)
            .map(|region| {
                let last = view.latest.iter().find(|it| it.region == *region);
                let told = last.map(|it| {
                    let ago = format::ago(self.now, it.slot);
                    let latency = format::latency_or_nothing(it.total_us);
                    format!("{region}: {}, {latency}, {ago}", it.outcome)
                });
                RegionDot {
                    name: region.to_string(),
                    class: last.map_or("none", |it| it.outcome.as_str()),
                    title: told.unwrap_or_else(|| format!("{region}: no check yet")),
                }
            });
        regions.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::{CheckResult, Monitor, Outcome};
    use sonde_store::Meta;

    use super::*;

    fn view(id: &str, state: State, outcome: Option<Outcome>) -> MonitorView {
        let mut monitor = Monitor::sample();
        monitor.id = MonitorId::new(id).unwrap();
        monitor.name = format!("The {id} & <more>");
        let latest = outcome.map(|outcome| {
            let mut result = CheckResult::sample_executed(outcome, Duration::from_millis(3));
            result.message = Some("got <b>503</b>".to_owned());
            result
        });
        let at = CheckResult::sample().slot;
        MonitorView {
            monitor,
            meta: Meta {
                version: 1,
                managed_by: None,
                created_at: at,
                updated_at: at,
            },
            state,
            latest: latest.into_iter().collect(),
        }
    }

    fn known() -> Known {
        Known {
            now: CheckResult::sample().slot + Duration::from_secs(7),
            day: Arc::default(),
            newest: HashMap::new(),
        }
    }

    #[test]
    fn the_gravest_state_is_the_headline() {
        let mut views = vec![
            view("shop", State::Up, Some(Outcome::Ok)),
            view("mail", State::Down, Some(Outcome::Failed)),
            view("api", State::Degraded, Some(Outcome::Degraded)),
        ];
        assert_eq!(Headline::of(&views).text, "1 monitor is down");
        views.remove(1);
        assert_eq!(Headline::of(&views).text, "1 monitor is degraded");
        views.truncate(1);
        assert_eq!(Headline::of(&views).text, "1 monitor is up");
        views.push(view("new", State::Pending, None));
        assert_eq!(Headline::of(&views).text, "1 monitor is up, none is down");
        assert_eq!(Headline::of(&[]).text, "Nothing is watched yet");
    }

    #[test]
    fn what_people_and_targets_say_is_text_and_never_markup() {
        let row = known().row(&view("mail", State::Down, Some(Outcome::Failed)));
        let html = row.render().unwrap();
        assert!(!html.contains("<more>") && !html.contains("<b>"), "{html}");
        assert!(html.contains("7 s ago"), "{html}");
    }

    #[test]
    fn a_list_is_narrowed_down_by_all_that_is_asked_for() {
        let views = [
            view("shop", State::Up, Some(Outcome::Ok)),
            view("mail", State::Down, Some(Outcome::Failed)),
        ];
        let left = |query: &str| {
            let filters = Filters::new(&Asked::new(Some(query)), &views);
            let left = views.iter().filter(|it| filters.take(it));
            left.map(|it| it.monitor.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(""), ["shop", "mail"]);
        assert_eq!(left("state=down"), ["mail"]);
        assert_eq!(left("text=SHOP&state=up"), ["shop"]);
        assert!(left("text=the+shop&state=down").is_empty());
        assert!(left("kind=icmp").is_empty() && left("tag=none").is_empty());
    }
}
