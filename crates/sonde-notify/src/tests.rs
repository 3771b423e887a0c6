//! Every kind of channel: what it sends, what is wrong with its settings, and that its secrets stay its own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sonde_core::{IncidentCause, MaskError, Outcome, Timestamp};

use crate::{Accepted, Channel, HttpRequest, Message, Notice, NoticeEvent, ReportNotice};

/// The secrets hold `hunter2`, except where they could not.
pub(crate) fn samples() -> Vec<Channel> {
    let hook = "https://hooks.example/hunter2?key=hunter2";
    let samples = json!([
        { "webhook": {
            "url": hook,
            "secret": SIGNING_SECRET,
            "headers": { "X-Token": "hunter2" },
        } },
        { "email": { "to": ["ops@example.com", "boss@example.com"] } },
        { "slack": { "url": hook } },
        { "discord": { "url": hook } },
        { "teams": { "url": hook } },
        { "google_chat": { "url": hook } },
        { "telegram": { "token": "123:hunter2", "chat_id": "-100123", "topic_id": 7 } },
        { "pagerduty": { "routing_key": "hunter2" } },
        { "opsgenie": { "api_key": "hunter2", "region": "eu" } },
        { "grafana_oncall": { "url": hook } },
        { "alertmanager": {
            "url": "https://alerts.example/prefix/",
            "username": "sonde",
            "password": "hunter2",
            "labels": { "team": "shop" },
        } },
        { "ntfy": { "server": "https://ntfy.example", "topic": "ops", "token": "hunter2" } },
        { "pushover": { "token": "hunter2", "user": "hunter2" } },
        { "mattermost": { "url": hook } },
        { "rocket_chat": { "url": hook } },
        { "matrix": {
            "homeserver": "https://matrix.example",
            "room_id": "!ops:matrix.example",
            "access_token": "hunter2",
        } },
        { "twilio": {
            "account_sid": "AC1",
            "auth_token": "hunter2",
            "from": "+15005550006",
            "to": "+491701234567",
        } },
        { "mastodon": {
            "server": "https://social.example",
            "access_token": "hunter2",
            "visibility": "direct",
            "mention": "@ops@social.example",
        } },
        { "exec": {
            "command": "/usr/local/bin/page",
            "arguments": ["--loud"],
            "environment": { "TOKEN": "hunter2" },
        } },
    ]);
    serde_json::from_value(samples).unwrap()
}

const SIGNING_SECRET: &str = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==";

