//! The schema and the decoder agree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{EXAMPLE, load, options, with_inputs};
use crate::decode::Context;
use crate::node::{Literal, Node, Value};
use crate::schema;

/// What an editor sees: the YAML as JSON, before variables are replaced.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), to_json(&entry.value)))
                .collect(),
        ),
        Value::Scalar(scalar) => match scalar.literal() {
            Literal::Null => Json::Null,
            Literal::Bool(value) => value.into(),
            Literal::Integer(number) => number.into(),
            Literal::Float(number) => number.into(),
            Literal::Text => scalar.text.clone().into(),
        },
    }
}

fn schema_accepts(text: &str) -> Result<(), String> {
    let validator = jsonschema::draft202012::new(&schema()).expect("the schema is valid");
    let document = to_json(&crate::node::parse(text).expect("valid YAML"));
    validator
        .validate(&document)
        .map_err(|error| error.to_string())
}

#[test]
fn the_decoder_asks_for_the_keys_that_the_schema_has() {
    let asked = with_inputs("sonde.yaml", EXAMPLE, options(true), |inputs| {
        let context = Context::new(inputs);
        crate::decode(&context);
        context.sections.into_inner()
    });
    let schema = schema();
    let keys = |section: &Json| -> BTreeSet<String> {
        section["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    known.insert("sonde.yaml".to_owned(), keys(&schema));
    for (name, section) in schema["$defs"].as_object().unwrap() {
        if section.get("properties").is_some() {
            known.insert(name.clone(), keys(section));
        }
    }
    let owned = |keys: BTreeSet<&str>| keys.into_iter().map(str::to_owned).collect();
    let asked: BTreeMap<String, BTreeSet<String>> = asked
        .into_iter()
        .map(|(name, keys)| (name.to_owned(), owned(keys)))
        .collect();
    assert_eq!(asked, known);
}

#[test]
fn every_key_of_the_schema_is_explained() {
    let schema = schema();
    for (name, section) in schema["$defs"].as_object().unwrap() {
        if section.get("properties").is_some() {
            assert!(section["description"].is_string(), "{name}");
        }
    }
}

#[test]
fn the_schema_accepts_the_example() {
    schema_accepts(EXAMPLE).unwrap();
}

#[test]
fn schema_and_decoder_accept_and_refuse_the_same() {
    let good = [
        "monitors: {}",
        "monitors: {a: {http: 'http://a', retries: '${RETRIES}', paused: '${PAUSED}'}}",
        "monitors: {a: {http: {url: 'http://a', headers: {a: [1, b]}, http_version: 1.1}}}",
        "monitors: {a: {tcp: {address: 'a:1', tls: true, dialogue: [{send: ''}]}}}",
        "monitors: {a: {domain: a.example}, b: {domain: {name: a.b, server: 'https://c', proxy: 'http://d'}}}",
        "monitors: {a: {exec: {command: [a, 1]}, alert: {quorum: 1}}}",
        "monitors: {a: {tls: {host: a}, regions: [a, b], alert: {quorum: 50%}}}",
        "{monitors: {a: {icmp: a}}, channels: {b: {send: {slack: {url: 'https://a'}}, repeat: 5m}}}",
        "{monitors: {}, maintenance: {b: {monitors: all, schedule: {once: {from: 2026-01-01T00:00:00Z, to: 2026-01-02T00:00:00Z}}}}}",
    ];
    for text in good {
        assert_eq!(schema_accepts(text), Ok(()), "{text}");
        assert!(load(text).is_ok(), "{text}");
    }
    let bad = [
        "{}",
        "[]",
        "monitors: []",
        "monitors: {A: {icmp: a}}",
        "monitors: {a: {}}",
        "monitors: {a: {icmp: a, tcp: 'a:1'}}",
        "monitors: {a: {icmp: a, intervall: 1m}}",
        "monitors: {a: {icmp: a, interval: 30}}",
        "monitors: {a: {icmp: a, retries: 21}}",
        "monitors: {a: {icmp: a, retries: '3'}}",
        "monitors: {a: {icmp: a, name: 3}}",
        "monitors: {a: {icmp: a, paused: 'true'}}",
        "monitors: {a: {icmp: a, regions: []}}",
        "monitors: {a: {icmp: a, alert: {quorum: most}}}",
        "monitors: {a: {icmp: {host: a, packets: 101}}}",
        "monitors: {a: {icmp: a, expect: [{source: latenzy, comparator: <, value: 1s}]}}",
        "monitors: {a: {http: {url: 'http://a', body: {text: a, file: b}}}}",
        "monitors: {a: {http: {url: 'http://a', auth: {}}}}",
        "monitors: {a: {http: {url: 'http://a', http_version: 3}}}",
        "monitors: {a: {tcp: {host: a}}}",
        "monitors: {a: {tcp: {address: 'a:1', dialogue: [{}]}}}",
        "monitors: {a: {dns: {name: a, transport: quic}}}",
        "monitors: {a: {domain: {server: 'https://a'}}}",
        "monitors: {a: {exec: {command: []}}}",
        "{monitors: {}, channels: [a]}",
        "{monitors: {}, channels: {b: {}}}",
        "{monitors: {}, channels: {b: {send: {}}}}",
        "{monitors: {}, channels: {b: {send: {slack: {url: 'https://a'}, ntfy: {topic: a}}}}}",
        "{monitors: {}, channels: {b: {send: {slack: {url: 3}}}}}",
        "{monitors: {}, channels: {b: {send: {opsgenie: {api_key: a, region: mars}}}}}",
        "{monitors: {}, maintenance: {b: {monitors: some, schedule: {once: {from: a, to: b}}}}}",
    ];
    for text in bad {
        assert!(schema_accepts(text).is_err(), "{text}");
        assert!(load(text).is_err(), "{text}");
    }
}
