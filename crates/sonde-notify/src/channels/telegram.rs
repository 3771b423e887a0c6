//! Telegram: `sendMessage` of a bot, in its HTML.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at};
use crate::text::html;
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, ReportNotice, Secret};

/// Of a message, 4096, without headline and link.
const LONGEST_BODY: usize = 3000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telegram {
    /// As `@BotFather` gave it.
    pub token: Secret,
    /// A number, or `@` and the name of a channel.
    pub chat_id: String,
    /// The topic of a forum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<u64>,
}

impl Settings for Telegram {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_id("token", &self.token.0, ":_-");
        problems.look_at_id("chat_id", &self.chat_id, "@_-");
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("token", &mut self.token)]
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        self.post(notice)
    }

    fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        Some(self.post(report))
    }
}

impl Telegram {
    fn post(&self, notice: &impl Words) -> Message {
        let headline = html(&notice.headline());
        let text = format!("<b>{headline}</b>\n{}", notice.html(LONGEST_BODY));
        let mut body = json!({
            "chat_id": self.chat_id,
            "text": text,
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        });
        if let Some(topic) = self.topic_id {
            body["message_thread_id"] = topic.into();
        }
        let url = format!("https://api.telegram.org/bot{}/sendMessage", self.token.0);
        HttpRequest::json(url, &body)
            .accepted_when("ok", true)
            .into()
    }
}
