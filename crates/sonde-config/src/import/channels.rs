//! Whom other tools tell, as channels: by tables of what they call each setting.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};
use sonde_core::{Monitor, MonitorId};
use sonde_notify::ChannelConfig;

use super::lenient::{self, NO_EQUIVALENT};
use super::place;
use crate::decode::Item;
use crate::names::unique_id;
use crate::problem::Problem;

/// A kind of channel of another tool.
pub(crate) struct Provider {
    theirs: &'static str,
    ours: &'static str,
    /// Our setting, and theirs.
    settings: &'static [(&'static str, &'static str)],
    /// How it is sent, which is said elsewhere here.
    passed_over: &'static [&'static str],
}

/// A channel, and what it was made of.
pub(crate) struct ChannelDraft {
    pub(crate) id: String,
    pub(crate) config: ChannelConfig,
    /// Without a message.
    place: Problem,
}

const fn provider(
    theirs: &'static str,
    ours: &'static str,
    settings: &'static [(&'static str, &'static str)],
) -> Provider {
    Provider {
        theirs,
        ours,
        settings,
        passed_over: &[],
    }
}

/// As in Checkup's packages `notifier/*`.
pub(crate) static CHECKUP: [Provider; 6] = [
    provider("slack", "slack", &[("url", "webhook")]),
    provider("discord", "discord", &[("url", "webhook")]),
    provider("msteams", "teams", &[("url", "webhook")]),
    Provider {
        passed_over: &["from", "smtp"],
        ..provider("mail", "email", &[("to", "to")])
    },
    Provider {
        passed_over: &["from", "apikey", "domain"],
        ..provider("mailgun", "email", &[("to", "to")])
    },
    provider(
        "pushover",
        "pushover",
        &[("token", "token"), ("user", "recipient")],
    ),
];

/// As in Gatus's packages `alerting/provider/*`.
pub(super) static GATUS: [Provider; 15] = [
    provider("slack", "slack", &[("url", "webhook-url")]),
    provider("discord", "discord", &[("url", "webhook-url")]),
    provider("teams", "teams", &[("url", "webhook-url")]),
    provider("teams-workflows", "teams", &[("url", "webhook-url")]),
    provider("googlechat", "google_chat", &[("url", "webhook-url")]),
    provider("mattermost", "mattermost", &[("url", "webhook-url")]),
    provider("rocketchat", "rocket_chat", &[("url", "webhook-url")]),
    provider(
        "telegram",
        "telegram",
        &[
            ("token", "token"),
            ("chat_id", "id"),
            ("topic_id", "topic-id"),
        ],
    ),
    provider(
        "pagerduty",
        "pagerduty",
        &[("routing_key", "integration-key")],
    ),
    provider("opsgenie", "opsgenie", &[("api_key", "api-key")]),
    provider(
        "ntfy",
        "ntfy",
        &[("server", "url"), ("topic", "topic"), ("token", "token")],
    ),
    provider(
        "pushover",
        "pushover",
        &[("token", "application-token"), ("user", "user-key")],
    ),
    provider(
        "matrix",
        "matrix",
        &[
            ("homeserver", "server-url"),
            ("room_id", "internal-room-id"),
            ("access_token", "access-token"),
        ],
    ),
    provider(
        "twilio",
        "twilio",
        &[
            ("account_sid", "sid"),
            ("auth_token", "token"),
            ("from", "from"),
            ("to", "to"),
        ],
    ),
    Provider {
        passed_over: &["from", "username", "password", "host", "port", "client"],
        ..provider("email", "email", &[("to", "to")])
    },
];

/// As in Uptime Kuma's `server/notification-providers/*`.
pub(super) static UPTIME_KUMA: [Provider; 16] = [
    provider("slack", "slack", &[("url", "slackwebhookURL")]),
    provider("discord", "discord", &[("url", "discordWebhookUrl")]),
    provider("teams", "teams", &[("url", "webhookUrl")]),
    provider(
        "GoogleChat",
        "google_chat",
        &[("url", "googleChatWebhookURL")],
    ),
    provider(
        "mattermost",
        "mattermost",
        &[("url", "mattermostWebhookUrl")],
    ),
    provider("rocket.chat", "rocket_chat", &[("url", "rocketwebhookURL")]),
    provider(
        "GrafanaOncall",
        "grafana_oncall",
        &[("url", "GrafanaOncallURL")],
    ),
    provider("webhook", "webhook", &[("url", "webhookURL")]),
    provider(
        "telegram",
        "telegram",
        &[
            ("token", "telegramBotToken"),
            ("chat_id", "telegramChatID"),
            ("topic_id", "telegramMessageThreadID"),
        ],
    ),
    provider(
        "PagerDuty",
        "pagerduty",
        &[("routing_key", "pagerdutyIntegrationKey")],
    ),
    provider(
        "Opsgenie",
        "opsgenie",
        &[("api_key", "opsgenieApiKey"), ("region", "opsgenieRegion")],
    ),
    provider(
        "ntfy",
        "ntfy",
        &[
            ("server", "ntfyserverurl"),
            ("topic", "ntfytopic"),
            ("token", "ntfyaccesstoken"),
        ],
    ),
    provider(
        "pushover",
        "pushover",
        &[("token", "pushoverapptoken"), ("user", "pushoveruserkey")],
    ),
    provider(
        "matrix",
        "matrix",
        &[
            ("homeserver", "homeserverUrl"),
            ("room_id", "internalRoomId"),
            ("access_token", "accessToken"),
        ],
    ),
    provider(
        "twilio",
        "twilio",
        &[
            ("account_sid", "twilioAccountSID"),
            ("auth_token", "twilioAuthToken"),
            ("from", "twilioFromNumber"),
            ("to", "twilioToNumber"),
        ],
    ),
    provider("smtp", "email", &[("to", "smtpTo")]),
];

