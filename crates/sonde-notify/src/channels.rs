//! One file per kind of channel, named after it, with everything about it: settings, secrets, what may be wrong, messages.

use serde::{Deserialize, Serialize};
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::secret::{Placed, at};
use crate::validation::Problems;
use crate::{Message, Notice, ReportNotice, SecretUrl};

/// The settings of a channel that is a secret URL to post to and nothing else; its `request` is beside it.
macro_rules! hook {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            pub url: SecretUrl,
        }

        impl Settings for $name {
            fn validate(&self, problems: &mut Problems) {
                problems.look_at_secret_url("url", &self.url);
            }

            fn secrets(&mut self) -> Vec<Placed<'_>> {
                vec![at("url", &mut self.url)]
            }

            fn receiver(&self) -> String {
                self.url.origin()
            }

            fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
                self.request(notice).into()
            }

            fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
                Some(self.request(report).into())
            }
        }
    };
}

mod alertmanager;
mod attachment;
mod discord;
mod email;
mod exec;
mod google_chat;
mod grafana_oncall;
mod mastodon;
mod matrix;
mod mattermost;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod pushover;
mod rocket_chat;
mod slack;
mod teams;
mod telegram;
mod twilio;
mod webhook;

pub use alertmanager::Alertmanager;
pub use email::Email;
pub use exec::Exec;
pub use mastodon::{Mastodon, Visibility};
pub use matrix::Matrix;
pub use ntfy::Ntfy;
pub use opsgenie::Opsgenie;
pub use pagerduty::PagerDuty;
pub use pushover::Pushover;
pub use telegram::Telegram;
pub use twilio::Twilio;
pub use webhook::Webhook;

hook! {
    /// An incoming webhook of Slack.
    Slack
}
hook! {
    /// A webhook of a Discord channel.
    Discord
}
hook! {
    /// A webhook of the Workflows app in Microsoft Teams.
    Teams
}
hook! {
    /// A webhook of a space in Google Chat.
    GoogleChat
}
hook! {
    /// A "Formatted webhook" integration of Grafana OnCall or IRM.
    GrafanaOncall
}
hook! {
    /// An incoming webhook of Mattermost.
    Mattermost
}
hook! {
    /// An incoming webhook integration of Rocket.Chat.
    RocketChat
}

/// Where a vendor that runs apart in America and in Europe keeps an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataRegion {
    #[default]
    Us,
    Eu,
}
