//! Mattermost.

use super::{Mattermost, attachment};
use crate::message::HttpRequest;
use crate::words::Words;

impl Mattermost {
    pub(super) fn request(&self, notice: &impl Words) -> HttpRequest {
        HttpRequest::json(&self.url.0, &attachment::body(notice))
    }
}
