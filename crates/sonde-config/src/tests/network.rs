//! Text of people who do not run this process: monitors as JSON, taken at their word.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use sonde_core::Monitor;

use super::{EXAMPLE, load, options, queues};
use crate::{Inputs, Loaded, Options, Origin, Problems, monitor_to_json, parse};

fn read(text: &str) -> Result<Loaded, Problems> {
    let queues = queues();
    parse(&Inputs {
        name: "request",
        text,
        origin: Origin::Network {
            has_monitor: &|id| id == "gateway",
        },
        queues: &queues,
        options: Options {
            default_region: None,
            ..options(true)
        },
    })
}

/// One monitor named `a`, in one region.
fn one(mut config: Json) -> Result<Monitor, Problems> {
    config["regions"] = json!(["fra"]);
    let text = json!({ "monitors": { "a": config } }).to_string();
    Ok(read(&text)?.config.monitors.remove(0))
}

/// The problem must be at `path` below the monitor, and say `message`.
#[track_caller]
fn refused(config: &Json, path: &str, message: &str) {
    let problems = one(config.clone()).expect_err("it is not accepted");
    let path = format!("monitors.a.{path}");
    let found = problems
        .iter()
        .any(|problem| problem.path == path && problem.message.contains(message));
    assert!(found, "{config}\n{problems}");
}

/// Must be refused within a moment, with a problem that says `message`.
#[track_caller]
fn hostile(text: &str, message: &str) {
    let started = Instant::now();
    let problems = read(text).expect_err("it is not accepted").to_string();
    let shown = problems.chars().take(300).collect::<String>();
    assert!(problems.contains(message), "{shown}");
    assert!(started.elapsed() < Duration::from_secs(10), "{shown}");
}

#[test]
fn every_monitor_comes_back_from_its_json() {
    let monitors = load(EXAMPLE).unwrap().config.monitors;
    let entries = monitors
        .iter()
        .map(|one| (one.id.to_string(), monitor_to_json(one)));
    let document = json!({ "monitors": entries.collect::<serde_json::Map<_, _>>() });
    let again = read(&document.to_string()).unwrap().config.monitors;
    assert_eq!(again, {
        let mut sorted = monitors;
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        sorted
    });
}

#[test]
fn numbers_and_booleans_are_such_in_json() {
    let monitor = one(json!({ "tcp": "a.example:25", "tags": ["$${HOME}"] })).unwrap();
    insta::assert_snapshot!(monitor_to_json(&monitor), @r#"{"alert":{"expiry":[30,14,7,3,1],"fail_after":2,"quorum":"majority","recover_after":2},"degraded":[],"depends_on":[],"expect":[],"interval":"15s","name":"a","paused":false,"regions":["fra"],"retries":3,"retry_backoff":{"factor":2,"initial":"500ms","jitter":0.5,"max":"5s"},"tags":["$${HOME}"],"tcp":{"dialogue":[],"host":"a.example","ip":"prefer_v4","port":25},"timeout":"10s"}"#);
}

#[test]
fn nothing_of_this_process_is_looked_up() {
    let monitor = one(json!({ "icmp": "a", "name": "${HOME} $$ ${1} ${" })).unwrap();
    assert_eq!(monitor.name, "${HOME} $$ ${1} ${");
    let files = "files cannot be read here: write the content itself";
    let http = |more: Json| {
        let mut http = json!({ "url": "https://a.example" });
        http.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "http": http })
    };
    let file = http(json!({ "body": { "file": "/etc/passwd" } }));
    refused(&file, "http.body.file", files);
    let ca = http(json!({ "tls": { "ca": "/etc/ssl/ca.pem" } }));
    refused(&ca, "http.tls.ca", files);
    let own = json!({ "client_certificate": "a.pem", "client_key": "a.key" });
    refused(&http(json!({ "tls": own })), "http.tls.client_key", files);
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    one(http(json!({ "tls": { "ca": pem } }))).unwrap();
    hostile(
        r#"{"checkers": [{"type": "http"}]}"#,
        "unknown key of sonde.yaml",
    );
}

