//! What a form asks of a channel, by its kind, and which incidents are told there.

use sonde_notify::Channel;

use crate::form::{Field, Form, Group, Shape};

const REGIONS: [(&str, &str); 2] = [("us", "United States"), ("eu", "European Union")];
const VISIBILITIES: [(&str, &str); 4] = [
    ("unlisted", "unlisted"),
    ("public", "public"),
    ("private", "followers"),
    ("direct", "only who is mentioned"),
];
const CAUSES: [(&str, &str); 5] = [
    ("down", "down"),
    ("degraded", "degraded"),
    ("unknown", "unknown"),
    ("certificate_expiring", "certificate ends"),
    ("domain_expiring", "domain ends"),
];
const OUTSIDE: [(&str, &str); 3] = [
    ("", "as usual: it waits"),
    ("wait", "it waits for their beginning"),
    ("skip", "it is not told here"),
];
const KEPT: &str = "A secret that reads REDACTED stays as it is.";

/// As people know the product.
pub(super) fn title(kind: &str) -> &str {
    match kind {
        "webhook" => "Webhook",
        "email" => "E-mail",
        "slack" => "Slack",
        "discord" => "Discord",
        "teams" => "Microsoft Teams",
        "google_chat" => "Google Chat",
        "telegram" => "Telegram",
        "pagerduty" => "PagerDuty",
        "opsgenie" => "Opsgenie",
        "grafana_oncall" => "Grafana OnCall",
        "alertmanager" => "Alertmanager",
        "ntfy" => "ntfy",
        "pushover" => "Pushover",
        "mattermost" => "Mattermost",
        "rocket_chat" => "Rocket.Chat",
        "matrix" => "Matrix",
        "twilio" => "Twilio",
        "mastodon" => "Mastodon",
        "exec" => "Command",
        other => other,
    }
}

/// A kind that there is, by its name.
pub(super) fn known(kind: &str) -> Option<&'static str> {
    let mut kinds = Channel::KINDS.iter().copied();
    kinds.find(|known| *known == kind)
}

pub(super) fn form(kind: &'static str, is_new: bool) -> Form {
    let mut send = Vec::new();
    if is_new {
        let hint = "Stays for good: a-z, 0-9, - and _.";
        send.push(Field::line("id", "Id").hint(hint));
    }
    send.extend(of_kind(kind));
    let which = vec![
        Field::words("monitors", "Only of these monitors")
            .hint("Ids with commas in between; all when it is left empty."),
        Field::words("tags", "Only of monitors with any of these tags"),
        Field::several("causes", "Only because of", &CAUSES).hint("All when none is chosen."),
    ];
    let when = vec![
        Field::line("after", "Escalation").hint(
            "So long after the incident was opened, unless somebody acknowledges it before: 10m",
        ),
        Field::line("repeat", "Reminder")
            .hint("Again and again until it ends or somebody acknowledges it: 30m"),
    ];
    Form::new(vec![
        Group::new("Where", send),
        Group::new("Which incidents", which),
        Group::new("When", when),
        Group::folded("Hours, and who is on call", hours()),
        Group::more("What the fields above do not know, in the words of the API."),
    ])
}

fn hours() -> Vec<Field> {
    vec![
        Field::line("hours.timezone", "Time zone").hint("An IANA name such as Europe/Berlin."),
        Field::choice("hours.outside", "Outside of the hours", &OUTSIDE),
        Field::area("hours.weekly", "Hours", 3, Shape::Lines).hint(
            "One on each line, as in mon-fri 09:00-18:00; all of the week when it is left empty.",
        ),
        Field::whole("hours.turn.of", "One week of so many")
            .hint("How many take turns in being on call."),
        Field::line("hours.turn.from", "Beginning with")
            .of_type("date")
            .hint("The first day of a week in which it is this one's turn."),
    ]
}

