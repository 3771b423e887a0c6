//! The fleet: which regions have checkers, how these are, and what waits. To ask them takes a second.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State as Shared;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use sonde_core::Timestamp;
use sonde_service::fleet::{Fleet, RegionView};

use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new()
        .route("/fleet", get(page))
        .route("/fleet/summary", get(summary))
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page {
    shell: Shell,
    headline: Headline,
    regions: Vec<RegionRow>,
    results: String,
    dead: String,
}

/// One sentence, coloured by what is worst.
struct Headline {
    class: &'static str,
    text: String,
}

struct RegionRow {
    name: String,
    class: &'static str,
    waiting: String,
    checkers: Vec<CheckerRow>,
}

struct CheckerRow {
    id: String,
    version: String,
    running: String,
    busy: String,
    executed: String,
    waited: String,
    clock: String,
    note: String,
    class: &'static str,
}

async fn page(Shared(pages): Shared<Arc<Pages>>, viewer: Viewer) -> Result<Response, PageError> {
    let fleet = viewer.access.fleet().await?;
    let now = pages.service.now();
    let waiting =
        |count: Option<u64>| count.map_or_else(|| format::NOTHING.to_owned(), format::count);
    html(&Page {
        shell: Shell::new(&viewer, Place::Fleet, "Fleet", now),
        headline: Headline::of(&fleet),
        results: waiting(fleet.backlog.results),
        dead: waiting(fleet.backlog.dead),
        regions: fleet
            .regions
            .iter()
            .map(|it| RegionRow::new(it, now))
            .collect(),
    })
}

/// For the page of all monitors, which does not wait for it.
async fn summary(viewer: Viewer) -> Result<Response, PageError> {
    let headline = Headline::of(&viewer.access.fleet().await?);
    let link = format!(
        r#"<a href="/fleet"><span class="dot {}" aria-hidden="true"></span>{}</a>"#,
        headline.class, headline.text
    );
    Ok(Html(link).into_response())
}

/// Whether nobody checks there.
fn is_silent(region: &RegionView) -> bool {
    region.checkers.iter().all(|checker| checker.draining)
}

impl Headline {
    fn of(fleet: &Fleet) -> Self {
        let many = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let silent = fleet.regions.iter().filter(|it| is_silent(it)).count();
        let checkers: usize = fleet.regions.iter().map(|it| it.checkers.len()).sum();
        let all = fleet.regions.iter().flat_map(|it| &it.checkers);
        let unwell = all.filter(|it| it.unwell.is_some()).count();
        let (class, text) = match (silent, unwell) {
            (0, 0) => ("ok", "all well".to_owned()),
            (0, unwell) => ("degraded", format!("{unwell} unwell")),
            (silent, _) => ("failed", format!("nobody checks from {silent} of them")),
        };
        let regions = many(fleet.regions.len(), "region");
        let checkers = many(checkers, "checker");
        Self {
            class,
            text: format!("{regions}, {checkers}: {text}"),
        }
    }
}

impl RegionRow {
    fn new(region: &RegionView, now: Timestamp) -> Self {
        let checkers = region.checkers.iter().map(|checker| {
            let clock = checker.clock_offset_us.map(|micros| {
                let sign = if micros < 0 { "−" } else { "" };
                format!("{sign}{}", format::latency(micros.unsigned_abs()))
            });
            let note = match (&checker.unwell, checker.draining) {
                (Some(why), _) => why.clone(),
                (None, true) => "takes no more checks".to_owned(),
                (None, false) => String::new(),
            };
            CheckerRow {
                id: checker.id.clone(),
                version: checker.version.clone(),
                running: format::span(now.since(checker.started_at)),
                busy: format!("{} of {}", checker.in_flight, checker.permits),
                executed: format::count(checker.executed),
                waited: format::latency(checker.queue_wait_us),
                clock: clock.unwrap_or_else(|| format::NOTHING.to_owned()),
                class: match (&checker.unwell, checker.draining) {
                    (Some(_), _) => "degraded",
                    (None, true) => "none",
                    (None, false) => "ok",
                },
                note,
            }
        });
        Self {
            name: region.region.to_string(),
            class: if is_silent(region) { "failed" } else { "ok" },
            waiting: region
                .queues
                .as_ref()
                .map_or_else(|| format::NOTHING.to_owned(), |it| format::count(it.ready)),
            checkers: checkers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::Region;
    use sonde_service::fleet::Backlog;

    use super::*;

    #[test]
    fn a_region_without_a_checker_is_the_headline() {
        let region = |name: &str| RegionView {
            region: Region::new(name).unwrap(),
            checkers: Vec::new(),
            queues: None,
        };
        let fleet = Fleet {
            regions: vec![region("fra"), region("iad")],
            backlog: Backlog {
                results: None,
                dead: None,
            },
        };
        let headline = Headline::of(&fleet);
        assert_eq!(
            headline.text,
            "2 regions, 0 checkers: nobody checks from 2 of them"
        );
        assert_eq!(headline.class, "failed");
    }
}
