//! Matrix, client-server API v3: the notice's id is the transaction, so that a room never shows it twice.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at, origin};
use crate::text::html;
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, ReportNotice, Secret};

/// Events hold 64 KiB, and this is said twice.
const LONGEST_BODY: usize = 8000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The base URL of its API.
    pub homeserver: String,
    /// As in `!abc:example.org`; the user of the token must have joined it.
    pub room_id: String,
    pub access_token: Secret,
}

impl Settings for Matrix {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_server("homeserver", &self.homeserver);
        problems.look_at_text("room_id", &self.room_id);
        if !self.room_id.starts_with('!') {
            problems.add("room_id", "must begin with `!`: it is not the room's alias");
        }
        problems.look_at_secret("access_token", &self.access_token);
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("access_token", &mut self.access_token)]
    }

    fn receiver(&self) -> String {
        origin(&self.homeserver)
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        self.post(notice)
    }

    fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        Some(self.post(report))
    }
}

impl Matrix {
    fn post(&self, notice: &impl Words) -> Message {
        let headline = notice.headline();
        let lines = notice.html(LONGEST_BODY).replace('\n', "<br>");
        let formatted = format!("<strong>{}</strong><br>{lines}", html(&headline));
        let body = json!({
            "msgtype": "m.text",
            "body": format!("{headline}\n{}", notice.plain(LONGEST_BODY)),
            "format": "org.matrix.custom.html",
            "formatted_body": formatted,
            // Nobody, whatever the text looks like.
            "m.mentions": {},
        });
        let url = format!(
            "{}/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
            self.homeserver.trim_end_matches('/'),
            utf8_percent_encode(&self.room_id, NON_ALPHANUMERIC),
            notice.id()
        );
        let request = HttpRequest::json(url, &body).put();
        request.bearer(&self.access_token.0).into()
    }
}
