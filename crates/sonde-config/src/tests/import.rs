//! `sonde import`: what the files of other tools become, and that the strict reader takes it as it is.

mod blackbox;
mod gatus;
mod openstatus;
mod uptime_kuma;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{load, options, with_inputs};
use crate::import::{Format, Imported, Targets, import};
use crate::{Inputs, Options, Origin, Problems};

const NO_TARGETS: Targets<'static> = Targets {
    file: None,
    module: None,
};

/// Two of blackbox's modules' targets, where nothing else is tried.
const TARGETS: Targets<'static> = Targets {
    file: Some(("targets.yml", "[{targets: [a.example, b.example]}]")),
    module: Some("m"),
};

fn read(format: Format, text: &str, targets: Targets<'_>) -> Result<Imported, Problems> {
    with_inputs("file", text, options(true), |inputs| {
        import(format, inputs, targets)
    })
}

/// What a file becomes, and what is noted. The strict reader finds in it what the importer put there.
#[track_caller]
fn taken_over(format: Format, text: &str, targets: Targets<'_>) -> String {
    let imported = read(format, text, targets).unwrap();
    let yaml = imported.yaml();
    let loaded = load(yaml).map_err(|problems| format!("{yaml}\n{problems}"));
    let config = loaded.unwrap().config;
    assert_eq!(config.monitors, imported.monitors);
    assert_eq!(config.channels.unwrap_or_default(), imported.channels);
    let mut shown = yaml.to_owned();
    for note in &imported.notes {
        _ = writeln!(shown, "# {note}");
    }
    shown
}

/// The notes of a file alone.
#[track_caller]
fn noted(format: Format, text: &str, targets: Targets<'_>) -> String {
    let imported = read(format, text, targets).unwrap();
    load(imported.yaml()).unwrap();
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    notes.join("\n")
}

#[track_caller]
fn refused(format: Format, text: &str, targets: Targets<'_>) -> String {
    read(format, text, targets).expect_err(text).to_string()
}

#[test]
fn what_is_of_another_format_is_refused_and_recognised() {
    let checkup = r#"{"checkers": []}"#;
    insta::assert_snapshot!(refused(Format::Gatus, checkup, NO_TARGETS), @"file:1:1: this is not of the format gatus: a mapping with a list `endpoints` is expected (did you mean `checkup`?)");
    insta::assert_snapshot!(refused(Format::Checkup, "endpoints: []", NO_TARGETS), @"file:1:1: this is not of the format checkup: a mapping with a list `checkers` is expected (did you mean `gatus`?)");
    insta::assert_snapshot!(refused(Format::OpenStatus, "modules: {}", NO_TARGETS), @"file:1:1: this is not of the format openstatus: a mapping of monitors, each with a `kind`, is expected (did you mean `blackbox`?)");
    insta::assert_snapshot!(refused(Format::Blackbox, "a: {kind: http}", TARGETS), @"file:1:1: this is not of the format blackbox: a mapping with a mapping `modules` is expected (did you mean `openstatus`?)");
    insta::assert_snapshot!(refused(Format::UptimeKuma, "monitors: {}", NO_TARGETS), @"file:1:1: this is not of the format uptime-kuma: a mapping with a list `monitorList` is expected");
}

#[test]
fn empty_files_wrong_types_and_bad_syntax_are_refused() {
    for format in Format::ALL {
        for text in [
            "",
            "# nothing",
            "null",
            "5",
            "[]",
            "text",
            "checkers: {}",
            "endpoints: 1",
            "modules: []",
            "monitorList: {}",
        ] {
            let message = refused(format, text, TARGETS);
            assert!(message.contains("this is not of the format"), "{message}");
        }
        let message = refused(format, "a: [1\nb: }", TARGETS);
        assert!(message.starts_with("file:2:"), "{message}");
        assert!(refused(format, &"{a: ".repeat(100), TARGETS).contains("nested"));
    }
}

#[test]
fn files_without_monitors_become_files_without_monitors() {
    for (format, text) in [
        (Format::Checkup, "checkers: []"),
        (Format::Gatus, "endpoints: []"),
        (Format::Blackbox, "modules: {}"),
        (Format::UptimeKuma, "monitorList: []"),
    ] {
        let none = Targets {
            file: Some(("targets.yml", "[]")),
            module: None,
        };
        assert_eq!(taken_over(format, text, none), "monitors: {}\n");
    }
}

#[test]
fn what_checkup_says_is_kept_and_what_it_ignores_is_noted() {
    let text = r#"{
  "checkers": [
    {"type": "http", "endpoint_name": "Shop", "endpoint_url": "https://me:pa$${x}@shop.example/", "attempts": 50,
     "attempt_spacing": 2000000000, "threshold_rtt": 500000000, "headers": {"authorization": ["hunter2"]}, "up": 1},
    {"type": "tcp", "endpoint_name": "Shop", "endpoint_url": "shop.example:25", "timeout": "soon"},
    {"type": "smtp", "endpoint_name": "Mail"},
    {"type": "exec", "name": "Age", "command": "/usr/bin/age", "arguments": ["-x"]}
  ],
  "storage": {"type": "fs"}
}"#;
    insta::assert_snapshot!(taken_over(Format::Checkup, text, NO_TARGETS));
}

#[test]
fn certificates_that_checkup_names_are_written_out() {
    let text = r#"{"checkers": [{"type": "tls", "endpoint_name": "a", "endpoint_url": "a:443", "trusted_roots": ["a.pem"]}]}"#;
    let shown = taken_over(Format::Checkup, text, NO_TARGETS);
    assert!(shown.contains("BEGIN CERTIFICATE"), "{shown}");
}

