//! Twilio: an SMS, short enough for one or two.

use serde::{Deserialize, Serialize};
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::HttpRequest;
use crate::secret::{Placed, at};
use crate::text::{length, one_line};
use crate::validation::Problems;
use crate::{Message, Notice, Secret};

/// Of one SMS, when all of its letters are in the GSM alphabet.
const LONGEST_TEXT: usize = 160;
/// What is left to the headline when the link is long; a second SMS is better than a link without a reason to open it.
const SHORTEST_HEADLINE: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    pub account_sid: String,
    pub auth_token: Secret,
    /// A number, or the id of a messaging service (`MG…`).
    pub from: String,
    pub to: String,
}

impl Settings for Twilio {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_id("account_sid", &self.account_sid, "");
        problems.look_at_secret("auth_token", &self.auth_token);
        if self.is_from_a_service() {
            problems.look_at_id("from", &self.from, "");
        } else {
            problems.look_at_phone_number("from", &self.from);
        }
        problems.look_at_phone_number("to", &self.to);
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        vec![at("auth_token", &mut self.auth_token)]
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        let sender = if self.is_from_a_service() {
            "MessagingServiceSid"
        } else {
            "From"
        };
        let text = text(notice);
        let fields = [
            ("To", self.to.as_str()),
            (sender, &self.from),
            ("Body", &text),
        ];
        let account = &self.account_sid;
        let url = format!("https://api.twilio.com/2010-04-01/Accounts/{account}/Messages.json");
        HttpRequest::form(url, &fields)
            .basic(account, &self.auth_token.0)
            .into()
    }
}

impl Twilio {
    fn is_from_a_service(&self) -> bool {
        self.from.starts_with("MG")
    }
}

fn text(notice: &Notice) -> String {
    let link = notice.link.as_ref().map(|link| format!(" {link}"));
    let link = link.unwrap_or_default();
    let left = LONGEST_TEXT
        .saturating_sub(length(&link))
        .max(SHORTEST_HEADLINE);
    let mut reasons = notice
        .incident
        .regions
        .iter()
        .filter_map(|region| region.reason);
    let why = reasons
        .next()
        .map(|reason| format!(", {}", reason.sentence()));
    let text = one_line(&(notice.headline() + &why.unwrap_or_default()), left - 2);
    // One letter that is not in the alphabet makes an SMS hold 70 instead of 160.
    text.replace('…', "...") + &link
}
