//! What is said of files that are wrong, and that nothing makes the parser fall over.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{EXAMPLE, load, options, refused, with_inputs};
use crate::parse;

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_place() {
    let text = r#"
default: { interval: 1m }
status_pages: {}
defaults:
  interval: 1s
  timeout: 20
  regions: []
  alert: { quorum: most, fail_after: 0 }
monitors:
  Shop:
    http: https://shop.example/
  shop:
    http: https://shop.example/${NOPE}
    intervall: 30s
    interval: 30s
    interval: 1m
    retries: "3"
    expect:
      - statsu == 200
      - dns.count > 1
      - latency < 2
      - body contains a: b
      - { source: status, comparator: "=", value: 200 }
    degraded: latency < 1s
  two:
    http: https://a.example/
    tcp: a.example:80
    name: 5
  none: { depends_on: [shpo, none] }
  a: { icmp: 192.0.2.1, depends_on: [b] }
  b: { icmp: 192.0.2.1, depends_on: [a], timeout: 1m, interval: 10s, paused: yes }
  later: { grpc: a.example:443 }
  list: [1]
  unset: { icmp: '${NOPE}', retries: '${NOPE}' }
"#;
    insta::assert_snapshot!(refused(text), @r#"
    sonde.yaml:2:1: default: unknown key of sonde.yaml (did you mean `defaults`?)
    sonde.yaml:3:1: status_pages: not supported yet
    sonde.yaml:5:3: defaults.interval: must be 5s or more, got "1s"
    sonde.yaml:6:3: defaults.timeout: expected a duration with its unit, such as 500ms, 30s or 1h, got the number 20
    sonde.yaml:7:3: defaults.regions: at least one region is needed
    sonde.yaml:8:12: defaults.alert.quorum: `most` is not a quorum: use any, majority, all, a number such as 2, or 1% to 100%
    sonde.yaml:8:26: defaults.alert.fail_after: expected a whole number from 1 to 1000, got the number 0
    sonde.yaml:10:3: monitors.Shop: `Shop` is not a valid monitor id: use 1 to 63 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit (did you mean `shop`?)
    sonde.yaml:13:5: monitors.shop.http: the environment variable `NOPE` is not set; set it or give a default: `${NOPE:-…}`
    sonde.yaml:14:5: monitors.shop.intervall: unknown key of monitor (did you mean `interval`?)
    sonde.yaml:16:5: monitors.shop.interval: set twice, first on line 15
    sonde.yaml:17:5: monitors.shop.retries: expected a whole number from 0 to 20, got "3"
    sonde.yaml:19:9: monitors.shop.expect[0]: `statsu` is nothing that can be asserted on (did you mean `status`?)
    sonde.yaml:20:9: monitors.shop.expect[1]: a check of kind http has no `dns.count`
    sonde.yaml:21:9: monitors.shop.expect[2]: expected a duration such as 400ms or 2s, got `2`
    sonde.yaml:22:9: monitors.shop.expect[3]: an assertion that contains `: ` must stand in quotes
    sonde.yaml:23:27: monitors.shop.expect[4].comparator: expected one of ==, !=, >=, <=, >, <, in, not in, not contains, not matches, contains, matches, is not empty, is empty, got "=" (did you mean `==`?)
    sonde.yaml:24:5: monitors.shop.degraded: expected a list, got "latency < 1s"
    sonde.yaml:27:5: monitors.two.tcp: `tcp` cannot stand beside `http`
    sonde.yaml:28:5: monitors.two.name: expected text, got the number 5; put it in quotes if it is meant as text
    sonde.yaml:29:3: monitors.none: what to check is missing: one of http, tcp, dns, icmp, tls, domain, exec, heartbeat
    sonde.yaml:29:24: monitors.none.depends_on[0]: there is no monitor `shpo` (did you mean `shop`?)
    sonde.yaml:29:30: monitors.none.depends_on[1]: depends on itself: none → none
    sonde.yaml:31:38: monitors.b.depends_on[0]: depends on itself: a → b → a
    sonde.yaml:31:42: monitors.b.timeout: the timeout (1m) must not be longer than the interval (10s)
    sonde.yaml:31:70: monitors.b.paused: expected true or false, got "yes"
    sonde.yaml:32:12: monitors.later.grpc: not supported yet
    sonde.yaml:33:3: monitors.list: expected a mapping, got a list
    sonde.yaml:34:12: monitors.unset.icmp: the environment variable `NOPE` is not set; set it or give a default: `${NOPE:-…}`
    sonde.yaml:34:29: monitors.unset.retries: the environment variable `NOPE` is not set; set it or give a default: `${NOPE:-…}`
    "#);
}

#[test]
fn syntax_errors_have_a_place_too() {
    insta::assert_snapshot!(refused("monitors:\n  a: [1\n  b: }"), @"sonde.yaml:3:4: not valid YAML: illegal placement of ':' indicator");
    insta::assert_snapshot!(refused(""), @"sonde.yaml:1:1: expected a mapping, got nothing");
    insta::assert_snapshot!(refused("monitors: {}\n---\nmonitors: {}\n"), @"sonde.yaml:2:1: only one YAML document is read; remove the `---` before this one");
    insta::assert_snapshot!(refused("monitors: !!map {}"), @"sonde.yaml:1:11: YAML tags (`!…`) are not supported");
    insta::assert_snapshot!(refused("a: &a [*a]"), @"sonde.yaml:1:8: an alias cannot stand inside what it refers to");
    insta::assert_snapshot!(refused("[a]: b"), @"sonde.yaml:1:1: a key must be text, not a list or a mapping");
}

#[test]
fn programs_are_refused_unless_they_are_allowed() {
    let text = "monitors: {a: {exec: ls}}";
    let error = with_inputs("sonde.yaml", text, options(false), parse).unwrap_err();
    insta::assert_snapshot!(error, @"sonde.yaml:1:16: monitors.a.exec: programs are run only with --allow-exec");
}

#[test]
fn an_empty_list_of_monitors_is_worth_a_warning() {
    let loaded = load("monitors: {}").unwrap();
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn a_long_chain_of_dependencies_is_no_circle() {
    let mut text = String::from("monitors:\n  m0: {icmp: a}\n");
    for n in 1..20_000 {
        _ = writeln!(text, "  m{n}: {{icmp: a, depends_on: [m{}]}}", n - 1);
    }
    assert!(load(&text).is_ok());
    let text = text.replace("m0: {icmp: a}", "m0: {icmp: a, depends_on: [m2]}");
    assert!(
        refused(&text).ends_with("depends on itself: m0 → m2 → m1 → m0"),
        "{}",
        &refused(&text)[..200]
    );
}

#[test]
fn hostile_nesting_and_aliases_end_with_a_problem() {
    assert!(refused(&"[".repeat(100_000)).contains(':'));
    assert!(refused(&"{a: ".repeat(100)).contains("nested more than 64 deep"));
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for n in 1..40 {
        _ = writeln!(bomb, "a{n}: &a{n} [*a{0}, *a{0}]", n - 1);
    }
    assert!(refused(&bomb).contains("too large"));
    let mut deep = String::from("a0: &a0 [x]\n");
    for n in 1..100 {
        _ = writeln!(deep, "a{n}: &a{n} [*a{}]", n - 1);
    }
    assert!(refused(&deep).contains("nested more than 64 deep"));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = load(&text);
    }

    #[test]
    fn no_yaml_like_text_panics(text in "[a-z:{}\\[\\],&*!|>'\"#%@`\n \t$-]{0,80}") {
        let _ = load(&text);
    }

    #[test]
    fn no_mutation_of_the_example_panics(
        at in 0..EXAMPLE.len(), length in 0_usize..40, with in "[a-z:{}\\[\\],&*!|>'\"#\n $0-9-]{0,6}"
    ) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.into_bytes());
        let _ = load(&String::from_utf8_lossy(&bytes));
    }
}
