//! Microsoft Teams: an Adaptive Card of text runs, which know no markup.

use serde_json::{Value, json};

use super::Teams;
use crate::Severity;
use crate::message::HttpRequest;
use crate::words::Words;

impl Teams {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        let colour = match notice.severity() {
            Severity::Critical => "attention",
            Severity::Warning => "warning",
            Severity::Info => "default",
            Severity::Ok => "good",
        };
        let bold = |text: &str| json!({ "type": "TextRun", "text": text, "weight": "bolder" });
        let mut headline = bold(&notice.headline());
        headline["size"] = "large".into();
        headline["color"] = colour.into();
        let mut blocks = vec![block(&[headline])];
        blocks.extend(notice.lines().iter().map(|line| {
            let text = json!({ "type": "TextRun", "text": line.text });
            block(&[bold(&format!("{}: ", line.label)), text])
        }));
        let mut card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            // The latest with which Teams' clients all agree.
            "version": "1.4",
            "msteams": { "width": "Full" },
            "body": blocks,
        });
        if let Some(link) = notice.link() {
            let action = json!({ "type": "Action.OpenUrl", "title": notice.opens(), "url": link });
            card["actions"] = [action].into();
        }
        let attachment = json!({
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        });
        let body = json!({ "type": "message", "attachments": [attachment] });
        HttpRequest::json(&self.url.0, &body)
    }
}

fn block(runs: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "spacing": "small", "inlines": runs })
}
