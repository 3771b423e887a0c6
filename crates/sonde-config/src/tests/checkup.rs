//! `checkup.json`: all five types, and what is said of the rest.

use sonde_core::{Assertion, Monitor, format_duration};

use super::{load, options, refused, with_inputs};
use crate::{Options, parse, render};

const SAMPLE: &str = r#"{
  "checkers": [
    {"type": "http", "endpoint_name": "Example (HTTP)", "endpoint_url": "http://www.example.com/$$a",
     "attempts": 5, "attempt_spacing": 2000000000, "threshold_rtt": 500000000,
     "must_contain": "a \"b\"", "must_not_contain": "c", "headers": {"X-A": ["1", "2"]}},
    {"type": "http", "endpoint_name": "Example (HTTP)", "endpoint_url": "http://www.example.com", "up_status": 418},
    {"type": "tcp", "endpoint_name": "Example TCP", "endpoint_url": "example.com:80", "timeout": 2000000000,
     "tls": true, "tls_skip_verify": true, "tls_ca_file": "ca.pem"},
    {"type": "dns", "endpoint_name": "Example DNS", "endpoint_url": "ns.example.com:53",
     "hostname_fqdn": "host.example.com"},
    {"type": "dns", "endpoint_name": "Name server", "endpoint_url": "ns.example.com:53"},
    {"type": "tls", "endpoint_name": "Example TLS", "endpoint_url": "www.example.com:443",
     "cert_expiry_threshold": 604800000000000, "trusted_roots": ["a.pem", "b.pem"]},
    {"type": "exec", "name": "Example exec", "command": "true", "arguments": ["-x"], "raise": "warning",
     "must_contain": "ok"}
  ],
  "storage": {"type": "fs", "dir": "/x"},
  "notifier": {"name": "pushover", "token": "t", "recipient": "u", "subject": "Down"},
  "notifiers": [
    {"type": "slack", "webhook": "https://hooks.slack.example/x", "channel": "ops"},
    {"type": "slack", "webhook": "nowhere"}, {"type": "slack"}, {"type": "gotify"},
    {"type": "mail", "from": "a@example.com", "to": ["b@example.com"], "smtp": {"server": "smtp.example.com"}}
  ],
  "every": "1m"
}"#;

