//! The whole way from text to configuration and back.

mod alerting;
mod checkup;
mod errors;
mod import;
mod kinds;
mod network;
mod schema;

use std::path::Path;

use sonde_core::{Monitor, QueueSettings, Region};

use crate::{
    DEFAULT_QUEUES, Inputs, Loaded, Options, Origin, Problems, parse, parse_queues, render,
};

const EXAMPLE: &str = include_str!("../examples/sonde.yaml");

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n\
    -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

fn queues() -> QueueSettings {
    parse_queues("queues.toml", DEFAULT_QUEUES).expect("the embedded file is valid")
}

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("shop.example".to_owned()),
        "RETRIES" => Some("2".to_owned()),
        "PAUSED" => Some("true".to_owned()),
        "STRUCTURE" => Some("x\npaused: true".to_owned()),
        _ => None,
    }
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("pem" | "key") => Ok(PEM.as_bytes().to_vec()),
        Some("bin") => Ok(vec![0, 255]),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

fn options(allow_exec: bool) -> Options {
    Options {
        check_interval: None,
        allow_exec,
        default_region: Some(Region::local()),
    }
}

/// Gives `use_inputs` everything that reading `text` may look up.
fn with_inputs<T>(
    name: &str,
    text: &str,
    options: Options,
    use_inputs: impl FnOnce(&Inputs<'_>) -> T,
) -> T {
    let queues = queues();
    use_inputs(&Inputs {
        name,
        text,
        origin: Origin::Machine {
            env: &env,
            read_file: &read_file,
        },
        queues: &queues,
        options,
    })
}

fn load(text: &str) -> Result<Loaded, Problems> {
    with_inputs("sonde.yaml", text, options(true), parse)
}

/// The monitors of a text that must be accepted.
#[track_caller]
fn monitors(text: &str) -> Vec<Monitor> {
    match load(text) {
        Ok(loaded) => loaded.config.monitors,
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

/// What is wrong with a text.
#[track_caller]
fn refused(text: &str) -> String {
    load(text)
        .map(|loaded| loaded.config)
        .expect_err(text)
        .to_string()
}

#[test]
fn the_example_is_accepted_without_warnings() {
    let loaded = load(EXAMPLE).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.monitors.len(), 16);
    assert_eq!(loaded.config.channels.unwrap().len(), 19);
    assert_eq!(loaded.config.maintenance.unwrap().len(), 2);
}

#[test]
fn what_is_written_out_is_read_as_the_same() {
    let config = load(EXAMPLE).unwrap().config;
    let text = render(&config);
    let again = load(&text)
        .map_err(|problems| format!("{text}\n{problems}"))
        .unwrap()
        .config;
    assert_eq!(render(&again), text);
    assert_eq!(again.maintenance, config.maintenance);
    let channels = config.channels.unwrap().into_iter();
    let masked = channels.map(|(id, channel)| (id, channel.masked()));
    assert_eq!(again.channels.unwrap(), masked.collect::<Vec<_>>());
    let masked = config.monitors.into_iter().map(|monitor| Monitor {
        spec: monitor.spec.masked(),
        ..monitor
    });
    assert_eq!(again.monitors, masked.collect::<Vec<_>>());
}

#[test]
fn what_is_written_out_holds_no_secret() {
    let text = "
monitors:
  a:
    http:
      url: https://me:hunter2@shop.example/?api_key=hunter2&page=1
      headers: { Authorization: hunter2, x-api-key: hunter2, cookie: [hunter2], accept: text/html }
      proxy: http://me:hunter2@proxy.example:3128
      tls: { client_certificate: a.pem, client_key: a.key }
  b: { http: { url: 'https://shop.example/', auth: { bearer: hunter2 } } }
  c: { exec: { command: c, environment: { DB_PASSWORD: hunter2, LANG: C } } }
";
    let shown = render(&load(text).unwrap().config);
    assert!(
        !shown.contains("hunter2") && !shown.contains("MIIE"),
        "{shown}"
    );
    let request = shown.split("    interval:").next().unwrap_or_default();
    insta::assert_snapshot!(request, @r#"
    monitors:
      a:
        name: a
        http:
          url: 'https://shop.example/?api_key=REDACTED&page=1'
          method: GET
          headers:
            - name: Authorization
              value: REDACTED
            - name: x-api-key
              value: REDACTED
            - name: cookie
              value: REDACTED
            - name: accept
              value: text/html
          auth:
            basic:
              username: me
              password: REDACTED
          tls:
            skip_verify: false
            client_certificate: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
            client_key: "-----BEGIN PRIVATE KEY-----\nREDACTED\n-----END PRIVATE KEY-----\n"
          proxy: 'http://me:REDACTED@proxy.example:3128/'
          http_version: auto
          max_redirects: 10
          compression: true
          ip: prefer_v4
    "#);
    load(&shown).unwrap();
}

#[test]
fn an_interval_comes_from_the_nearest_that_names_one() {
    let seconds = |text: &str, check_interval: Option<u64>| {
        let options = Options {
            check_interval: check_interval.map(std::time::Duration::from_secs),
            ..options(true)
        };
        let loaded = with_inputs("sonde.yaml", text, options, parse).unwrap();
        let monitor = &loaded.config.monitors[0];
        (monitor.interval.as_secs(), monitor.timeout.as_secs())
    };
    let own = "{defaults: {interval: 2m}, monitors: {a: {tcp: 'a:1', interval: 30s}}}";
    let default = "{defaults: {interval: 2m}, monitors: {a: {tcp: 'a:1'}}}";
    let bare = "{monitors: {a: {tcp: 'a:1'}}}";
    assert_eq!(seconds(own, Some(20)), (30, 10));
    assert_eq!(seconds(default, Some(20)), (120, 10));
    assert_eq!(seconds(bare, Some(20)), (20, 10));
    assert_eq!(seconds(bare, Some(5)), (5, 5));
    assert_eq!(seconds(bare, None), (15, 10));
}

#[test]
fn a_monitor_completes_its_settings_from_the_defaults_key_by_key() {
    let monitors = monitors(
        "
defaults:
  regions: [fra, iad, sin]
  retry_backoff: { initial: 1s, max: 10s }
  alert: { fail_after: 5, quorum: 2 }
  tags: [prod]
  ip: v6
monitors:
  a: { tcp: 'a:1', retry_backoff: { initial: 2s }, alert: { quorum: 50% } }
  b: { tcp: { address: 'b:1', ip: v4 }, regions: [fra, iad], tags: [], retries: 0 }
",
    );
    let [a, b] = &monitors[..] else {
        panic!("two monitors")
    };
    assert_eq!(
        (
            a.retry.initial.as_secs(),
            a.retry.max.as_secs(),
            a.retry.retries
        ),
        (2, 10, 3)
    );
    assert_eq!(
        (
            a.alert.fail_after,
            a.alert.recover_after,
            a.alert.quorum.to_string()
        ),
        (5, 2, "50%".to_owned())
    );
    assert_eq!((a.regions.len(), a.tags.len()), (3, 1));
    assert_eq!((b.regions.len(), b.tags.len(), b.retry.retries), (2, 0, 0));
    assert_eq!(b.alert.quorum.to_string(), "2");
}

#[test]
fn variables_become_values_and_never_structure() {
    let monitors = monitors(
        r#"
monitors:
  a:
    http: { url: "https://${HOST}/${PATH_:-health}", body: "${STRUCTURE}" }
    retries: ${RETRIES}
    paused: "${PAUSED}"
    interval: ${INTERVAL:-30s}
    tags: ["$${HOST}"]
"#,
    );
    let monitor = &monitors[0];
    assert_eq!(monitor.target(), "https://shop.example/health");
    assert_eq!(
        (
            monitor.retry.retries,
            monitor.paused,
            monitor.interval.as_secs()
        ),
        (2, true, 30)
    );
    assert_eq!(monitor.tags, ["${HOST}"]);
    let sonde_core::Spec::Http(spec) = &monitor.spec else {
        panic!("http")
    };
    assert_eq!(spec.body.as_deref(), Some(&b"x\npaused: true"[..]));
}

#[test]
fn a_name_is_plain_text() {
    let text = "monitors:\n  a: { http: https://a.example, name: \"x\\u202ey\" }\n";
    assert!(refused(text).contains("must be plain text"));
}

#[test]
fn json_is_read_by_the_same_rules() {
    let json = r#"{
	"monitors": {
		"a": {"http": {"url": "https:\/\/a.example\/", "body": {"json": {"a": [1, 2.5, "3", true, null]}}},
		      "expect": [{"source": "latency", "comparator": "<", "value": "2s"},
		                 {"source": "json", "argument": "$.n", "comparator": "==", "value": "5"},
		                 {"source": "json", "argument": "$.n", "comparator": "==", "value": 5},
		                 {"source": "body", "comparator": "is not empty"}]}
	}
}"#;
    let monitors = monitors(json);
    let expect: Vec<_> = monitors[0].expect.iter().map(ToString::to_string).collect();
    assert_eq!(
        expect,
        [
            "latency < 2s",
            r#"json $.n == "5""#,
            "json $.n == 5",
            "body is not empty"
        ]
    );
    let sonde_core::Spec::Http(spec) = &monitors[0].spec else {
        panic!("http")
    };
    assert_eq!(
        spec.body.as_deref(),
        Some(&br#"{"a":[1,2.5,"3",true,null]}"#[..])
    );
    assert_eq!(
        spec.headers,
        [("content-type".to_owned(), "application/json".to_owned())]
    );
}
#[test]
fn characters_that_json_escapes_in_halves_are_whole() {
    let json = r#"{"monitors": {"a": {"icmp": "a", "name": "\ud83d\ude00 \u00fc \\ud83d"}}}"#;
    assert_eq!(monitors(json)[0].name, "😀 ü \\ud83d");
}
