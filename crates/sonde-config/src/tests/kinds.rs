//! Each kind in its short and its long form.

use std::time::Duration;

use sonde_core::{Auth, HttpVersion, IpPreference, Region, Spec, StartTls, Step};

use super::{monitors, refused};

/// The spec of the one monitor `text`, without its debug output's secrets.
#[track_caller]
fn spec(text: &str) -> Spec {
    monitors(&format!("monitors: {{a: {{{text}}}}}"))
        .remove(0)
        .spec
}

#[track_caller]
fn check_target(text: &str, target: &str) {
    assert_eq!(spec(text).target(), target);
}

#[track_caller]
fn check_refused(text: &str, message: &str) {
    let problems = refused(&format!("monitors: {{a: {{{text}}}}}"));
    assert!(problems.contains(message), "{problems}");
}

#[test]
fn http_short_and_long() {
    check_target(
        "http: 'https://me:pass@a.example/x?y=1#z'",
        "https://a.example/x?y=1",
    );
    let Spec::Http(spec) = spec(
        "http: {url: 'http://m%40e:p%3Aw@a.example', method: post, headers: {A: [1, x], b: true}, body: hi,
          http_version: 2, follow_redirects: false, compression: false, ip: v6, resolver: '::1',
          proxy: 'http://p:1', tls: {skip_verify: true, server_name: B.example, ca: a.pem,
          client_certificate: a.pem, client_key: a.key}}",
    ) else {
        panic!("http")
    };
    let Some(Auth::Basic { username, password }) = &spec.auth else {
        panic!("basic")
    };
    assert_eq!((username.as_str(), password.as_str()), ("m@e", "p:w"));
    assert_eq!(
        (spec.url.as_str(), spec.method.as_str()),
        ("http://a.example/", "POST")
    );
    let headers: Vec<_> = spec
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(headers, ["A: 1", "A: x", "b: true"]);
    assert_eq!(spec.body.as_deref(), Some(&b"hi"[..]));
    assert_eq!(
        (spec.version, spec.max_redirects, spec.compression),
        (HttpVersion::Http2, 0, false)
    );
    assert_eq!(spec.network.ip, IpPreference::V6);
    assert_eq!(
        spec.network.resolver.map(|r| r.to_string()).as_deref(),
        Some("[::1]:53")
    );
    assert_eq!(spec.tls.server_name.as_deref(), Some("b.example"));
    assert!(spec.tls.skip_verify && spec.tls.ca.is_some() && spec.tls.client_certificate.is_some());
}

