//! Grafana OnCall: an alert group per incident. It knows no acknowledgement from outside.

use serde_json::json;

use super::GrafanaOncall;
use crate::Severity;
use crate::message::HttpRequest;
use crate::words::Words;

const LONGEST_MESSAGE: usize = 4000;

impl GrafanaOncall {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        let resolved = notice.severity() == Severity::Ok;
        let body = json!({
            "alert_uid": notice.thread(),
            "title": notice.headline(),
            "state": if resolved { "ok" } else { "alerting" },
            "link_to_upstream_details": notice.link(),
            "message": notice.plain(LONGEST_MESSAGE),
        });
        HttpRequest::json(&self.url.0, &body)
    }
}
