//! The keys of channels and of maintenance. A test holds them against what the types read.

use crate::shape::Shape::{
    Anything, Duration, Instant, Integer, List, Mapping as Of, MonitorId, OneOf, Text, Texts, Word,
    WordOr,
};
use crate::shape::{Key, Mapping, Shape, optional, required};

pub(crate) const CHANNEL: Shape = Of(&Mapping {
    name: "channel",
    about: "Where incidents are told, and which.",
    keys: &[
        required("send", "Where to, and how.", OneOf(&SEND)),
        optional(
            "monitors",
            "Only incidents of these monitors.",
            List(&MonitorId),
        ),
        optional(
            "tags",
            "Only incidents of monitors with any of these.",
            List(&Text),
        ),
        optional(
            "causes",
            "Only incidents that are opened for one of these.",
            List(&Word(&[
                "down",
                "degraded",
                "unknown",
                "certificate_expiring",
                "domain_expiring",
            ])),
        ),
        optional(
            "after",
            "So long after an incident was opened, unless somebody acknowledged it until then: an escalation.",
            Duration,
        ),
        optional(
            "repeat",
            "Reminds for as long as the incident is open and nobody has acknowledged it.",
            Duration,
        ),
        optional(
            "hours",
            "When somebody is there to be told; always, without.",
            Of(&HOURS),
        ),
    ],
});

static HOURS: Mapping = Mapping {
    name: "hours",
    about: "Quiet hours, or a rotation in which each has a channel.",
    keys: &[
        required("timezone", "An IANA name such as Europe/Berlin.", Text),
        optional(
            "weekly",
            "As in `mon-fri 09:00-18:00`; what ends before it begins ends the day after. All of the week where there is none.",
            List(&Text),
        ),
        optional("turn", "Only one week of so many.", Of(&TURN)),
        optional(
            "outside",
            "What becomes of what is due outside of them: it waits for their beginning, or is left to others.",
            Word(&["wait", "skip"]),
        ),
    ],
};

static TURN: Mapping = Mapping {
    name: "turn",
    about: "One week of so many, beginning with that of a date.",
    keys: &[
        required("of", "How many take turns.", Integer(2, 12)),
        required(
            "from",
            "The first day of a week of its own, as in 2026-11-30.",
            Text,
        ),
    ],
};

static SEND: Mapping = Mapping {
    name: "send",
    about: "Exactly one kind of channel, with its settings.",
    keys: &[
        of_kind("webhook", &WEBHOOK),
        of_kind("email", &EMAIL),
        of_kind("slack", &SLACK),
        of_kind("discord", &DISCORD),
        of_kind("teams", &TEAMS),
        of_kind("google_chat", &GOOGLE_CHAT),
        of_kind("telegram", &TELEGRAM),
        of_kind("pagerduty", &PAGERDUTY),
        of_kind("opsgenie", &OPSGENIE),
        of_kind("grafana_oncall", &GRAFANA_ONCALL),
        of_kind("alertmanager", &ALERTMANAGER),
        of_kind("ntfy", &NTFY),
        of_kind("pushover", &PUSHOVER),
        of_kind("mattermost", &MATTERMOST),
        of_kind("rocket_chat", &ROCKET_CHAT),
        of_kind("matrix", &MATRIX),
        of_kind("twilio", &TWILIO),
        of_kind("mastodon", &MASTODON),
        of_kind("exec", &EXEC),
    ],
};

const fn of_kind(name: &'static str, mapping: &'static Mapping) -> Key {
    optional(name, mapping.about, Of(mapping))
}

static HOOK: [Key; 1] = [required("url", "As the vendor gave it; a secret.", Text)];

/// What is posted to a URL that its vendor gave out.
const fn hook(name: &'static str, about: &'static str) -> Mapping {
    Mapping {
        name,
        about,
        keys: &HOOK,
    }
}

static SLACK: Mapping = hook("slack_channel", "An incoming webhook of Slack.");
static DISCORD: Mapping = hook("discord_channel", "A webhook of a Discord channel.");
static TEAMS: Mapping = hook(
    "teams_channel",
    "A workflow of Microsoft Teams that takes webhooks.",
);
static GOOGLE_CHAT: Mapping = hook("google_chat_channel", "A webhook of a Google Chat space.");
static GRAFANA_ONCALL: Mapping = hook(
    "grafana_oncall_channel",
    "A formatted webhook of Grafana OnCall.",
);
static MATTERMOST: Mapping = hook("mattermost_channel", "An incoming webhook of Mattermost.");
static ROCKET_CHAT: Mapping = hook("rocket_chat_channel", "An incoming webhook of Rocket.Chat.");

static WEBHOOK: Mapping = Mapping {
    name: "webhook_channel",
    about: "A webhook of one's own, signed as Standard Webhooks has it.",
    keys: &[
        required("url", "Where it is posted to; a secret.", Text),
        optional(
            "secret",
            "`whsec_` and 24 to 64 bytes in base64: signs each request.",
            Text,
        ),
        optional("headers", "Sent with each request; secrets.", Texts),
        optional(
            "body",
            "JSON with placeholders such as {{headline}} instead of the notice's own.",
            Anything,
        ),
    ],
};

static EMAIL: Mapping = Mapping {
    name: "email_channel",
    about: "E-mail, through the server's SMTP settings.",
    keys: &[required("to", "Addresses.", List(&Text))],
};

