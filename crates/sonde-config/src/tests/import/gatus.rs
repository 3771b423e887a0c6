//! Gatus's `config.yaml`.

use super::{NO_TARGETS, noted, read, taken_over};
use crate::import::Format;
use crate::tests::load;

pub(super) const SAMPLE: &str = r#"
metrics: true
storage: { type: sqlite, path: /data/data.db }
alerting:
  slack:
    webhook-url: https://hooks.slack.example/x
    default-alert: { failure-threshold: 4, success-threshold: 3 }
maintenance: { start: "23:00", duration: 1h }

endpoints:
  - name: Front page
    group: Shop
    url: https://shop.example/health
    method: POST
    headers: { Authorization: "Bearer a$$b", X-Retries: 3 }
    body: '{"from": "[ENDPOINT_GROUP]/[ENDPOINT_NAME]"}'
    interval: 30s
    extra-labels: { team: core }
    client: { insecure: true, ignore-redirect: true, timeout: 5s, dns-resolver: "tcp://192.0.2.53:53" }
    conditions:
      - "[STATUS] == any(200, 204)"
      - "[BODY].database.status == UP"
      - "[RESPONSE_TIME] < 300"
      - "[CERTIFICATE_EXPIRATION] > 48h"
      - "len([BODY].items) > 0"
      - "[IP] == 192.0.2.1"
    alerts:
      - type: slack
      - { type: email, failure-threshold: 5, enabled: false }
    ui: { hide-url: true }
  - name: front-page
    url: http://shop.example/
    interval: 1s
    graphql: true
    body: "{ user { id } }"
    enabled: false
    conditions: ["[BODY] == pat(*welcome*)"]
    maintenance-windows: [{ start: "22:00", duration: 1h }]
    colour: blue
  - name: Names
    url: "192.0.2.53"
    dns: { query-name: shop.example, query-type: MX }
    conditions: ["[DNS_RCODE] == NOERROR", "[BODY] == pat(mail*.shop.example.)"]
  - { name: Database, url: "tcp://db.internal:5432", conditions: ["[CONNECTED] == true"] }
  - { name: Cache, url: "tcp://db.internal:6379", body: "PING\r\n", conditions: ["[BODY] == +PONG"] }
  - { name: Gateway, url: "icmp://2001:db8::1", client: { network: ip6 }, conditions: ["[CONNECTED] == true"] }
  - { name: Certificate, url: "tls://shop.example:443", conditions: ["[CERTIFICATE_EXPIRATION] > 36h"] }
  - { name: Mail, url: "starttls://mail.shop.example:587", conditions: ["[CONNECTED] == true"] }
  - { name: Talk, url: "wss://shop.example/talk", conditions: ["[CONNECTED] == true"] }
  - { name: Shell, url: "ssh://shop.example:22", ssh: { username: "", password: "" }, conditions: ["[STATUS] == 0"] }
  - { name: Closed, url: "tcp://shop.example:23", conditions: ["[CONNECTED] == false"] }
  - { name: Nowhere, conditions: ["[CONNECTED] == true"] }

external-endpoints:
  - { name: backup, token: hunter2 }
"#;

#[test]
fn the_sample_is_taken_over() {
    insta::assert_snapshot!(taken_over(Format::Gatus, SAMPLE, NO_TARGETS));
}

#[test]
fn variables_stay_variables() {
    let text = r#"
endpoints:
  - name: "$HOST ${RETRIES}"
    url: https://${HOST}/${HOST}?a=${RETRIES}
    headers: { x-token: "${RETRIES}$$${HOST}", x-retries: $RETRIES }
    interval: ${RETRIES}s
    conditions: ["[STATUS] == 200", "[BODY].host == ${HOST}"]
"#;
    let imported = read(Format::Gatus, text, NO_TARGETS).unwrap();
    insta::assert_snapshot!(imported.yaml());
    let notes: Vec<_> = imported.notes.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(notes.join("\n"));
    let monitors = load(imported.yaml()).unwrap().config.monitors;
    let monitor = &monitors[0];
    assert_eq!(monitor.name, "shop.example 2");
    assert_eq!(monitor.target(), "https://shop.example/shop.example?a=2");
    assert_eq!(
        monitor.expect[1].to_string(),
        r#"json $.host == "shop.example""#
    );
    let sonde_core::Spec::Http(spec) = &monitor.spec else {
        panic!("http")
    };
    assert_eq!(spec.headers[0].1, "2$shop.example");
    assert_eq!(spec.headers[1].1, "2");
}

