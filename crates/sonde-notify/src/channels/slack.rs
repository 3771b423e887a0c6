//! Slack: one section of its own markup, in which `<` begins links and mentions.

use serde_json::json;

use super::Slack;
use crate::Line;
use crate::message::HttpRequest;
use crate::text::slack;
use crate::words::Words;

/// Of the text of a section, 3000, without headline and link.
const LONGEST_BODY: usize = 2000;

impl Slack {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        let headline = slack(&notice.headline());
        let mut text = format!("*{headline}*\n{}", notice.body(LONGEST_BODY, Line::slack));
        if let Some(link) = notice.link() {
            text = format!("{text}\n<{}|{}>", slack(link.as_str()), notice.opens());
        }
        let section = json!({
            "type": "section",
            // `verbatim`: what looks like a link, a channel or a mention stays text.
            "text": { "type": "mrkdwn", "text": text, "verbatim": true },
        });
        let colour = format!("#{:06x}", notice.severity().colour());
        let body = json!({
            "attachments": [{ "color": colour, "fallback": headline, "blocks": [section] }],
        });
        HttpRequest::json(&self.url.0, &body)
    }
}
