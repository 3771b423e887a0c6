//! Discord: an embed, and nobody is mentioned.

use serde_json::json;

use super::Discord;
use crate::Line;
use crate::message::HttpRequest;
use crate::text::markdown;
use crate::words::Words;

/// Of a description.
const LONGEST_BODY: usize = 4096;

impl Discord {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        let mut embed = json!({
            "title": markdown(&notice.headline()),
            "description": notice.body(LONGEST_BODY, Line::markdown),
            "color": notice.severity().colour(),
            "timestamp": notice.at(),
        });
        if let Some(link) = notice.link() {
            embed["url"] = link.as_str().into();
        }
        let body = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
        HttpRequest::json(&self.url.0, &body)
    }
}