static TELEGRAM: Mapping = Mapping {
    name: "telegram_channel",
    about: "A chat of Telegram, by a bot.",
    keys: &[
        required("token", "Of the bot; a secret.", Text),
        required(
            "chat_id",
            "A number in quotes, or `@` and the name of a channel.",
            Text,
        ),
        optional("topic_id", "The topic of a forum.", Integer(1, i64::MAX)),
    ],
};

static PAGERDUTY: Mapping = Mapping {
    name: "pagerduty_channel",
    about: "A service of PagerDuty, by its Events API v2.",
    keys: &[
        required("routing_key", "Of the integration; a secret.", Text),
        optional("region", "Where the account is.", Word(&["us", "eu"])),
    ],
};

static OPSGENIE: Mapping = Mapping {
    name: "opsgenie_channel",
    about: "Alerts of Opsgenie.",
    keys: &[
        required("api_key", "Of an API integration; a secret.", Text),
        optional("region", "Where the account is.", Word(&["us", "eu"])),
    ],
};

static ALERTMANAGER: Mapping = Mapping {
    name: "alertmanager_channel",
    about: "Prometheus' Alertmanager.",
    keys: &[
        required("url", "Of the server, without /api/v2.", Text),
        optional("username", "Where the server asks for one.", Text),
        optional("password", "A secret.", Text),
        optional(
            "labels",
            "For its routes, beside those of the incident.",
            Texts,
        ),
    ],
};

static NTFY: Mapping = Mapping {
    name: "ntfy_channel",
    about: "A topic of ntfy.",
    keys: &[
        optional("server", "Default: https://ntfy.sh.", Text),
        required("topic", "Its name.", Text),
        optional("token", "Where the topic asks for one; a secret.", Text),
    ],
};

static PUSHOVER: Mapping = Mapping {
    name: "pushover_channel",
    about: "Pushover.",
    keys: &[
        required("token", "Of the application; a secret.", Text),
        required("user", "The key of a person or of a group; a secret.", Text),
    ],
};

static MATRIX: Mapping = Mapping {
    name: "matrix_channel",
    about: "A room of Matrix.",
    keys: &[
        required("homeserver", "The base URL of its API.", Text),
        required("room_id", "As in !abc:example.org.", Text),
        required(
            "access_token",
            "Of a user who has joined it; a secret.",
            Text,
        ),
    ],
};

static TWILIO: Mapping = Mapping {
    name: "twilio_channel",
    about: "SMS by Twilio.",
    keys: &[
        required("account_sid", "The account.", Text),
        required("auth_token", "A secret.", Text),
        required("from", "A number, or the id of a messaging service.", Text),
        required("to", "A number such as +491701234567.", Text),
    ],
};

static MASTODON: Mapping = Mapping {
    name: "mastodon_channel",
    about: "Statuses on Mastodon.",
    keys: &[
        required("server", "The URL of the instance.", Text),
        required(
            "access_token",
            "With the scope write:statuses; a secret.",
            Text,
        ),
        optional(
            "visibility",
            "Who sees them. Default: unlisted.",
            Word(&["public", "unlisted", "private", "direct"]),
        ),
        optional("mention", "Whom to name, as in @ops@social.example.", Text),
    ],
};

static EXEC: Mapping = Mapping {
    name: "exec_channel",
    about: "A program of the alerter's machine; needs --allow-exec.",
    keys: &[
        required("command", "A program, not a line for a shell.", Text),
        optional("arguments", "One by one.", List(&Text)),
        optional("environment", "Secrets.", Texts),
    ],
};

pub(crate) const MAINTENANCE: Shape = Of(&Mapping {
    name: "maintenance",
    about: "A time in which outcomes of some monitors neither alert nor count.",
    keys: &[
        optional("title", "For people. Default: the id.", Text),
        required(
            "monitors",
            "Which ones.",
            WordOr("all", &MAINTAINED_BY_NAME),
        ),
        required("schedule", "When.", OneOf(&SCHEDULE)),
    ],
});

static MAINTAINED_BY_NAME: Shape = OneOf(&MAINTAINED);

static MAINTAINED: Mapping = Mapping {
    name: "maintained",
    about: "Monitors by their ids, or those with any of some tags.",
    keys: &[
        optional("ids", "These.", List(&MonitorId)),
        optional("tags", "Those with any of these.", List(&Text)),
    ],
};

static SCHEDULE: Mapping = Mapping {
    name: "schedule",
    about: "Once, or again and again.",
    keys: &[
        optional("once", "From an instant to another.", Of(&ONCE)),
        optional("recurring", "In the local time of a zone.", Of(&RECURRING)),
    ],
};

static ONCE: Mapping = Mapping {
    name: "once",
    about: "From an instant to another, which is the first that is not in it.",
    keys: &[
        required("from", "As in 2026-12-24T22:00:00Z.", Instant),
        required("to", "The same.", Instant),
    ],
};

static RECURRING: Mapping = Mapping {
    name: "recurring",
    about: "Again and again, by a rule of RFC 5545.",
    keys: &[
        required("rrule", "As in FREQ=WEEKLY;BYDAY=SU.", Text),
        required("timezone", "An IANA name such as Europe/Berlin.", Text),
        required(
            "starts_at",
            "Local time of the first one, as in 2026-11-20T02:30.",
            Text,
        ),
        required("duration", "How long each takes, as in 1h 30m.", Text),
    ],
};
