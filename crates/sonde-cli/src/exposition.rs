//! `/metrics`, in the format that the scraper asks for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) async fn expose(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &registry) {
        tracing::error!(%error, "cannot encode metrics");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accepted.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, CLASSIC)], classic(&text)).into_response()
    }
}

/// The same series in the older text format, where a counter's type and help carry its suffix.
fn classic(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let lines = open_metrics.lines().filter_map(|line| {
        let Some(comment) = line.strip_prefix("# ") else {
            return Some(line.to_owned());
        };
        let mut words = comment.splitn(3, ' ');
        let (keyword, name, rest) = (words.next()?, words.next()?, words.next()?);
        match keyword {
            "HELP" | "TYPE" if counters.contains(&name) => {
                Some(format!("# {keyword} {name}_total {rest}"))
            }
            "HELP" | "TYPE" => Some(line.to_owned()),
            _ => None,
        }
    });
    lines.fold(String::with_capacity(open_metrics.len()), |text, line| {
        text + &line + "\n"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let open = "# HELP checks Checks done.\n# TYPE checks counter\nchecks_total 1\n\
                    # HELP wait_seconds Wait.\n# TYPE wait_seconds gauge\n# UNIT wait_seconds seconds\n\
                    wait_seconds 2\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP checks_total Checks done.\n# TYPE checks_total counter\nchecks_total 1\n\
             # HELP wait_seconds Wait.\n# TYPE wait_seconds gauge\nwait_seconds 2\n"
        );
    }
}
