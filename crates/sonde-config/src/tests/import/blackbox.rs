//! `blackbox.yml` with targets.

use super::{TARGETS as TWO, noted, refused, taken_over};
use crate::import::{Format, Targets};

pub(super) const SAMPLE: &str = r#"
modules:
  http_2xx:
    prober: http
  http_api:
    prober: http
    timeout: 5s
    http:
      method: POST
      headers: { accept: application/json }
      body: '{}'
      valid_status_codes: [201, 200]
      valid_http_versions: ["HTTP/1.1", "HTTP/2.0", "HTTP/3.0"]
      follow_redirects: false
      fail_if_not_ssl: true
      fail_if_body_matches_regexp: ["(?i)error"]
      fail_if_body_not_matches_regexp: ['"ok":\s*true']
      fail_if_header_matches: [{ header: X-Cache, regexp: MISS, allow_missing: true }]
      fail_if_header_not_matches:
        - { header: Content-Type, regexp: json }
        - { header: Set-Cookie, regexp: id, allow_missing: true }
      basic_auth: { username: me, password: "pa${x}" }
      tls_config: { insecure_skip_verify: true, server_name: api.internal, min_version: TLS13 }
      preferred_ip_protocol: ip4
      ip_protocol_fallback: false
      enable_http2: false
      proxy_url: http://proxy.internal:3128
      body_size_limit: 1MB
  smtp:
    prober: tcp
    tcp:
      query_response:
        - expect: "^220 ([^ ]+) ESMTP"
        - send: "EHLO $1\r"
        - expect: "^250 STARTTLS"
        - { send: "STARTTLS\r" }
        - { expect: "^220", starttls: true }
        - send: "QUIT\r"
      tls_config: { server_name: mail.shop.example }
  soa:
    prober: dns
    dns:
      query_name: shop.example
      query_type: SOA
      transport_protocol: tcp
      recursion_desired: false
      valid_rcodes: [NOERROR, NXDOMAIN]
      validate_answer_rrs:
        fail_if_matches_regexp: [".*192.0.2.66"]
        fail_if_none_matches_regexp: ["ns1[.]shop", '^shop.example.\t300\tIN']
        fail_if_not_matches_regexp: [".*ns1"]
  ping:
    prober: icmp
    icmp: { ttl: 32, payload_size: 1400, dont_fragment: true }
  health: { prober: grpc, grpc: { service: shop } }
  odd: { prober: http, htpp: {} }
  idle: { prober: tcp }
"#;

pub(super) const TARGETS: Targets<'static> = Targets {
    file: Some(("prometheus.yml", PROMETHEUS)),
    module: None,
};

const PROMETHEUS: &str = r"
global: { scrape_interval: 30s, evaluation_interval: 15s }
rule_files: [alerts.yml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{ targets: ['localhost:9090'] }]
  - job_name: web
    metrics_path: /probe
    params: { module: [http_2xx] }
    scrape_timeout: 8s
    static_configs:
      - targets: [shop.example, 'https://shop.example/health']
        labels: { env: prod, __param_debug: 'true' }
      - targets: ['https://api.shop.example/']
        labels: { module: http_api }
    relabel_configs:
      - { source_labels: [__address__], target_label: __param_target }
      - { source_labels: [__param_target], target_label: instance }
      - { target_label: __address__, replacement: 'blackbox:9115' }
      - { source_labels: [env], regex: prod, action: keep }
  - job_name: rest
    metrics_path: /probe
    scrape_interval: 2s
    static_configs:
      - { targets: ['mail.shop.example:25'], labels: { module: smtp } }
      - { targets: ['192.0.2.53', 'ns.shop.example:5353'], labels: { module: soa } }
      - { targets: [192.0.2.1], labels: { module: ping } }
      - { targets: ['shop.example:443'], labels: { module: health } }
      - { targets: [shop.example], labels: { module: odd } }
      - { targets: [shop.example], labels: { module: http_3xx } }
      - { targets: [shop.example] }
    file_sd_configs: [{ files: [more.yml] }]
";

#[test]
fn the_sample_is_taken_over() {
    insta::assert_snapshot!(taken_over(Format::Blackbox, SAMPLE, TARGETS));
}

#[test]
fn files_of_targets_need_a_module_by_name() {
    let modules = "modules: { m: { prober: http }, n: { prober: icmp } }";
    let targets = r#"[{"targets": ["a.example", "b.example"], "labels": {"env": "prod"}},
        {"targets": ["c.example"], "labels": {"module": "n"}}]"#;
    let targets = |module| Targets {
        file: Some(("targets.json", targets)),
        module,
    };
    insta::assert_snapshot!(taken_over(Format::Blackbox, modules, targets(Some("m"))));
    insta::assert_snapshot!(noted(Format::Blackbox, modules, targets(None)));
}

#[test]
fn a_list_of_jobs_will_do() {
    let jobs = Targets {
        file: Some((
            "jobs.yml",
            "- { job_name: a, params: { module: [m] }, static_configs: [{ targets: [a.example] }] }",
        )),
        module: None,
    };
    let shown = taken_over(Format::Blackbox, "modules: { m: { prober: http } }", jobs);
    assert!(
        shown.contains("http://a.example/") && shown.contains("job:a"),
        "{shown}"
    );
}

#[test]
fn without_targets_there_is_nothing_to_probe() {
    let none = Targets::default();
    insta::assert_snapshot!(refused(Format::Blackbox, "modules: {}", none));
    let wrong = |text| Targets {
        file: Some(("targets.yml", text)),
        module: None,
    };
    insta::assert_snapshot!(refused(
        Format::Blackbox,
        "modules: {}",
        wrong("targets: [a]")
    ));
    insta::assert_snapshot!(refused(Format::Blackbox, "modules: {}", wrong("[a")));
}

#[test]
fn modules_that_make_no_sense_are_noted_once() {
    let text = "modules: { m: { timeout: 5s, http: { method: [1] } } }";
    insta::assert_snapshot!(noted(Format::Blackbox, text, TWO));
    let text = "modules: { m: { prober: http, http: { valid_status_codes: [99, ok], fail_if_body_matches_regexp: ['('] } } }";
    insta::assert_snapshot!(noted(Format::Blackbox, text, TWO));
}

#[test]
fn authorization_is_a_token_or_a_header() {
    let shown = |http: &str| {
        let text = format!("modules: {{ m: {{ prober: http, http: {{ {http} }} }} }}");
        taken_over(Format::Blackbox, &text, TWO)
    };
    assert!(shown("bearer_token: hunter2").contains("bearer: hunter2"));
    assert!(shown("authorization: { credentials: hunter2 }").contains("bearer: hunter2"));
    let other = shown("authorization: { type: Token, credentials: hunter2 }");
    assert!(other.contains("value: 'Token hunter2'"), "{other}");
    let file = shown("authorization: { credentials_file: /run/secret }");
    assert!(
        file.contains("credentials_file: has no equivalent"),
        "{file}"
    );
}
