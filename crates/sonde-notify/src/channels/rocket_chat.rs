//! Rocket.Chat, which says in the body whether it posted.

use super::{RocketChat, attachment};
use crate::Notice;
use crate::message::HttpRequest;

impl RocketChat {
    pub(super) fn request(&self, notice: &Notice) -> HttpRequest {
        HttpRequest::json(&self.url.0, &attachment::body(notice)).accepted_when("success", true)
    }
}