#[test]
fn merge_keys_are_carried_out_and_keys_that_are_set_twice_are_noted() {
    let text = "
endpoints:
  - &shop { name: shop, url: 'https://shop.example/', interval: 30s, conditions: ['[STATUS] == 200'], name: again }
  - { <<: *shop, name: basket, url: 'https://shop.example/basket' }
  - { <<: [{ interval: 40s }, *shop], name: order }
";
    insta::assert_snapshot!(taken_over(Format::Gatus, text, NO_TARGETS));
}

/// A monitor of each format that has intervals of its own; VALUE is to be filled in.
const TIMED: [(Format, &str); 3] = [
    (
        Format::Gatus,
        "endpoints: [{name: a, url: 'tcp://a:1', interval: VALUE}]",
    ),
    (
        Format::OpenStatus,
        "a: {kind: tcp, active: true, frequency: VALUE, request: {host: a, port: 1}}",
    ),
    (
        Format::UptimeKuma,
        "monitorList: [{type: port, name: a, hostname: a, port: 1, interval: VALUE}]",
    ),
];

#[test]
fn strange_numbers_are_noted_and_never_read_back_as_something_else() {
    for (format, text) in TIMED {
        for value in [
            "18446744073709551616",
            "9223372036854775807",
            "1e300",
            "-5",
            "0",
            "0.001",
            "2s",
            "999999999y",
            "1e999s",
            ".inf",
            "[1]",
            "{a: 1}",
            "''",
            "true",
        ] {
            let text = text.replace("VALUE", value);
            let imported = read(format, &text, NO_TARGETS).expect(&text);
            let monitors = load(imported.yaml()).unwrap().config.monitors;
            assert_eq!(monitors, imported.monitors, "{text}");
            assert!(monitors[0].interval.as_secs() >= 5, "{text}");
        }
    }
}

#[test]
fn names_of_all_kinds_become_different_ids_and_names_that_can_be_shown() {
    let names = [
        "Shop",
        "shop",
        "SHOP!",
        "日本",
        "",
        "a\\u0007b",
        "5",
        &"x".repeat(200),
    ];
    let monitor = |name: &&str| {
        format!(
            r#"{{"type": "port", "name": "{name}", "hostname": "a", "port": 1, "interval": 60}}"#
        )
    };
    let monitors: Vec<_> = names.iter().map(monitor).collect();
    let text = format!(r#"{{"monitorList": [{}]}}"#, monitors.join(", "));
    let imported = read(Format::UptimeKuma, &text, NO_TARGETS).unwrap();
    assert_eq!(
        load(imported.yaml()).unwrap().config.monitors,
        imported.monitors
    );
    let ids: Vec<_> = imported
        .monitors
        .iter()
        .map(|monitor| monitor.id.as_str())
        .collect();
    let long = "x".repeat(63);
    assert_eq!(
        ids,
        [
            "shop", "shop-2", "shop-3", "monitor", "a-1", "a-b", "5", &long
        ]
    );
}

#[test]
fn what_only_the_strict_reader_refuses_is_left_out_with_its_reason() {
    let text = "
endpoints:
  - { name: a, url: 'https://a.example/', method: 'GE T' }
  - { name: b, url: 'https://a.example/', headers: { 'a b': c }, client: { proxy-url: 'https://proxy.example' } }
  - { name: c, url: 'https://a.example/' }
";
    insta::assert_snapshot!(noted(Format::Gatus, text, NO_TARGETS), @r#"
    file:3:5: endpoints[0]: left out: `a`: http.method: "GE T" is not an HTTP method
    file:4:5: endpoints[1]: left out: `b`: http.proxy: a URL begins with http://, not https://
    file:4:54: endpoints[1].headers.a b: "a b" is not a header name
    "#);
}

#[test]
fn intervals_of_the_environment_play_no_part() {
    let options = Options {
        check_interval: Some(std::time::Duration::from_secs(7)),
        ..options(true)
    };
    let text = "endpoints: [{name: a, url: 'tcp://a:1'}]";
    let imported = with_inputs("file", text, options, |inputs| {
        import(Format::Gatus, inputs, NO_TARGETS)
    });
    assert!(imported.unwrap().yaml().contains("interval: 1m"));
}

/// Each importer's sample, for texts that are nearly right.
fn samples() -> [(Format, &'static str, Targets<'static>); 4] {
    [
        (Format::Gatus, gatus::SAMPLE, NO_TARGETS),
        (Format::Blackbox, blackbox::SAMPLE, blackbox::TARGETS),
        (Format::OpenStatus, openstatus::SAMPLE, NO_TARGETS),
        (Format::UptimeKuma, uptime_kuma::SAMPLE, NO_TARGETS),
    ]
}

proptest! {
    #[test]
    fn what_is_made_of_any_text_is_accepted(
        which in 0..4_usize, at in any::<prop::sample::Index>(), length in 0_usize..40,
        with in "[a-z:{}\\[\\],&*!|>'\"#\n $0-9-]{0,6}"
    ) {
        let (format, text, targets) = samples()[which];
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.into_bytes());
        if let Ok(imported) = read(format, &String::from_utf8_lossy(&bytes), targets) {
            prop_assert!(accepted(imported.yaml()), "{}", imported.yaml());
        }
    }
}

/// Whether the strict reader takes it, whatever variables and files there are.
fn accepted(yaml: &str) -> bool {
    let queues = super::queues();
    let parsed = crate::parse(&Inputs {
        name: "sonde.yaml",
        text: yaml,
        origin: Origin::Machine {
            env: &|_| Some("x".to_owned()),
            read_file: &|_| Ok(super::PEM.as_bytes().to_vec()),
        },
        queues: &queues,
        options: options(true),
    });
    parsed.is_ok()
}
