//! Uptime Kuma's backup.

use super::{NO_TARGETS, noted, read, taken_over};
use crate::import::Format;

pub(super) const SAMPLE: &str = r##"{
  "version": "1.23.16",
  "notificationList": [
    {"id": 1, "name": "Ops mail", "active": true, "config": "{\"type\": \"smtp\", \"smtpHost\": \"mail.example\", \"smtpTo\": \"ops@shop.example, boss@shop.example\"}"},
    {"id": 2, "name": "Chat", "active": true, "config": "{\"type\": \"slack\", \"slackwebhookURL\": \"https://hooks.slack.example/x\"}"},
    {"id": 3, "name": "Odd", "active": true, "config": "{\"type\": \"pushy\"}"}],
  "proxyList": [
    {"id": 7, "protocol": "http", "host": "proxy.internal", "port": 3128, "auth": true, "username": "me", "password": "p@ss"},
    {"id": 8, "protocol": "socks5", "host": "proxy.internal", "port": 1080, "auth": false}
  ],
  "monitorList": [
    {"id": 1, "name": "Shop", "type": "group", "active": true, "interval": 60, "parent": null, "childrenIDs": [2, 3]},
    {"id": 2, "name": "Front page", "type": "http", "parent": 1, "pathName": "Shop / Front page", "weight": 2000,
     "url": "https://shop.example/", "method": "POST", "hostname": null, "port": null, "maxretries": 2, "active": 1,
     "timeout": 16, "interval": 20, "retryInterval": 30, "resendInterval": 0, "keyword": null, "invertKeyword": false,
     "expiryNotification": true, "ignoreTls": false, "upsideDown": false, "packetSize": 56, "maxredirects": 0,
     "accepted_statuscodes": ["200-299", "300-399", "401"], "dns_resolve_type": "A", "dns_resolve_server": "1.1.1.1",
     "dns_last_result": null, "docker_container": "", "proxyId": 7, "notificationIDList": {"1": true},
     "tags": [{"id": 1, "monitor_id": 2, "tag_id": 1, "value": "", "name": "prod", "color": "#059669"},
              {"id": 2, "tag_id": 2, "value": "core", "name": "team"}],
     "mqttTopic": "", "grpcEnableTls": false, "kafkaProducerBrokers": [], "oauth_auth_method": "client_secret_basic",
     "httpBodyEncoding": "json", "headers": "{\"X-Token\": \"a${b}\", \"X-Retries\": 3}", "body": "{\"a\": \"\\ud83d\\ude00\"}",
     "basic_auth_user": "me", "basic_auth_pass": "hunter2", "description": "All of it", "includeSensitiveData": true},
    {"id": 3, "name": "Front page", "type": "keyword", "parent": 1, "url": "http://shop.example/", "interval": 60,
     "keyword": "out of \"order\"", "invertKeyword": true, "accepted_statuscodes": ["200-299"], "maxretries": 0,
     "proxyId": 8, "timeout": 0, "active": false, "notificationIDList": {"2": true, "3": true, "1": false}},
    {"id": 4, "name": "Stock", "type": "json-query", "url": "https://shop.example/stock", "interval": 60,
     "jsonPath": "$.items[0].count", "jsonPathOperator": ">=", "expectedValue": "5", "accepted_statuscodes": ["200", "204"]},
    {"id": 5, "name": "Sum", "type": "json-query", "url": "https://shop.example/stock", "interval": 60,
     "jsonPath": "$sum(items.count)", "expectedValue": "5", "authMethod": "ntlm", "ignoreTls": true},
    {"id": 6, "name": "Database", "type": "port", "hostname": "db.internal", "port": 5432, "interval": 1, "resendInterval": 3},
    {"id": 7, "name": "Gateway", "type": "ping", "hostname": "192.0.2.1", "packetSize": 1400, "interval": 60},
    {"id": 8, "name": "Names", "type": "dns", "hostname": "shop.example", "dns_resolve_type": "MX", "port": 5353,
     "dns_resolve_server": "192.0.2.53,192.0.2.54", "interval": 300},
    {"id": 9, "name": "Backup", "type": "push", "pushToken": "hunter2", "interval": 3600},
    {"id": 10, "name": "Remote call", "type": "grpc-keyword", "grpcUrl": "shop.example:443", "interval": 60},
    {"id": 11, "name": "Gone", "type": "http", "url": "https://old.example/", "upsideDown": true, "interval": 60},
    {"id": 12, "name": "Nowhere", "type": "http", "url": "https://", "interval": 60, "novelty": "yes", "dullness": false}
  ]
}"##;

#[test]
fn the_sample_is_taken_over() {
    insta::assert_snapshot!(taken_over(Format::UptimeKuma, SAMPLE, NO_TARGETS));
}

#[test]
fn groups_in_a_circle_end() {
    let text = r#"{"monitorList": [
      {"id": 1, "name": "a", "type": "group", "parent": 2}, {"id": 2, "name": "b", "type": "group", "parent": 1},
      {"id": 3, "name": "c", "type": "port", "hostname": "a", "port": 1, "parent": 1}]}"#;
    let imported = read(Format::UptimeKuma, text, NO_TARGETS).unwrap();
    assert_eq!(imported.monitors[0].tags, ["a", "b"]);
}

#[test]
fn certificates_for_both_sides_are_written_out() {
    let pem = super::super::PEM.replace('\n', "\\n");
    let text = format!(
        r#"{{"monitorList": [{{"type": "http", "name": "a", "url": "https://a.example/", "authMethod": "mtls",
        "tlsCert": "{pem}", "tlsKey": "{pem}", "tlsCa": "{pem}"}}]}}"#
    );
    let imported = read(Format::UptimeKuma, &text, NO_TARGETS).unwrap();
    let loaded = crate::tests::load(imported.yaml()).unwrap();
    let sonde_core::Spec::Http(spec) = &loaded.config.monitors[0].spec else {
        panic!("http")
    };
    assert!(spec.tls.ca.is_some() && spec.tls.client_certificate.is_some());
}

#[track_caller]
fn check_statuses(codes: &str, expected: &str) {
    let text = format!(
        r#"{{"monitorList": [{{"type": "http", "name": "a", "url": "http://a/", "accepted_statuscodes": {codes}}}]}}"#
    );
    let imported = read(Format::UptimeKuma, &text, NO_TARGETS).unwrap();
    let expect = &imported.monitors[0].expect;
    assert_eq!(
        expect.first().map(ToString::to_string).unwrap_or_default(),
        expected
    );
}

#[test]
fn accepted_statuses_are_said_as_briefly_as_possible() {
    check_statuses("[]", "");
    check_statuses(r#"["200"]"#, "status == 200");
    check_statuses(r#"["200-299", "300-399"]"#, "status in 200..399");
    check_statuses(r#"["404", "200"]"#, "status in [200, 404]");
    check_statuses(
        r#"["200-299", "401-402"]"#,
        r#"status matches "^(2..|401|402)$""#,
    );
    check_statuses(r#"["200-100", "x", "0-9999999999"]"#, "");
}

#[test]
fn what_is_not_understood_is_noted_at_its_place() {
    let text = r#"{"monitorList": [5, {"name": "a"}, {"type": "http", "name": "b"},
      {"type": "port", "hostname": "a b", "port": "x"}, {"type": "http", "url": "http://a/", "headers": "{", "active": 2},
      {"type": "keyword", "url": "http://a/", "keyword": null, "tags": [1, {"value": "x"}]}],
      "surprise": 1}"#;
    insta::assert_snapshot!(noted(Format::UptimeKuma, text, NO_TARGETS));
}