pub(crate) fn channel(value: Value) -> Channel {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn sent_at() -> Timestamp {
    "2026-11-27T12:12:05Z".parse().unwrap()
}

pub(crate) fn http(channel: &Channel, notice: &Notice) -> HttpRequest {
    match channel.message(notice, sent_at()) {
        Message::Http(request) => request,
        other => panic!("{other:?} is no request"),
    }
}

fn shown(message: Message) -> Value {
    let map = |pairs: Vec<(String, String)>| -> Map<String, Value> {
        pairs
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect()
    };
    let parsed = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    match message {
        Message::Http(request) => json!({
            "request": format!("{} {}", request.method.as_str(), request.url),
            "headers": map(request.headers),
            "body": parsed(request.body),
            "accepted": match request.accepted {
                Accepted::AnyBody => Value::Null,
                Accepted::Field(name, value) => json!({ name: value }),
            },
        }),
        Message::Mail(mail) => json!({
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text.lines().collect::<Vec<_>>(),
            "html": mail.html.lines().collect::<Vec<_>>(),
            "message_id": mail.message_id,
            "follows": mail.follows,
        }),
        Message::Command(command) => json!({
            "program": command.program,
            "arguments": command.arguments,
            "environment": map(command.environment),
            "stdin": parsed(command.stdin),
        }),
    }
}

#[test]
fn every_kind_has_a_sample_that_is_valid_and_reads_back() {
    let samples = samples();
    let kinds: Vec<_> = samples.iter().map(Channel::kind).collect();
    assert_eq!(kinds, Channel::KINDS);
    for channel in samples {
        assert_eq!(channel.validate(), []);
        let written = serde_json::to_value(&channel).unwrap();
        assert!(written.get(channel.kind()).is_some(), "{written}");
        assert_eq!(serde_json::from_value::<Channel>(written).unwrap(), channel);
    }
}

#[test]
fn what_an_alert_and_its_recovery_send() {
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.set_omit_expression(true);
    let _settings = settings.bind_to_scope();
    for channel in samples() {
        let both = [NoticeEvent::Opened, NoticeEvent::Resolved].map(|event| {
            let message = channel.message(&Notice::sample(event), sent_at());
            json!({ event.as_str(): shown(message) })
        });
        insta::assert_json_snapshot!(channel.kind(), both);
    }
}

#[test]
fn what_a_report_sends_where_people_read() {
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.set_omit_expression(true);
    let _settings = settings.bind_to_scope();
    let sent = samples().into_iter().filter_map(|channel| {
        let message = channel.report(&ReportNotice::sample(), sent_at());
        assert_eq!(
            message.is_some(),
            channel.takes_reports(),
            "{}",
            channel.kind()
        );
        Some((channel.kind().to_owned(), shown(message?)))
    });
    insta::assert_json_snapshot!("reports", sent.collect::<Map<_, _>>());
}

#[test]
fn an_acknowledgement_is_passed_on_where_there_is_such_a_thing() {
    #[track_caller]
    fn check(channel: Value, place: &str) {
        let mut notice = Notice::sample(NoticeEvent::Acknowledged);
        notice.incident.acknowledged_by = Some("ada@example.com".to_owned());
        let request = http(&self::channel(channel), &notice);
        assert!(format!("{} {}", request.url, request.body).contains(place));
    }
    check(
        json!({ "pagerduty": { "routing_key": "k" } }),
        r#""event_action":"acknowledge""#,
    );
    check(
        json!({ "opsgenie": { "api_key": "k" } }),
        "/v2/alerts/00000000-0000-0000-0000-00000000001c/acknowledge?identifierType=alias",
    );
    check(
        json!({ "slack": { "url": "https://a.example" } }),
        "*Acknowledged by:* ada@example.com",
    );
}

#[track_caller]
fn check_problems(channel: Value, expected: &[&str]) {
    let problems = self::channel(channel).validate();
    let told = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.path, problem.message));
    let told: Vec<String> = told.collect();
    assert!(!told.concat().contains("hunter2"), "{told:?}");
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn all_problems_are_told_at_once_and_none_repeats_a_secret() {
    check_problems(
        json!({ "webhook": {
            "url": "ftp://me:hunter2@a.example/#x",
            "secret": "whsec_c2hvcnQ=",
            "headers": { "Host": "a", "X\r\nY": "hunter2\n", "X-Ok": "fine" },
            "body": { "text": "{{incident.nome}} {{incident.name}}", "all": ["{{ nothing }}"] },
        } }),
        &[
            "webhook.url: must begin with https:// or http://",
            "webhook.url: must not hold a user name",
            "webhook.url: must not have a fragment",
            "webhook.secret: must be `whsec_`",
            "webhook.headers.Host: is set by Sonde",
            "webhook.headers.X\r\nY: the name of a header",
            "webhook.headers.X\r\nY: the value of a header",
            "webhook.body: a notice has no `incident.nome`",
            "webhook.body: a notice has no `nothing`",
        ],
    );
    check_problems(
        json!({ "email": { "to": [] } }),
        &["email.to: must be 1 to 50"],
    );
    let to = [
        "Ops <ops@example.com>",
        "a@b\r\nBcc: c@d",
        "ops@-a.example",
        "ops@example.com",
    ];
    check_problems(
        json!({ "email": { "to": to } }),
        &[
            "email.to[0]: must be",
            "email.to[1]: must be",
            "email.to[2]: must be",
        ],
    );
    check_problems(
        json!({ "slack": { "url": "hooks.slack.com/hunter2" } }),
        &["slack.url: must be a URL"],
    );
}

