//! Opsgenie, and Jira Service Management behind the same API: the incident's id is the alert's alias.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sonde_core::Timestamp;

use super::DataRegion;
use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at};
use crate::text::{one_line, shortened};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, NoticeEvent, Secret, Severity};

// From its Alert API.
const LONGEST_MESSAGE: usize = 130;
const LONGEST_DESCRIPTION: usize = 15_000;
const LONGEST_TAG: usize = 50;
const MOST_TAGS: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opsgenie {
    /// Of an API integration.
    pub api_key: Secret,
    #[serde(default)]
    pub region: DataRegion,
}

impl Settings for Opsgenie {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_secret("api_key", &self.api_key);
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("api_key", &mut self.api_key)]
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        let alerts = match self.region {
            DataRegion::Us => "https://api.opsgenie.com/v2/alerts",
            DataRegion::Eu => "https://api.eu.opsgenie.com/v2/alerts",
        };
        let incident = &notice.incident;
        let change = |what| {
            let url = format!("{alerts}/{}/{what}?identifierType=alias", incident.id);
            let mut body = json!({ "source": "Sonde", "note": notice.headline() });
            if let Some(user) = &incident.acknowledged_by {
                body["user"] = one_line(user, 100).into();
            }
            HttpRequest::json(url, &body)
        };
        let request = match notice.event {
            NoticeEvent::Acknowledged => change("acknowledge"),
            NoticeEvent::Resolved => change("close"),
            _ => HttpRequest::json(alerts, &alert(notice)),
        };
        let key = format!("GenieKey {}", self.api_key.0);
        request.header("authorization", key).into()
    }
}

fn alert(notice: &Notice) -> Value {
    let priority = match notice.severity() {
        Severity::Critical => "P1",
        Severity::Warning => "P3",
        Severity::Info | Severity::Ok => "P5",
    };
    let tags = notice.incident.tags.iter().take(MOST_TAGS);
    json!({
        "message": shortened(&notice.headline(), LONGEST_MESSAGE),
        "alias": notice.incident.id,
        "description": notice.plain(LONGEST_DESCRIPTION),
        "entity": notice.incident.monitor,
        "source": "Sonde",
        "priority": priority,
        "tags": tags.map(|tag| one_line(tag, LONGEST_TAG)).collect::<Vec<_>>(),
    })
}