pub(crate) fn find(providers: &'static [Provider], theirs: &str) -> Option<&'static Provider> {
    providers.iter().find(|provider| provider.theirs == theirs)
}

impl Provider {
    /// What a mapping of its settings comes to; nothing where one is missing, which is noted. `others` are keys that say
    /// nothing of where it goes; where they are not all known, what is none of these is noted too.
    pub(crate) fn read(&self, item: &Item<'_>, others: Option<&[&str]>) -> Option<ChannelConfig> {
        let mut settings = Map::new();
        for (key, item) in item.entries()? {
            let ours = self.settings.iter().find(|(_, theirs)| *theirs == key);
            if let Some((ours, _)) = ours {
                if let Some(value) = self.value(ours, &item) {
                    settings.insert((*ours).to_owned(), value);
                }
            } else if let Some(others) = others
                && !others.contains(&key)
                && !self.passed_over.contains(&key)
                && lenient::is_set(&item)
            {
                item.warning(NO_EQUIVALENT);
            }
        }
        if self.ours == "email" {
            item.warning("mail goes through the server that Sonde's settings name");
        }
        let config = json!({ "send": { self.ours: settings } });
        let config = serde_json::from_value(config);
        config
            .map_err(|error| item.warning(format!("no channel can be made of it: {error}")))
            .ok()
    }

    /// Nothing of what is empty.
    fn value(&self, ours: &str, item: &Item<'_>) -> Option<Json> {
        match (self.ours, ours) {
            ("email", "to") if item.is_list() => {
                let addresses = item.list()?.into_iter();
                Some(addresses.filter_map(|item| item.scalar()).collect())
            }
            ("email", "to") => {
                let addresses = item.scalar()?.split([',', ';']);
                let addresses = addresses.map(str::trim).filter(|it| !it.is_empty());
                Some(addresses.collect())
            }
            ("telegram", "topic_id") => {
                let topic = item.scalar()?;
                topic.parse::<u64>().ok().map(Json::from)
            }
            _ => lenient::text(Some(item.clone())).map(Json::from),
        }
    }
}

impl ChannelDraft {
    pub(crate) fn new(
        item: &Item<'_>,
        name: &str,
        config: ChannelConfig,
        ids: &mut BTreeSet<MonitorId>,
    ) -> Option<Self> {
        Some(Self {
            id: unique_id(name, "channel", ids)?.to_string(),
            config,
            place: place(item, ""),
        })
    }

    /// As far as its monitors were taken over, and what the strict reader would find wrong. `is_hidden` is a text that a
    /// variable is a part of: nobody knows yet what is wrong with that.
    pub(crate) fn accepted(
        self,
        monitors: &[Monitor],
        is_hidden: &dyn Fn(&str) -> bool,
        notes: &mut Vec<Problem>,
    ) -> Option<(String, ChannelConfig)> {
        let Self {
            id,
            mut config,
            place,
        } = self;
        let mut refuse = |message: String| {
            notes.push(Problem {
                message,
                ..place.clone()
            });
        };
        let some = !config.monitors.is_empty();
        let is_there = |id: &MonitorId| monitors.iter().any(|monitor| monitor.id == *id);
        config.monitors.retain(is_there);
        if some && config.monitors.is_empty() {
            refuse(format!("left out: `{id}` is told of no monitor"));
            return None;
        }
        if config.monitors.len() == monitors.len() {
            config.monitors.clear();
        }
        let written = json!(config);
        let problems = config.validate().into_iter().filter(|problem| {
            let pointer = format!("/{}", problem.path.replace('.', "/"));
            let text = written.pointer(&pointer).and_then(Json::as_str);
            !text.is_some_and(is_hidden)
        });
        let problems: Vec<_> = problems.collect();
        for problem in &problems {
            refuse(format!(
                "left out: `{id}`: {}: {}",
                problem.path, problem.message
            ));
        }
        problems.is_empty().then_some((id, config))
    }
}
