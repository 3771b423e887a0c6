//! Prometheus' Alertmanager, API v2. What an alert is called there are its labels, so they never change during an incident:
//! the severity, which may, is an annotation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at, origin};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, NoticeEvent, Secret};

const OWN_LABELS: [&str; 4] = ["alertname", "incident", "monitor", "workspace"];
const LONGEST_DESCRIPTION: usize = 4000;
/// An alert without an end would be resolved after Alertmanager's `resolve_timeout`, 5 minutes by default, with nothing said.
const UNTIL_RESOLVED: Duration = Duration::from_hours(365 * 24);
const TEST: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// Of the server, without `/api/v2`.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// For its routes, beside `alertname`, `incident`, `monitor` and `workspace`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Settings for Alertmanager {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_server("url", &self.url);
        if self.username.is_some() != self.password.is_some() {
            problems.add("password", "goes with `username`: give both or neither");
        }
        if let Some(username) = &self.username {
            problems.look_at_text("username", username);
            if username.contains(':') {
                problems.add("username", "must not hold a `:`");
            }
        }
        if let Some(password) = &self.password {
            problems.look_at_secret("password", password);
        }
        for (name, value) in &self.labels {
            let path = format!("labels.{name}");
            problems.look_at_id(&path, name, "_");
            problems.look_at_text(&path, value);
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                problems.add(&path, "must not begin with a digit");
            }
            if OWN_LABELS.contains(&name.as_str()) {
                problems.add(&path, "is set by Sonde");
            }
        }
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        let password = self.password.iter_mut();
        password.map(|password| at("password", password)).collect()
    }

    fn receiver(&self) -> String {
        origin(&self.url)
    }

    fn message(&self, notice: &Notice, at: Timestamp) -> Message {
        let incident = &notice.incident;
        let ends_at = match notice.event {
            NoticeEvent::Resolved => incident.resolved_at.unwrap_or(notice.at),
            NoticeEvent::Test => at + TEST,
            _ => at + UNTIL_RESOLVED,
        };
        let mut labels = json!(self.labels);
        labels["alertname"] = "SondeIncident".into();
        labels["incident"] = json!(incident.id);
        labels["monitor"] = json!(incident.monitor);
        labels["workspace"] = json!(notice.workspace);
        let mut alert = json!({
            "labels": labels,
            "annotations": {
                "summary": notice.headline(),
                "description": notice.plain(LONGEST_DESCRIPTION),
                "severity": notice.severity().as_str(),
            },
            "startsAt": incident.opened_at,
            "endsAt": ends_at,
        });
        if let Some(link) = &notice.link {
            alert["generatorURL"] = link.as_str().into();
        }
        let url = format!("{}/api/v2/alerts", self.url.trim_end_matches('/'));
        let request = HttpRequest::json(url, &json!([alert]));
        match (&self.username, &self.password) {
            (Some(username), Some(password)) => request.basic(username, &password.0).into(),
            _ => request.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{http, samples};

    #[test]
    fn a_test_leaves_no_alert_open_in_alertmanager() {
        let mut samples = samples().into_iter();
        let alertmanager = samples
            .find(|sample| sample.kind() == "alertmanager")
            .unwrap();
        let request = http(&alertmanager, &Notice::sample(NoticeEvent::Test));
        assert!(
            request
                .body
                .contains(r#""endsAt":"2026-11-27T12:17:05.000000Z""#)
        );
    }
}
