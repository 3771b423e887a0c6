//! Mastodon: a status, which mentions nobody but whom it is for.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at, origin};
use crate::text::{length, without_mentions};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, ReportNotice, Secret};

/// Of servers as they come.
const LONGEST_STATUS: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mastodon {
    pub server: String,
    /// With the scope `write:statuses`.
    pub access_token: Secret,
    #[serde(default)]
    pub visibility: Visibility,
    /// As in `@ops@social.example`. A direct status reaches nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mention: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    Public,
    #[default]
    Unlisted,
    Private,
    Direct,
}

impl Settings for Mastodon {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_server("server", &self.server);
        problems.look_at_secret("access_token", &self.access_token);
        match &self.mention {
            Some(mention) => {
                problems.look_at_id("mention", mention, "@._-");
                if !mention.starts_with('@') {
                    problems.add("mention", "must begin with `@`");
                }
            }
            None if self.visibility == Visibility::Direct => {
                problems.add(
                    "mention",
                    "must be given: a direct status reaches nobody else",
                );
            }
            None => {}
        }
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("access_token", &mut self.access_token)]
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

impl Mastodon {
    fn post(&self, notice: &impl Words) -> Message {
        let mut headline = without_mentions(&notice.headline());
        if let Some(mention) = &self.mention {
            headline = format!("{mention} {headline}");
        }
        let left = LONGEST_STATUS.saturating_sub(length(&headline) + 2);
        let text = notice.body_and_link(left, |line| without_mentions(&line.plain()));
        let body = json!({
            "status": format!("{headline}\n\n{text}"),
            "visibility": self.visibility,
            "language": "en",
        });
        let url = format!("{}/api/v1/statuses", self.server.trim_end_matches('/'));
        HttpRequest::json(url, &body)
            .bearer(&self.access_token.0)
            .header("idempotency-key", notice.id().to_string())
            .into()
    }
}
