//! Mattermost.

use super::{Mattermost, attachment};
use crate::Notice;
use crate::message::HttpRequest;

impl Mattermost {
    pub(super) fn request(&self, notice: &Notice) -> HttpRequest {
        HttpRequest::json(&self.url.0, &attachment::body(notice))
    }
}
