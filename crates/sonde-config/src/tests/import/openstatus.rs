//! `openstatus.yaml`.

use super::{NO_TARGETS, noted, taken_over};
use crate::import::Format;

pub(super) const SAMPLE: &str = r#"
# yaml-language-server: $schema=https://www.openstatus.dev/schema.json
shop:
  name: The shop
  description: Where people buy
  frequency: 30s
  active: true
  regions: [ams, fra, fra, koyeb_sfo, private, "US East"]
  retry: 1
  kind: http
  degradedAfter: 1500
  timeout: 20000
  public: true
  request:
    url: https://shop.example/health
    method: POST
    headers: { User-Agent: OpenStatus, Authorization: Bearer hunter2 }
    body: '{"price": "$${5}"}'
    followRedirects: false
  assertions:
    - { kind: statusCode, compare: lt, target: 400 }
    - { kind: header, key: Content-Type, compare: contains, target: json }
    - { kind: header, key: X-Error, compare: empty }
    - { kind: textBody, compare: not_eq, target: "a \"b\": c" }
    - { kind: header, key: Age, compare: lte, target: "300" }
    - { kind: header, key: Age, compare: gt, target: old }
    - { kind: jsonBody, compare: eq, target: 1 }
  openTelemetry: { endpoint: https://otel.example }
Shop:
  frequency: 10m
  kind: http
  request: { url: http://shop.example/ }
  assertions: [{ kind: textBody, compare: contains, target: welcome }]
database:
  name: "Database"
  frequency: 1m
  active: true
  regions: [ams]
  kind: tcp
  request: { host: db.shop.example, port: 5432 }
names:
  frequency: 5m
  active: true
  regions: []
  kind: dns
  request: { uri: shop.example }
  assertions:
    - { kind: dnsRecord, key: MX, compare: contains, target: "10 mail.shop.example." }
    - { kind: dnsRecord, key: A, compare: eq, target: 192.0.2.10 }
ping:
  active: true
  kind: icmp
  request: { host: shop.example }
"#;

#[test]
fn the_sample_is_taken_over() {
    insta::assert_snapshot!(taken_over(Format::OpenStatus, SAMPLE, NO_TARGETS));
}

#[test]
fn what_is_not_understood_is_noted_at_its_place() {
    let text = "
a: { kind: http, active: yes, frequency: soon, timeout: -1, request: { url: shop.example } }
b: { kind: tcp, active: true, request: { host: a, port: 70000 } }
c: { kind: http, active: true }
d: 5
e:
  kind: http
  active: true
  regions: ams
  frequency: 1m
  request: { url: 'https://a.example', metod: GET }
  assertions: [{ compare: eq }, { kind: statusCode, compare: is, target: 200 }, { kind: statusCode, compare: eq, target: ok }]
";
    insta::assert_snapshot!(noted(Format::OpenStatus, text, NO_TARGETS));
}
