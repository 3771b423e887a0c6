//! ntfy: a push message on a topic, published as JSON because headers are ASCII.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at, origin};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, ReportNotice, Secret, Severity};

/// Longer messages become attachments above 4096 bytes.
const LONGEST_MESSAGE: usize = 1300;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ntfy {
    #[serde(default = "public_server")]
    pub server: String,
    pub topic: String,
    /// An access token, where the topic asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

fn public_server() -> String {
    "https://ntfy.sh".to_owned()
}

impl Settings for Ntfy {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_server("server", &self.server);
        problems.look_at_id("topic", &self.topic, "_-");
        if let Some(token) = &self.token {
            problems.look_at_secret("token", token);
        }
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        let token = self.token.iter_mut();
        token.map(|token| at("token", token)).collect()
    }

    fn receiver(&self) -> String {
        origin(&self.server)
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        self.post(notice)
    }

    fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        Some(self.post(report))
    }
}

impl Ntfy {
    fn post(&self, notice: &impl Words) -> Message {
        let (priority, tag) = match notice.severity() {
            Severity::Critical => (5, "rotating_light"),
            Severity::Warning => (4, "warning"),
            Severity::Info => (3, "information_source"),
            Severity::Ok => (3, "white_check_mark"),
        };
        let mut body = json!({
            "topic": self.topic,
            "title": notice.headline(),
            "message": notice.plain(LONGEST_MESSAGE),
            "priority": priority,
            "tags": [tag],
            // A message that comes again replaces itself.
            "sequence_id": notice.id(),
        });
        if let Some(link) = notice.link() {
            body["click"] = link.as_str().into();
        }
        let request = HttpRequest::json(&self.server, &body);
        match &self.token {
            Some(token) => request.bearer(&token.0).into(),
            None => request.into(),
        }
    }
}
