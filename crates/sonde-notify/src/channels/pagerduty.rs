//! PagerDuty, Events API v2: the incident's id is the deduplication key, so a recovery resolves what the alert triggered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sonde_core::Timestamp;

use super::DataRegion;
use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at};
use crate::text::one_line;
use crate::validation::Problems;
use crate::{Message, Notice, NoticeEvent, Secret, Severity};

/// Enough to know it by; the details have all of it.
const LONGEST_SOURCE: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerDuty {
    pub routing_key: Secret,
    #[serde(default)]
    pub region: DataRegion,
}

impl Settings for PagerDuty {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_secret("routing_key", &self.routing_key);
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("routing_key", &mut self.routing_key)]
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        let action = match notice.event {
            NoticeEvent::Acknowledged => "acknowledge",
            NoticeEvent::Resolved => "resolve",
            _ => "trigger",
        };
        let mut event = json!({
            "routing_key": self.routing_key.0,
            "event_action": action,
            "dedup_key": notice.incident.id,
        });
        if action == "trigger" {
            event["client"] = "Sonde".into();
            event["payload"] = payload(notice);
            if let Some(link) = &notice.link {
                event["client_url"] = link.as_str().into();
            }
        }
        let url = match self.region {
            DataRegion::Us => "https://events.pagerduty.com/v2/enqueue",
            DataRegion::Eu => "https://events.eu.pagerduty.com/v2/enqueue",
        };
        HttpRequest::json(url, &event).into()
    }
}

fn payload(notice: &Notice) -> Value {
    let severity = match notice.severity() {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info | Severity::Ok => "info",
    };
    let mut details = BTreeMap::<String, String>::new();
    for line in notice.lines() {
        let detail = details.entry(line.label).or_default();
        let separator = if detail.is_empty() { "" } else { "; " };
        *detail = format!("{detail}{separator}{}", line.text);
    }
    json!({
        "summary": notice.headline(),
        "source": one_line(&notice.incident.target, LONGEST_SOURCE),
        "severity": severity,
        "timestamp": notice.at,
        "component": notice.incident.monitor,
        "group": notice.workspace,
        "custom_details": details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{channel, http};

    #[test]
    fn no_assertion_hides_another() {
        let channel = channel(json!({ "pagerduty": { "routing_key": "k" } }));
        let mut notice = Notice::sample(NoticeEvent::Opened);
        notice
            .incident
            .failed
            .push(notice.incident.failed[0].clone());
        let body: Value = serde_json::from_str(&http(&channel, &notice).body).unwrap();
        let one = "status == 200: expected 200, saw 503";
        let shown = &body["payload"]["custom_details"]["Assertion"];
        assert_eq!(shown, &format!("{one}; {one}"));
    }
}