#[test]
fn a_region_is_named_and_other_monitors_are_known() {
    let problems = read(r#"{"monitors": {"a": {"icmp": "a"}}}"#).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.path, "monitors.a.regions");
    assert_eq!(problem.message, "name at least one region");
    let defaults = r#"{"defaults": {"regions": ["fra"]}, "monitors": {"a": {"icmp": "a"}}}"#;
    read(defaults).unwrap();
    one(json!({ "icmp": "a", "depends_on": ["gateway"] })).unwrap();
    refused(
        &json!({ "icmp": "a", "depends_on": ["getaway"] }),
        "depends_on[0]",
        "there is no monitor",
    );
}

#[test]
fn what_would_break_a_line_of_a_protocol_is_refused() {
    let http = |key: &str, value: Json| {
        let mut http = json!({ "url": "https://a.example" });
        http[key] = value;
        json!({ "http": http })
    };
    for bad in ["a\r\nb", "a\nb", "a\rb", "a\0b"] {
        let control = "control characters";
        refused(
            &http("method", json!(bad)),
            "http.method",
            "not an HTTP method",
        );
        refused(
            &http("headers", json!([{ "name": bad, "value": "1" }])),
            "http.headers[0].name",
            "not a header name",
        );
        refused(
            &http("headers", json!([{ "name": "a", "value": bad }])),
            "http.headers[0].value",
            control,
        );
        let auth = json!({ "bearer": bad });
        refused(&http("auth", auth), "http.auth.bearer", control);
        let url = format!("https://{bad}.example/");
        refused(&http("url", json!(url)), "http.url", control);
        refused(
            &http("proxy", json!(format!("http://{bad}:1"))),
            "http.proxy",
            control,
        );
        refused(&json!({ "icmp": bad }), "icmp", "not a host name");
        refused(
            &json!({ "tcp": format!("{bad}:1") }),
            "tcp",
            "not a host name",
        );
        refused(&json!({ "tls": bad }), "tls", "not a host name");
        refused(&json!({ "dns": bad }), "dns", "not a domain name");
        let server = json!({ "dns": { "name": "a", "server": bad } });
        refused(&server, "dns.server", "not a host name");
        refused(&json!({ "icmp": "a", "name": bad }), "name", "plain text");
        refused(
            &json!({ "icmp": "a", "tags": [bad] }),
            "tags[0]",
            "plain text",
        );
    }
}

#[test]
fn durations_are_durations_that_can_be_counted() {
    for bad in [
        "",
        "soon",
        "-5s",
        "5",
        "1e9s",
        "99999999999999999999999999s",
        "1s\0",
    ] {
        refused(&json!({ "icmp": "a", "interval": bad }), "interval", "");
    }
    refused(
        &json!({ "icmp": "a", "interval": "500y" }),
        "interval",
        "365 days",
    );
    refused(
        &json!({ "icmp": "a", "interval": 5 }),
        "interval",
        "with its unit",
    );
    refused(
        &json!({ "icmp": "a", "interval": null }),
        "interval",
        "got nothing",
    );
}

#[test]
fn hostile_text_is_refused_in_a_moment() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        hostile(&deep(10_000), "");
        hostile(&format!(r#"{{"monitors": {}}}"#, deep(10_000)), "");
        hostile(&open.repeat(1_000_000), "");
    }
    hostile(
        r#"{"monitors": {"a": {"icmp": "a", "name": "\ud800"}}}"#,
        "",
    );
    hostile(
        r#"{"monitors": {"a": {"icmp": "a", "name": "\u0000"}}}"#,
        "plain text",
    );
    hostile("{\"monitors\": {\"a\": {\"icmp\": \"a\0\"}}}", "");
    hostile(r#"{"monitors": {"a": {}, "a": {}}}"#, "set twice");
    hostile(
        r#"{"monitors": {"a": {"icmp": "a", "icmp": "b"}}}"#,
        "set twice",
    );
    let digits = "9".repeat(100_000);
    let number =
        format!(r#"{{"monitors": {{"a": {{"icmp": {{"host": "a", "packets": {digits}}}}}}}}}"#);
    hostile(&number, "a whole number from 1 to 100");
    hostile(
        r#"{"monitors": {"a": {"icmp": {"host": "a", "packets": 1e999}}}}"#,
        "",
    );
    for text in [
        "",
        "null",
        "[]",
        "\"\"",
        "{",
        "{\"monitors\": []}",
        "{\"monitors\": null}",
    ] {
        hostile(text, "");
    }
}

#[test]
fn many_mistakes_take_no_longer_than_there_are() {
    let monitors = (0..5_000).map(|n| {
        let config = json!({ "icmp": "a", "regions": ["fra"], "depends_on": [format!("no-{n}")] });
        (format!("monitor-{n}"), config)
    });
    let document = json!({ "monitors": monitors.collect::<serde_json::Map<_, _>>() });
    hostile(&document.to_string(), "there is no monitor");
    let key = "k".repeat(900_000);
    hostile(&format!(r#"{{"monitors": {{"a": {{"{key}": 1}}}}}}"#), "");
}
