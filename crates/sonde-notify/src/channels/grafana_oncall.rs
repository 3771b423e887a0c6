//! Grafana OnCall: an alert group per incident. It knows no acknowledgement from outside.

use serde_json::json;

use super::GrafanaOncall;
use crate::message::HttpRequest;
use crate::{Notice, NoticeEvent};

const LONGEST_MESSAGE: usize = 4000;

impl GrafanaOncall {
    pub(super) fn request(&self, notice: &Notice) -> HttpRequest {
        let resolved = notice.event == NoticeEvent::Resolved;
        let body = json!({
            "alert_uid": notice.incident.id,
            "title": notice.headline(),
            "state": if resolved { "ok" } else { "alerting" },
            "link_to_upstream_details": notice.link,
            "message": notice.plain(LONGEST_MESSAGE),
        });
        HttpRequest::json(&self.url.0, &body)
    }
}
