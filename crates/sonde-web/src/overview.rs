//! The page `/`: every monitor, its state, its last latency and its day.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;
use sonde_core::Timestamp;
use sonde_service::{Access, MonitorView, State};

use crate::sparkline::{self, milliseconds};
use crate::{PageError, Pages, html};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    rows: Vec<Row>,
    /// One sentence on the whole.
    headline: String,
    /// The state that the headline is coloured by.
    state: &'static str,
    rendered_at: String,
}

struct Row {
    id: String,
    name: String,
    kind: &'static str,
    target: String,
    state: &'static str,
    latency: String,
    ago: String,
    /// Why it is not up, with the whole message for those who look closer.
    reason: Option<(String, String)>,
    uptime: String,
    sparkline: String,
}

pub(crate) async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    Extension(access): Extension<Access>,
) -> Result<Response, PageError> {
    let views = access.overview().await?;
    let history = pages.history.get(&access).await?;
    let now = pages.service.now();
    let (state, headline) = headline(&views);
    let rows = views.into_iter().map(|view| {
        let buckets = history.get(&view.monitor.id).map_or(&[][..], Vec::as_slice);
        Row::new(&view, buckets, now)
    });
    let rendered_at = clock_time(now);
    html(&Overview {
        rows: rows.collect(),
        headline,
        state: state.as_str(),
        rendered_at,
    })
}

fn headline(views: &[MonitorView]) -> (State, String) {
    let count = |state| views.iter().filter(|view| view.state == state).count();
    let noun = |count: usize| {
        if count == 1 {
            "monitor is"
        } else {
            "monitors are"
        }
    };
    for (state, word) in [
        (State::Down, "down"),
        (State::Degraded, "degraded"),
        (State::Unknown, "unknown"),
    ] {
        let count = count(state);
        if count > 0 {
            return (state, format!("{count} {} {word}", noun(count)));
        }
    }
    match (views.len(), count(State::Up)) {
        (0, _) => (State::Unknown, "Nothing is watched yet".to_owned()),
        (_, 0) => (State::Pending, "Waiting for the first checks".to_owned()),
        (_, up) => (State::Up, format!("{up} {} up", noun(up))),
    }
}

impl Row {
    fn new(view: &MonitorView, buckets: &[sonde_results::Bucket], now: Timestamp) -> Self {
        let monitor = &view.monitor;
        let last = view.last();
        let reason = last.and_then(|last| {
            let reason = last.reason?;
            let message = last
                .message
                .clone()
                .unwrap_or_else(|| reason.sentence().to_owned());
            Some((reason.to_string(), message))
        });
        let latency = last
            .and_then(|last| last.total_us)
            .map_or_else(|| "–".to_owned(), milliseconds);
        Self {
            id: monitor.id.to_string(),
            name: monitor.name.clone(),
            kind: monitor.spec.kind().as_str(),
            target: monitor.target(),
            state: view.state.as_str(),
            latency,
            ago: last.map_or_else(|| "no check yet".to_owned(), |last| ago(now, last.slot)),
            reason,
            uptime: uptime(buckets),
            sparkline: sparkline::render(buckets, now),
        }
    }
}

/// Share of executed checks of the day that were up.
fn uptime(buckets: &[sonde_results::Bucket]) -> String {
    let up: u64 = buckets
        .iter()
        .map(|bucket| bucket.ok + bucket.degraded)
        .sum();
    let failed: u64 = buckets.iter().map(|bucket| bucket.failed).sum();
    match up + failed {
        0 => "–".to_owned(),
        #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
        executed => {
            // Rounded down: 100 % means that nothing failed.
            let percent = (up as f64 / executed as f64 * 10_000.0).floor() / 100.0;
            format!("{percent:.2} %")
        }
    }
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.since(then).as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3_600),
    }
}

fn clock_time(now: Timestamp) -> String {
    format!("{} UTC", now.to_string().get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::{CheckResult, Monitor, MonitorId, Outcome};
    use sonde_service::Meta;

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

    fn render(views: &[MonitorView]) -> String {
        let now = CheckResult::sample().slot + Duration::from_secs(7);
        let (state, headline) = headline(views);
        let rows = views.iter().map(|view| Row::new(view, &[], now)).collect();
        let page = Overview {
            rows,
            headline,
            state: state.as_str(),
            rendered_at: clock_time(now),
        };
        page.render().unwrap()
    }

    #[test]
    fn every_state_has_its_row_and_the_gravest_its_headline() {
        let html = render(&[
            view("shop", State::Up, Some(Outcome::Ok)),
            view("mail", State::Down, Some(Outcome::Failed)),
            view("api", State::Degraded, Some(Outcome::Degraded)),
            view("new", State::Pending, None),
        ]);
        assert!(html.contains("1 monitor is down"), "{html}");
        assert!(html.contains("no check yet"), "{html}");
        assert!(html.contains("7 s ago"), "{html}");
        for state in ["up", "down", "degraded", "pending"] {
            assert!(
                html.contains(&format!(r#"class="{state}""#)),
                "{state}: {html}"
            );
        }
    }

    #[test]
    fn what_people_and_targets_say_is_text_and_never_markup() {
        let html = render(&[view("mail", State::Down, Some(Outcome::Failed))]);
        assert!(!html.contains("<more>") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn an_empty_page_says_what_to_do() {
        assert!(render(&[]).contains("sonde up -c sonde.yaml"));
    }
}
