//! The message attachment that Mattermost and Rocket.Chat both took from Slack's past.

use serde_json::{Value, json};

use crate::Line;
use crate::text::markdown;
use crate::words::Words;

/// Both cut messages at 5000 characters or later.
const LONGEST_BODY: usize = 4000;

pub(super) fn body(notice: &impl Words) -> Value {
    let mut attachment = json!({
        "fallback": markdown(&notice.headline()),
        "color": format!("#{:06x}", notice.severity().colour()),
        "title": markdown(&notice.headline()),
        "text": notice.body(LONGEST_BODY, Line::markdown),
    });
    if let Some(link) = notice.link() {
        attachment["title_link"] = link.as_str().into();
    }
    json!({ "attachments": [attachment] })
}