#[test]
fn the_most_impatient_alert_counts() {
    let text = "
endpoints:
  - { name: a, url: 'tcp://a:1', alerts: [{ type: x }, { type: y, failure-threshold: 1, success-threshold: 7 }] }
  - { name: b, url: 'tcp://a:1', alerts: [{ type: x, enabled: false }] }
  - { name: c, url: 'tcp://a:1', alerts: [{ type: x, failure-threshold: 0 }] }
";
    let imported = read(Format::Gatus, text, NO_TARGETS).unwrap();
    let alerts = imported.monitors.iter().map(|monitor| {
        let alert = &monitor.alert;
        (alert.fail_after, alert.recover_after)
    });
    assert_eq!(alerts.collect::<Vec<_>>(), [(1, 7), (2, 2), (3, 2)]);
}

#[test]
fn providers_become_channels_for_the_endpoints_that_name_them() {
    let text = r#"
alerting:
  discord: { webhook-url: "${DISCORD_URL}", default-alert: { minimum-reminder-interval: 1h } }
  ntfy: { topic: ops, priority: 5, url: "https://ntfy.example" }
  pagerduty: { integration-key: "$PD" }
  telegram: { token: "123:a", id: -100 }
  slack: { webhook-url: nowhere }
  custom: { url: "https://a.example" }
  email: { from: a@a.example, host: mail.a.example, port: 25, to: "b@a.example, c@a.example" }
endpoints:
  - { name: a, url: 'tcp://a:1', alerts: [{ type: discord }, { type: email }, { type: slack }] }
  - name: b
    url: 'tcp://a:1'
    alerts: [{ type: discord, minimum-reminder-interval: 30m }, { type: ntfy, enabled: false }, { type: telegram }]
  - { name: c, url: 'ws://a', alerts: [{ type: pagerduty, provider-override: { integration-key: x } }] }
"#;
    let imported = read(Format::Gatus, text, NO_TARGETS).unwrap();
    let notes = imported.notes.iter().map(|note| format!("# {note}\n"));
    let notes: String = notes.collect();
    insta::assert_snapshot!(imported.yaml().to_owned() + &notes);
}

#[test]
fn certificates_keep_the_names_of_their_files() {
    let text = "
endpoints:
  - name: a
    url: https://a.example/
    client: { tls: { certificate-file: a.pem, private-key-file: a.key, renegotiation: never } }
";
    let imported = read(Format::Gatus, text, NO_TARGETS).unwrap();
    assert!(
        imported.yaml().contains("client_key: a.key"),
        "{}",
        imported.yaml()
    );
    let loaded = load(imported.yaml()).unwrap();
    let sonde_core::Spec::Http(spec) = &loaded.config.monitors[0].spec else {
        panic!("http")
    };
    let client = spec.tls.client_certificate.as_ref().unwrap();
    assert!(client.key.contains("BEGIN PRIVATE KEY"));
}

#[test]
fn what_is_not_understood_is_noted_at_its_place() {
    let text = "
endpoints:
  - 5
  - { name: a, url: 5 }
  - { name: b, url: 'gopher://a' }
  - { name: c, url: 'https://' , conditions: '[STATUS] == 200' }
  - { name: d, url: 'tcp://a' }
  - { name: e, url: 'tcp://a:1', conditions: [[1], '[STATUS] == 200', 'status is fine'], timeout: 5s }
";
    insta::assert_snapshot!(noted(Format::Gatus, text, NO_TARGETS));
}