#[test]
fn http_bodies() {
    let body = |text: &str| match spec(&format!("http: {{url: 'http://a', body: {text}}}")) {
        Spec::Http(spec) => spec.body.unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    assert_eq!(body("{text: '5'}"), b"5");
    assert_eq!(body("{base64: AP8=}"), [0, 255]);
    assert_eq!(body("{file: a.bin}"), [0, 255]);
    assert_eq!(body("{json: [x, 1]}"), br#"["x",1]"#);
    check_refused(
        "http: {url: 'http://a', body: {}}",
        "one of `text`, `json`, `file` or `base64` is missing",
    );
    check_refused(
        "http: {url: 'http://a', body: {file: a.txt}}",
        "cannot read the file `a.txt`",
    );
    check_refused("http: {url: 'http://a', body: {base64: '?'}}", "not base64");
}

#[test]
fn http_refuses_what_cannot_be_sent() {
    check_refused("http: a.example", "a URL begins with http:// or https://");
    check_refused(
        "http: 'ftp://a'",
        "a URL begins with http:// or https://, not ftp://",
    );
    check_refused(
        "http: {url: 'http://a', method: 'G T'}",
        "is not an HTTP method",
    );
    check_refused(
        "http: {url: 'http://a', headers: {'a b': c}}",
        "is not a header name",
    );
    check_refused(
        r#"http: {url: 'http://a', headers: {a: "b\r\nc: d"}}"#,
        "cannot contain line breaks",
    );
    check_refused(
        "http: {url: 'http://u:p@a', auth: {bearer: t}}",
        "already has a user name",
    );
    check_refused(
        "http: {url: 'http://a', auth: {}}",
        "`basic` or `bearer` is missing",
    );
    check_refused(
        "http: {url: 'http://a', max_redirects: 1, follow_redirects: true}",
        "cannot stand beside",
    );
    check_refused(
        "http: {url: 'http://a', tls: {client_key: a.key}}",
        "are needed together",
    );
    check_refused(
        "http: {url: 'http://a', tls: {ca: a.bin}}",
        "there is no PEM block `CERTIFICATE`",
    );
    check_refused(
        "http: {url: 'http://a', proxy: 'https://p'}",
        "a URL begins with http://",
    );
}

#[test]
fn tcp_short_and_long() {
    check_target("tcp: '[::1]:80'", "[::1]:80");
    let Spec::Tcp(spec) = spec(
        r#"tcp: {host: A.example, port: 25,
          dialogue: [{expect: "^220 (.*)"}, {send: "EHLO ${1} $${name}\r\n\0"}, starttls, {send_base64: AP8=}]}"#,
    ) else {
        panic!("tcp")
    };
    assert_eq!(
        (spec.host.as_str(), spec.port, spec.tls.is_some()),
        ("a.example", 25, false)
    );
    assert_eq!(
        spec.dialogue[1],
        Step::Send("EHLO ${1} ${name}\r\n\0".to_owned())
    );
    assert_eq!(
        spec.dialogue[2..],
        [Step::StartTls, Step::SendBytes(vec![0, 255])]
    );
    let Spec::Tcp(spec) = self::spec("tcp: {address: 'a:5432', tls: false, starttls: postgres}")
    else {
        panic!("tcp")
    };
    assert_eq!(spec.dialogue, StartTls::Postgres.steps());
    let Spec::Tcp(spec) = self::spec("tcp: {address: 'a:1', tls: {skip_verify: true}}") else {
        panic!("tcp")
    };
    assert!(spec.tls.is_some_and(|tls| tls.skip_verify));
    let Spec::Tcp(spec) =
        self::spec("tcp: {address: 'a:25', tls: {skip_verify: true}, starttls: smtp}")
    else {
        panic!("tcp")
    };
    assert!(spec.tls.is_some_and(|tls| tls.skip_verify));
    assert_eq!(spec.dialogue, StartTls::Smtp.steps());
    check_refused("tcp: a.example", "has no port");
    check_refused("tcp: {host: a}", "`port` is missing");
    check_refused(
        "tcp: {address: 'a:1', port: 2}",
        "`port` cannot stand beside `address`",
    );
    check_refused(
        "tcp: {address: 'a:1', dialogue: [{expect: '('}]}",
        "is not a regular expression",
    );
    check_refused(
        "tcp: {address: 'a:1', dialogue: [startls]}",
        "did you mean `starttls`?",
    );
    check_refused(
        "tcp: {address: 'a:1', starttls: smpt}",
        "did you mean `smtp`?",
    );
}

#[test]
fn tls_short_and_long() {
    check_target("tls: a.example", "a.example:443");
    check_target(
        "tls: {host: a.example, port: 25, starttls: smtp, skip_verify: true}",
        "a.example:25",
    );
    check_refused("tls: {port: 25}", "`host` is missing");
    check_refused(
        "tls: {host: a, port: 0}",
        "expected a whole number from 1 to 65535, got the number 0",
    );
}

#[test]
fn dns_short_and_long() {
    check_target("dns: a.example", "a.example A");
    check_target(
        "dns: {name: _dmarc.a.example., type: txt, class: CH, server: 'b:5353', transport: tls, recursion: false}",
        "_dmarc.a.example. TXT @b:5353",
    );
    check_target("dns: {name: ., type: TYPE65}", ". TYPE65");
    check_refused("dns: {name: a, type: AAA}", "did you mean `AAAA`?");
    check_refused("dns: 'a b'", "is not a domain name");
    check_refused("dns: {name: a, server: 'b:x'}", "is not a port");
}

#[test]
fn icmp_short_and_long() {
    check_target("icmp: 192.0.2.1", "192.0.2.1");
    let Spec::Icmp(spec) = spec("icmp: {host: '::1', packets: 100, payload_size: 1980, ttl: 1}")
    else {
        panic!("icmp")
    };
    assert_eq!(
        (spec.packets, spec.payload_size, spec.ttl),
        (100, 1980, Some(1))
    );
    check_refused(
        "icmp: {host: a, packets: 0}",
        "expected a whole number from 1 to 100",
    );
    check_refused("icmp: 'a/b'", "is not a host name");
}

#[test]
fn domain_short_and_long() {
    check_target("domain: Shop.Example", "shop.example");
    let Spec::Domain(spec) = spec(
        "domain: {name: a.shop.example., server: 'https://rdap.example/v1', proxy: 'http://p:1', ip: v6}",
    ) else {
        panic!("domain")
    };
    assert_eq!(spec.name, "a.shop.example");
    assert_eq!(spec.server.unwrap().as_str(), "https://rdap.example/v1");
    assert!(spec.proxy.is_some() && spec.network.ip == sonde_core::IpPreference::V6);
}

#[test]
fn a_domain_is_asked_about_once_a_day_unless_it_says_otherwise_itself() {
    let text = "
defaults: { interval: 30s, timeout: 20s, regions: [fra] }
monitors:
  standard: { domain: shop.example }
  hourly: { domain: shop.example, interval: 1h }
  own: { domain: { name: shop.example, server: 'http://127.0.0.1:8080' }, interval: 5s, timeout: 5s }
";
    let found = monitors(text);
    let intervals = found.iter().map(|it| it.interval.as_secs());
    assert_eq!(intervals.collect::<Vec<_>>(), [86_400, 3600, 5]);
    assert_eq!(found[0].timeout, Duration::from_secs(20));
}

#[test]
fn what_no_registry_can_be_asked_is_refused() {
    let text = "
monitors:
  below: { domain: www.example.co.uk }
  suffix: { domain: { name: co.uk } }
  top: { domain: com }
  address: { domain: 192.0.2.1 }
  url: { domain: 'https://example.com' }
  often: { domain: example.com, interval: 5m }
  server: { domain: { name: example.com, server: 'https://me:pass@rdap.example' } }
  unknown: { domain: { name: example.com, sever: 'https://rdap.example' } }
  strange: { domain: example.com, expect: [tls.days_left > 3] }
  elsewhere: { http: 'http://a', expect: [domain.days_left > 3] }
";
    insta::assert_snapshot!(refused(text), @r#"
    sonde.yaml:3:12: monitors.below.domain: "www.example.co.uk" is below the domain that is registered (did you mean `example.co.uk`?)
    sonde.yaml:4:23: monitors.suffix.domain.name: "co.uk" is what domains are registered below, not one itself
    sonde.yaml:5:10: monitors.top.domain: "com" is a top-level domain: name one below it, such as example.com
    sonde.yaml:6:14: monitors.address.domain: "192.0.2.1" is an IP address, not a domain
    sonde.yaml:7:10: monitors.url.domain: "https://example.com" is not a domain name such as example.com
    sonde.yaml:8:33: monitors.often.interval: must be 1h or more, got "5m": registries limit how often they are asked
    sonde.yaml:9:42: monitors.server.domain.server: an RDAP server is `https://host/path/`, without anything else
    sonde.yaml:10:43: monitors.unknown.domain.sever: unknown key of domain (did you mean `server`?)
    sonde.yaml:11:44: monitors.strange.expect[0]: a check of kind domain has no `tls.days_left`
    sonde.yaml:12:43: monitors.elsewhere.expect[0]: a check of kind http has no `domain.days_left`
    "#);
}

#[test]
fn exec_short_and_long() {
    check_target("exec: /bin/true", "/bin/true");
    let Spec::Exec(spec) =
        spec("exec: {command: [a, -1], arguments: [b c, 2], environment: {A: 1}, warn_only: true}")
    else {
        panic!("exec")
    };
    assert_eq!((spec.command.as_str(), spec.warn_only), ("a", true));
    assert_eq!(spec.arguments, ["-1", "b c", "2"]);
    assert_eq!(spec.environment["A"], "1");
    check_refused("exec: ls -l", "the short form is a program alone");
    check_refused("exec: {command: []}", "the program is missing");
}

#[test]
fn a_heartbeat_comes_from_anywhere_and_is_told_at_once() {
    let text = "
defaults: { regions: [fra, iad], alert: { fail_after: 3, quorum: 2 } }
monitors:
  daily: { heartbeat: {}, interval: 1d }
  own: { heartbeat: { grace: 1h }, interval: 1d, regions: [push], alert: { fail_after: 2 } }
";
    let found = monitors(text);
    let graces = found.iter().map(|it| it.spec.heartbeat().unwrap().grace);
    let minutes = [1, 60].map(Duration::from_mins);
    assert_eq!(graces.collect::<Vec<_>>(), minutes);
    for monitor in &found {
        assert_eq!(monitor.regions, [Region::push()]);
    }
    let rules = found
        .iter()
        .map(|it| (it.alert.fail_after, it.alert.recover_after));
    assert_eq!(rules.collect::<Vec<_>>(), [(1, 1), (2, 1)]);
}

#[test]
fn what_a_heartbeat_has_no_use_for_is_refused() {
    let text = "
monitors:
  far: { heartbeat: {}, regions: [fra] }
  slow: { heartbeat: {}, expect: [latency < 1m] }
  short: { heartbeat: 1h }
  web: { http: 'http://a', regions: [fra, push] }
";
    insta::assert_snapshot!(refused(text), @r#"
    sonde.yaml:3:25: monitors.far.regions: a heartbeat is sent from anywhere: leave its regions out
    sonde.yaml:4:35: monitors.slow.expect[0]: a check of kind heartbeat has no `latency`
    sonde.yaml:5:12: monitors.short.heartbeat: expected a mapping, got "1h"
    sonde.yaml:6:28: monitors.web.regions: `push` is where heartbeats come from: nothing is checked there
    "#);
}