#[test]
fn what_becomes_part_of_an_address_or_a_process_is_looked_at() {
    check_problems(
        json!({ "telegram": { "token": "1/../hunter2", "chat_id": "" } }),
        &["telegram.token: must be", "telegram.chat_id: must be"],
    );
    check_problems(
        json!({ "alertmanager": {
            "url": "https://alerts.example/?a",
            "username": "a:b",
            "labels": { "0-team": "a", "monitor": "" },
        } }),
        &[
            "alertmanager.url: must not have a query",
            "alertmanager.password: goes with",
            "alertmanager.username: must not hold",
            "alertmanager.labels.0-team: must be",
            "alertmanager.labels.0-team: must not begin",
            "alertmanager.labels.monitor: must be one line",
            "alertmanager.labels.monitor: is set by Sonde",
        ],
    );
    check_problems(
        json!({ "matrix": { "homeserver": "https:///", "room_id": "#ops:a", "access_token": "" } }),
        &[
            "matrix.homeserver: must be a URL",
            "matrix.room_id: must begin with `!`",
            "matrix.access_token: must be 1 to",
        ],
    );
    check_problems(
        json!({ "twilio": { "account_sid": "../x", "auth_token": "a b", "from": "MG1", "to": "0170" } }),
        &[
            "twilio.account_sid: must be",
            "twilio.auth_token: must be",
            "twilio.to: must be a phone number",
        ],
    );
    check_problems(
        json!({ "mastodon": {
            "server": "https://social.example", "access_token": "hunter2", "visibility": "direct",
        } }),
        &["mastodon.mention: must be given"],
    );
    check_problems(
        json!({ "exec": {
            "command": "",
            "arguments": ["a\u{0}"],
            "environment": { "A=B": "hunter2\u{0}", "SONDE_EVENT": "x" },
        } }),
        &[
            "exec.command: must be",
            "exec.arguments[0]: must be",
            "exec.environment.A=B: must be",
            "exec.environment.A=B: must not hold NUL",
            "exec.environment.SONDE_EVENT: `SONDE_…`",
        ],
    );
}

#[test]
fn unknown_settings_are_refused() {
    let slack = json!({ "slack": { "url": "https://a.example", "chanel": "x" } });
    assert!(serde_json::from_value::<Channel>(slack).is_err());
    assert!(serde_json::from_value::<Channel>(json!({ "slock": {} })).is_err());
}

#[test]
fn a_masked_channel_shows_no_secret_and_gets_its_own_back() {
    for stored in samples() {
        let mut sent = stored.masked();
        let text = serde_json::to_string(&sent).unwrap();
        assert!(
            !text.contains("hunter2") && !text.contains(SIGNING_SECRET),
            "{text}"
        );
        assert_eq!(sent.masked(), sent);
        let has_secrets = sent != stored;
        assert_eq!(has_secrets, stored.kind() != "email");
        sent.unmask(Some(&stored)).unwrap();
        assert_eq!(sent, stored);
        let nothing = stored.masked().unmask(None);
        assert_eq!(
            nothing,
            if has_secrets {
                Err(MaskError::Nothing)
            } else {
                Ok(())
            }
        );
    }
}

#[test]
fn no_secret_follows_a_channel_to_another_host() {
    let hosts = ["hooks", "alerts", "ntfy", "matrix", "social"];
    let mut moved = 0;
    for stored in samples() {
        let mut text = serde_json::to_string(&stored.masked()).unwrap();
        for host in hosts {
            text = text.replace(&format!("https://{host}.example"), "https://evil.example");
        }
        text = text.replace("/usr/local/bin/page", "/bin/sh");
        let mut sent: Channel = serde_json::from_str(&text).unwrap();
        if sent != stored.masked() {
            moved += 1;
            assert_eq!(sent.unmask(Some(&stored)), Err(MaskError::OtherTarget));
        }
    }
    assert_eq!(moved, 13);
}

#[test]
fn what_is_new_stays_and_secrets_of_another_kind_are_none() {
    let stored = channel(json!({ "webhook": {
        "url": "https://a.example/one", "headers": { "X-A": "old", "X-B": "gone" },
    } }));
    let mut sent = channel(json!({ "webhook": {
        "url": "https://a.example/REDACTED", "headers": { "x-a": "REDACTED", "X-C": "new" },
    } }));
    sent.unmask(Some(&stored)).unwrap();
    let expected = channel(json!({ "webhook": {
        "url": "https://a.example/one", "headers": { "x-a": "old", "X-C": "new" },
    } }));
    assert_eq!(sent, expected);
    let mut moved = channel(json!({ "webhook": {
        "url": "https://b.example/two", "headers": { "X-A": "REDACTED" },
    } }));
    assert_eq!(moved.unmask(Some(&stored)), Err(MaskError::OtherTarget));
    let mut slack = channel(json!({ "slack": { "url": "https://a.example/REDACTED" } }));
    assert_eq!(slack.unmask(Some(&stored)), Err(MaskError::Nothing));
}

