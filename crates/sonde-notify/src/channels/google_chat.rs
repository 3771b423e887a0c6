//! Google Chat: a card in the incident's thread.

use serde_json::json;

use super::GoogleChat;
use crate::Line;
use crate::message::HttpRequest;
use crate::words::Words;

/// Cards hold 32 kB together.
const LONGEST_BODY: usize = 6000;

impl GoogleChat {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        let body = notice.body(LONGEST_BODY, Line::html).replace('\n', "<br>");
        let mut widgets = vec![json!({ "textParagraph": { "text": body } })];
        if let Some(link) = notice.link() {
            let button =
                json!({ "text": notice.opens(), "onClick": { "openLink": { "url": link } } });
            widgets.push(json!({ "buttonList": { "buttons": [button] } }));
        }
        let headline = notice.headline();
        let card = json!({ "header": { "title": headline }, "sections": [{ "widgets": widgets }] });
        let body = json!({
            "fallbackText": headline,
            "thread": { "threadKey": notice.thread() },
            "cardsV2": [{ "cardId": notice.id(), "card": card }],
        });
        let url = &self.url.0;
        let separator = if url.contains('?') { '&' } else { '?' };
        let reply = "messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD";
        let url = format!("{url}{separator}{reply}&requestId={}", notice.id());
        HttpRequest::json(url, &body)
    }
}