fn of_kind(kind: &'static str) -> Vec<Field> {
    let at = |name: &str| format!("send.{kind}.{name}");
    let line = |name: &str, label: &'static str, hint: &'static str| {
        Field::line(at(name), label).hint(hint)
    };
    let url = |hint: &'static str| line("url", "URL", hint).wide();
    match kind {
        "webhook" => vec![
            url("Gets a POST with the notice as JSON."),
            line("secret", "Secret", "whsec_ and 24 to 64 bytes in base64: signs each request, as Standard Webhooks has it."),
            Field::area(at("headers"), "Headers", 2, Shape::Entries).hint(format!("name: value, one on each line. {KEPT}")),
            Field::area(at("body"), "Body (JSON)", 4, Shape::Json)
                .hint("The whole notice when it is left empty. Otherwise {{headline}}, {{text}} and {{incident.name}} stand for what they name."),
        ],
        "email" => vec![
            Field::words(at("to"), "To").wide().hint("Addresses with commas in between. Mail goes out through SONDE_SMTP_URL."),
        ],
        "ntfy" => vec![
            line("topic", "Topic", "Whoever knows it can read along."),
            line("server", "Server", "https://ntfy.sh when it is left empty."),
            line("token", "Access token", "Where the topic asks for one."),
        ],
        "pagerduty" => vec![
            line("routing_key", "Integration key", "Of an Events API v2 integration."),
            Field::choice(at("region"), "Service region", &REGIONS),
        ],
        "opsgenie" => vec![
            line("api_key", "API key", "Of an API integration."),
            Field::choice(at("region"), "Service region", &REGIONS),
        ],
        "telegram" => vec![
            line("token", "Token", "As @BotFather gave it."),
            line("chat_id", "Chat", "A number, or @ and the name of a channel."),
            Field::whole(at("topic_id"), "Topic").hint("Of a forum."),
        ],
        "pushover" => vec![
            line("token", "Token", "Of the application."),
            line("user", "User", "The key of a person or of a group."),
        ],
        "matrix" => vec![
            line("homeserver", "Homeserver", "The base URL of its API."),
            line("room_id", "Room", "As in !abc:example.org; the user of the token must have joined it."),
            line("access_token", "Access token", KEPT),
        ],
        "twilio" => vec![
            line("account_sid", "Account SID", ""),
            line("auth_token", "Auth token", KEPT),
            line("from", "From", "A number, or the id of a messaging service (MG…)."),
            line("to", "To", "A number."),
        ],
        "mastodon" => vec![
            line("server", "Server", "As in https://mastodon.example"),
            line("access_token", "Access token", "With the scope write:statuses."),
            Field::choice(at("visibility"), "Visibility", &VISIBILITIES),
            line("mention", "Mention", "As in @ops@social.example"),
        ],
        "alertmanager" => vec![
            url("Of the server, without /api/v2."),
            line("username", "User name", ""),
            line("password", "Password", KEPT),
            Field::area(at("labels"), "Labels", 2, Shape::Entries).hint("name: value, one on each line."),
        ],
        "exec" => vec![
            line("command", "Program", "Not a line for a shell; it gets the notice as JSON."),
            Field::area(at("arguments"), "Arguments", 2, Shape::Lines).hint("One on each line."),
            Field::area(at("environment"), "Environment", 2, Shape::Entries).hint(format!("NAME: value, one on each line. {KEPT}")),
        ],
        // All others are a URL that is a secret.
        _ => vec![url("Of the incoming webhook. It is a secret: later it is shown without its path, and stays as it is.")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};
    use sonde_notify::ChannelConfig;

    use super::*;

    /// Sent again as it is shown.
    fn round(config: &ChannelConfig) -> ChannelConfig {
        let Ok(Value::Object(stored)) = serde_json::to_value(config) else {
            panic!("it is an object");
        };
        let mut form = form(known(config.send.kind()).unwrap(), false);
        form.show(stored);
        let sent: Map<String, Value> = form.config().unwrap();
        serde_json::from_value(Value::Object(sent)).unwrap()
    }

    #[test]
    fn a_form_that_nobody_touches_changes_nothing() {
        let all = [
            json!({ "send": { "webhook": { "url": "https://a.example/x", "secret": "REDACTED", "headers": { "x-key": "REDACTED" }, "body": { "a": "{{text}}" } } },
                "monitors": ["shop"], "tags": ["prod"], "causes": ["down", "certificate_expiring"], "after": "10m", "repeat": "30m",
                "hours": { "timezone": "Europe/Berlin", "weekly": ["mon-fri 09:00-18:00"], "turn": { "of": 2, "from": "2026-11-30" }, "outside": "skip" } }),
            json!({ "send": { "email": { "to": ["a@b.example", "c@d.example"] } } }),
            json!({ "send": { "slack": { "url": "https://hooks.slack.com/REDACTED" } } }),
            json!({ "send": { "teams": { "url": "https://a.example/x" } }, "hours": { "timezone": "UTC" } }),
            json!({ "send": { "ntfy": { "topic": "t", "token": "REDACTED" } } }),
            json!({ "send": { "pagerduty": { "routing_key": "REDACTED", "region": "eu" } } }),
            json!({ "send": { "telegram": { "token": "REDACTED", "chat_id": "@x", "topic_id": 7 } } }),
            json!({ "send": { "mastodon": { "server": "https://m.example", "access_token": "REDACTED", "visibility": "direct", "mention": "@a@b" } } }),
            json!({ "send": { "alertmanager": { "url": "https://a.example", "labels": { "team": "ops" } } } }),
            json!({ "send": { "exec": { "command": "/bin/true", "arguments": ["a b"], "environment": { "A": "REDACTED" } } } }),
        ];
        for config in all {
            let config: ChannelConfig = serde_json::from_value(config).unwrap();
            assert_eq!(round(&config), config);
        }
    }

    #[test]
    fn every_kind_has_a_name_and_fields() {
        for kind in Channel::KINDS {
            assert!(!of_kind(kind).is_empty());
            assert!(*kind == "ntfy" || title(kind) != *kind, "{kind}");
        }
    }
}
