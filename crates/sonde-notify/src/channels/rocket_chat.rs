//! Rocket.Chat, which says in the body whether it posted.

use super::{RocketChat, attachment};
use crate::message::HttpRequest;
use crate::words::Words;

impl RocketChat {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        HttpRequest::json(&self.url.0, &attachment::body(notice)).accepted_when("success", true)
    }
}
