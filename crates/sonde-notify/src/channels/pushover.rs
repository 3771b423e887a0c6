//! Pushover.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::notice::OPEN;
use crate::secret::{Placed, at};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Line, Message, Notice, Secret, Severity};

/// Of its API.
const LONGEST_MESSAGE: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pushover {
    /// Of the application.
    pub token: Secret,
    /// The key of a person or of a group.
    pub user: Secret,
}

impl Settings for Pushover {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_secret("token", &self.token);
        problems.look_at_secret("user", &self.user);
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("token", &mut self.token), at("user", &mut self.user)]
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        // High priority bypasses quiet hours.
        let priority = i32::from(notice.severity() == Severity::Critical);
        let mut body = json!({
            "token": self.token.0,
            "user": self.user.0,
            "title": notice.headline(),
            "message": notice.body(LONGEST_MESSAGE, Line::plain),
            "priority": priority,
            "timestamp": notice.at.as_micros().div_euclid(1_000_000),
        });
        if let Some(link) = &notice.link {
            body["url"] = link.as_str().into();
            body["url_title"] = OPEN.into();
        }
        HttpRequest::json("https://api.pushover.net/1/messages.json", &body)
            .accepted_when("status", 1)
            .into()
    }
}