#[test]
fn debug_output_holds_no_secret() {
    let basic = STANDARD.encode("sonde:hunter2");
    for channel in samples() {
        let message = channel.message(&Notice::sample(NoticeEvent::Opened), sent_at());
        let text = format!("{channel:?} {message:?}");
        for secret in ["hunter2", &SIGNING_SECRET[6..], &basic] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// What one kind of channel says of a notice, at a place in its body.
#[track_caller]
fn said(kind: &str, pointer: &str, notice: &Notice) -> String {
    let channel = samples()
        .into_iter()
        .find(|sample| sample.kind() == kind)
        .unwrap();
    let body: Value = serde_json::from_str(&http(&channel, notice).body).unwrap();
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap()
        .to_owned()
}

#[test]
fn hostile_text_mentions_nobody_and_breaks_out_of_nothing() {
    let hostile = "</b><script> <!channel> @everyone [a](https://evil.example)\r\nBcc: a@b";
    let mut notice = Notice::sample(NoticeEvent::Opened);
    notice.incident.name = hostile.to_owned();
    notice.incident.target = hostile.to_owned();
    notice.incident.tags = vec![hostile.to_owned()];
    notice.incident.failed[0].seen = hostile.to_owned();
    notice.incident.regions[0].message = Some(hostile.to_owned());
    let check = |kind: &str, pointer: &str, absent: &[&str]| {
        let text = said(kind, pointer, &notice);
        assert!(text.contains("evil.example"), "{kind}: {text}");
        for markup in absent.iter().chain(&["\r"]) {
            assert!(!text.contains(markup), "{kind}: {text}");
        }
    };
    let html = ["<script", "<!", ": </b>"];
    check("telegram", "/text", &html);
    check("matrix", "/formatted_body", &html);
    let card = "/cardsV2/0/card/sections/0/widgets/0/textParagraph/text";
    check("google_chat", card, &html);
    check(
        "slack",
        "/attachments/0/blocks/0/text/text",
        &["<script", "<!"],
    );
    check("slack", "/attachments/0/fallback", &["<script", "<!"]);
    let markdown = ["@everyone", " [", " <", ": <"];
    check("discord", "/embeds/0/title", &markdown);
    check("discord", "/embeds/0/description", &markdown);
    check("mattermost", "/attachments/0/text", &markdown);
    check("rocket_chat", "/attachments/0/text", &markdown);
    check("mastodon", "/status", &["@everyone"]);
    let email = channel(json!({ "email": { "to": ["ops@example.com"] } }));
    let Message::Mail(mail) = email.message(&notice, sent_at()) else {
        panic!("e-mail makes mails");
    };
    assert!(!mail.subject.contains(['\r', '\n']));
    for markup in html {
        assert!(!mail.html.contains(markup), "{}", mail.html);
    }
}

#[test]
fn the_longest_text_stays_within_what_vendors_take() {
    let long = "&@*🔥".repeat(5000);
    let mut notice = Notice::sample(NoticeEvent::Reminded);
    notice.incident.cause = IncidentCause::Degraded;
    notice.at = notice.at + Duration::from_hours(123 * 24 + 23);
    notice.incident.name.clone_from(&long);
    notice.incident.target.clone_from(&long);
    notice.incident.tags = vec![long.clone(); 100];
    let failed = notice.incident.failed[0].clone();
    notice.incident.failed = vec![failed; 100];
    for failed in &mut notice.incident.failed {
        failed.expected.clone_from(&long);
    }
    let region = notice.incident.regions[0].clone();
    notice.incident.regions = vec![region; 100];
    for region in &mut notice.incident.regions {
        region.message = Some(long.clone());
        region.outcome = Outcome::Failed;
    }
    let check = |kind: &str, pointer: &str, most: usize| {
        let length = said(kind, pointer, &notice).encode_utf16().count();
        assert!(
            (most / 10..=most).contains(&length),
            "{kind}: {length} of {most}"
        );
    };
    check("slack", "/attachments/0/blocks/0/text/text", 3000);
    check("discord", "/embeds/0/title", 256);
    check("discord", "/embeds/0/description", 4096);
    check("telegram", "/text", 4096);
    check("opsgenie", "/message", 130);
    check("pushover", "/title", 250);
    check("pushover", "/message", 1024);
    check("mastodon", "/status", 500);
    check("ntfy", "/message", 4096 / 3);
}
