//! Channels and maintenance: what is wrong with them has its place, and the shapes are those of the types.

use serde_json::{Value, json};
use sonde_notify::{Channel, ChannelConfig};

use super::{EXAMPLE, load, options, refused, with_inputs};
use crate::{Config, Inputs, Origin, parse};

const MONITOR: &str = "monitors: {shop: {icmp: a}}\n";

fn config(text: &str) -> Config {
    let text = format!("{MONITOR}{text}");
    load(&text)
        .map_err(|found| found.to_string())
        .unwrap()
        .config
}

#[test]
fn all_that_is_wrong_is_told_at_its_place() {
    let text = format!(
        "{MONITOR}channels:
  Ops!:
    send: {{ slack: {{ url: nowhere }} }}
    repeat: 5s
  two:
    send: {{ slack: {{ url: 'https://a.example' }}, ntfy: {{ topic: a }} }}
  none: {{ tags: [a] }}
  typo:
    send: {{ pagerduty: {{ routing_kye: a, region: ue }} }}
    causes: [dwon]
  kind:
    send: {{ slak: {{ url: 'https://a.example' }} }}
  chat:
    send: {{ telegram: {{ token: '1:a', chat_id: -100 }} }}
  hook:
    send: {{ webhook: {{ url: 'https://a.example', headers: {{ host: a }}, body: '{{{{nothing}}}}' }} }}
maintenance:
  a:
    monitors: {{ ids: [shpo] }}
    schedule: {{ recurring: {{ rrule: FREQ=SOMETIMES, timezone: Berlin, starts_at: never, duration: 1s }} }}
  b: {{ monitors: none, schedule: {{ once: {{ from: 2026-01-01T00:00:00Z, to: 2026-01-01T00:00:00Z }} }} }}
  c: {{ monitors: {{ ids: [shpo] }}, schedule: {{ once: {{ from: now, to: 2026-01-01T00:00:00Z }} }} }}
  d: {{ monitors: {{ ids: [shpo] }}, schedule: {{ once: {{ from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z }} }} }}
"
    );
    insta::assert_snapshot!(refused(&text));
}

#[test]
fn what_is_left_out_is_not_the_same_as_none() {
    let without = config("");
    assert_eq!((without.channels, without.maintenance), (None, None));
    let empty = config("channels: {}\nmaintenance: {}\n");
    assert_eq!(empty.channels, Some(Vec::new()));
    assert_eq!(empty.maintenance, Some(Vec::new()));
}

#[test]
fn secrets_come_out_of_the_environment_and_masks_are_the_servers() {
    let text = "channels:
  ops: { send: { ntfy: { topic: ops, token: '${RETRIES}' } } }
  hook: { send: { webhook: { url: 'https://a.example/REDACTED', secret: REDACTED } } }
";
    let channels = config(text).channels.unwrap();
    let ops = serde_json::to_value(&channels[0].1).unwrap();
    assert_eq!(ops["send"]["ntfy"]["token"], "2");
    let unset = refused(&format!(
        "{MONITOR}channels: {{a: {{send: {{slack: {{url: '${{UNSET}}'}}}}}}}}"
    ));
    assert!(
        unset.contains("channels.a.send.slack.url") && unset.contains("UNSET"),
        "{unset}"
    );
}

#[test]
fn a_channel_for_another_files_monitor_and_a_command_are_warned_of() {
    let text = format!(
        "{MONITOR}channels: {{a: {{monitors: [other], send: {{exec: {{command: /bin/true}}}}}}}}"
    );
    let loaded = with_inputs("sonde.yaml", &text, options(false), parse).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(warnings, ["channels.a.monitors[0]", "channels.a.send.exec"]);
}

#[test]
fn at_the_api_monitors_that_are_there_may_be_maintained() {
    let schedule =
        json!({ "once": { "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" } });
    let one = json!({ "monitors": { "ids": ["other"] }, "schedule": schedule });
    let text = json!({ "monitors": {}, "maintenance": { "a": one } }).to_string();
    let read = |has_monitor: &dyn Fn(&str) -> bool| {
        parse(&Inputs {
            name: "",
            text: &text,
            origin: Origin::Network { has_monitor },
            queues: &super::queues(),
            options: options(false),
        })
    };
    assert!(read(&|id| id == "other").is_ok());
    let refused = read(&|_| false).unwrap_err().to_string();
    assert!(
        refused.contains("maintenance.a.monitors.ids[0]: there is no monitor `other`"),
        "{refused}"
    );
}

/// What the types read and write is what the shapes know, in both directions.
#[test]
fn the_shapes_are_those_of_the_types() {
    let channels = config_of_example().channels.unwrap();
    let mut kinds: Vec<&str> = channels.iter().map(|(_, it)| it.send.kind()).collect();
    kinds.sort_unstable();
    let mut all = Channel::KINDS.to_vec();
    all.sort_unstable();
    assert_eq!(kinds, all, "the example shows every kind");
    let schema = crate::schema();
    for (id, channel) in &channels {
        let json = serde_json::to_value(channel).unwrap();
        let kind = channel.send.kind();
        let name = format!("{kind}_channel");
        let known = schema["$defs"][&name]["properties"].as_object().unwrap();
        let written = json["send"][kind].as_object().unwrap();
        // The example says everything, so what is written is all that there is.
        let known: Vec<&String> = known.keys().collect();
        let mut written: Vec<&String> = written.keys().collect();
        written.sort_unstable();
        assert_eq!(written, known, "{id}");
        for key in known {
            let mut without = json.clone();
            without["send"][kind].as_object_mut().unwrap().remove(key);
            let required = schema["$defs"][&name]["required"].as_array().unwrap();
            let is_required = required.contains(&Value::from(key.as_str()));
            let read = serde_json::from_value::<ChannelConfig>(without);
            assert_eq!(read.is_err(), is_required, "{kind}.{key}");
        }
    }
}

fn config_of_example() -> Config {
    load(EXAMPLE).unwrap().config
}