fn line(monitor: &Monitor) -> String {
    let list = |list: &[Assertion]| {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    format!(
        "{} ({}): {} {} every {} within {}, {} retries every {} | {} | {}",
        monitor.id,
        monitor.name,
        monitor.spec.kind(),
        monitor.target(),
        format_duration(monitor.interval),
        format_duration(monitor.timeout),
        monitor.retry.retries,
        format_duration(monitor.retry.initial),
        list(&monitor.expect),
        list(&monitor.degraded)
    )
}

#[test]
fn all_five_types_keep_their_meaning() {
    let loaded = load(SAMPLE).unwrap();
    let lines: Vec<_> = loaded.config.monitors.iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    example-http (Example (HTTP)): http http://www.example.com/$$a every 1m within 10s, 4 retries every 2s | status in 200..204; body contains "a \"b\""; body not contains "c" | latency > 500ms
    example-http-2 (Example (HTTP)): http http://www.example.com/ every 1m within 10s, 0 retries every 0s | status == 418 | 
    example-tcp (Example TCP): tcp example.com:80 every 1m within 2s, 0 retries every 0s |  | 
    example-dns (Example DNS): dns host.example.com A @ns.example.com:53 every 1m within 1s, 0 retries every 0s | dns.rcode is not empty; dns.count >= 0 | 
    name-server (Name server): tcp ns.example.com:53 every 1m within 1s, 0 retries every 0s |  | 
    example-tls (Example TLS): tls www.example.com:443 every 1m within 10s, 0 retries every 0s |  | tls.days_left < 7
    example-exec (Example exec): exec true every 1m within 10s, 0 retries every 0s |  | exec.output not contains "ok"
    "#);
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r#"
    sonde.yaml:8:44: checkers[2].tls_ca_file: trusted instead of the system's certificates, where Checkup trusted both
    sonde.yaml:17:3: storage: not taken over from Checkup
    sonde.yaml:18:68: notifier.subject: has no equivalent here
    sonde.yaml:20:67: notifiers[0].channel: has no equivalent here
    sonde.yaml:21:5: notifiers[1]: left out: `slack-2`: send.slack.url: must be a URL such as https://host.example/path
    sonde.yaml:21:46: notifiers[2]: no channel can be made of it: missing field `url`
    sonde.yaml:21:65: notifiers[3]: a notifier of type `gotify` has no equivalent here
    sonde.yaml:22:5: notifiers[4]: mail goes through the server that Sonde's settings name
    "#);
    let sonde_core::Spec::Http(spec) = &loaded.config.monitors[0].spec else {
        panic!("http")
    };
    assert_eq!(
        (spec.max_redirects, spec.compression, spec.headers.len()),
        (0, false, 2)
    );
    let channels = loaded.config.channels.as_ref().unwrap().iter();
    let channels: Vec<_> = channels
        .map(|(id, it)| format!("{id}: {}", it.send.kind()))
        .collect();
    assert_eq!(
        channels,
        ["pushover: pushover", "slack: slack", "mail: email"]
    );
    load(&render(&loaded.config)).unwrap();
}

#[test]
fn what_checkup_would_ignore_is_said() {
    let text = r#"{
  "checkers": [
    {"type": "http", "endpoint_nam": "a", "endpoint_url": "http://a", "attempts": "3", "threshold_rtt": 1.5},
    {"type": "icmp", "endpoint_name": "b"},
    {"endpoint_url": "a:80"},
    {"type": "exec", "name": "c", "raise": "warnin"}
  ],
  "notifyer": {}
}"#;
    insta::assert_snapshot!(refused(text), @r#"
    sonde.yaml:3:22: checkers[0].endpoint_nam: unknown key of an http checker (did you mean `endpoint_name`?)
    sonde.yaml:3:71: checkers[0].attempts: expected a whole number from 0 to 100, got "3"
    sonde.yaml:3:88: checkers[0].threshold_rtt: expected a whole number from 0 to 9223372036854775807, got the number 1.5
    sonde.yaml:4:6: checkers[1].type: expected one of http, tcp, dns, tls, exec, got "icmp"
    sonde.yaml:5:5: checkers[2]: `type` is missing
    sonde.yaml:6:5: checkers[3]: `command` is missing
    sonde.yaml:6:35: checkers[3].raise: expected one of error, warn, warning, got "warnin" (did you mean `warning`?)
    sonde.yaml:8:3: notifyer: unknown key of checkup.json (did you mean `notifier`?)
    "#);
}

#[test]
fn programs_need_leave_and_short_intervals_bound_timeouts() {
    let text = r#"{"checkers": [{"type": "exec", "name": "c", "command": "c"}]}"#;
    assert!(with_inputs("checkup.json", text, options(false), parse).is_err());
    let options = Options {
        check_interval: Some(std::time::Duration::from_secs(5)),
        ..options(true)
    };
    let loaded = with_inputs("checkup.json", text, options, parse).unwrap();
    assert_eq!(loaded.config.monitors[0].timeout.as_secs(), 5);
}

#[test]
fn ranges_of_status_are_open_where_they_say_nothing() {
    let status = |range: &str| {
        let checker = format!(
            r#"{{"type": "http", "endpoint_name": "a", "endpoint_url": "http://a", {range}}}"#
        );
        let loaded = load(&format!(r#"{{"checkers": [{checker}]}}"#)).unwrap();
        loaded.config.monitors[0].expect[0].to_string()
    };
    assert_eq!(
        status(r#""up_status_range": {"min": 200, "max": 399}"#),
        "status in 200..399"
    );
    assert_eq!(
        status(r#""up_status_range": {"min": 400}"#),
        "status in 400..999"
    );
    assert_eq!(status(r#""up_status_range": {}"#), "status in 200..204");
}
