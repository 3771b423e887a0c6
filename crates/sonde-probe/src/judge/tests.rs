//! Assertions, presumptions and conditions held against observations made up for them.

use sonde_core::{
    CertificateDetail, DnsDetail, DnsRecord, DnsSpec, DnsTransport, DomainDetail, DomainSpec,
    ExecDetail, ExecSpec, HttpDetail, IcmpDetail, IcmpSpec, Phase, TlsDetail,
};
use tokio::time::Instant;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_micros(1_763_640_000_000_000)
}

fn nothing() -> Observation {
    Observation::until(Instant::now())
}

/// 503 with a JSON body, in 2.3 s.
fn answer() -> Observation {
    let mut seen = nothing();
    seen.http = Some(HttpDetail {
        status: 503,
        version: "1.1".to_owned(),
        bytes: 20,
        redirects: Vec::new(),
    });
    seen.headers
        .append("content-type", "application/json".parse().unwrap());
    seen.headers.append("via", "a".parse().unwrap());
    seen.headers.append("via", "b".parse().unwrap());
    seen.body = Some(r#"{"database":"up","n":5}"#.into());
    seen.size = Some(23);
    seen.phases.add(Phase::Wait, 300_000);
    seen.tls = Some(TlsDetail {
        version: Some("1.3".to_owned()),
        cipher: None,
        alpn: None,
        certificates: vec![CertificateDetail {
            subject: "CN=shop.example".to_owned(),
            issuer: "CN=Example CA".to_owned(),
            san: vec!["shop.example".to_owned(), "www.shop.example".to_owned()],
            not_before: Timestamp::UNIX_EPOCH,
            not_after: now() + Duration::from_hours(24 * 14 + 5),
            sha256: String::new(),
        }],
    });
    seen
}

fn parse(assertions: &[&str]) -> Vec<Assertion> {
    assertions
        .iter()
        .map(|text| text.parse().expect(text))
        .collect()
}

fn judged(spec: Option<Spec>, seen: &Observation, expect: &[&str], degraded: &[&str]) -> Verdict {
    let mut monitor = Monitor::sample();
    monitor.spec = spec.unwrap_or(monitor.spec);
    monitor.expect = parse(expect);
    monitor.degraded = parse(degraded);
    judge(&monitor, seen, Ok(()), Duration::from_millis(2300), now())
}

#[track_caller]
fn check(seen: &Observation, assertion: &str, message: Option<&str>) {
    let verdict = judged(None, seen, &["status > 0", assertion], &[]);
    assert_eq!(verdict.message.as_deref(), message, "{assertion}");
}

#[test]
fn every_source_is_found_in_what_was_seen() {
    for assertion in [
        "status == 503",
        "header Content-Type contains json",
        "header via contains b",
        "header x-none is empty",
        "body matches up",
        "json $.n >= 5",
        "json $.none is empty",
        "latency == 2300ms",
        "phase.wait == 300ms",
        "phase.tls is empty",
        "size == 23B",
        "redirects == 0",
        "http.version == 1.1",
        "tls.days_left == 14",
        "tls.version >= 1.3",
        "tls.issuer contains Example",
        "tls.san contains www.shop.example",
    ] {
        check(&answer(), assertion, None);
    }
}

#[test]
fn a_failure_says_what_was_seen_and_expected() {
    check(
        &answer(),
        "latency < 2s",
        Some("latency was 2s 300ms, expected < 2s"),
    );
    check(
        &answer(),
        "json $.database == \"down\"",
        Some("json $.database was \"up\", expected == \"down\""),
    );
    check(
        &answer(),
        "phase.tls < 1s",
        Some("phase.tls was nothing, expected < 1s"),
    );
}

#[test]
fn what_is_not_json_fails_even_negative_assertions() {
    let mut seen = answer();
    seen.body = Some("<html>".into());
    seen.size = Some(6);
    let verdict = judged(None, &seen, &["status > 0", "json $.a != 5"], &[]);
    assert_eq!(verdict.reason, Some(Reason::AssertionJson));
    let message = verdict.message.unwrap();
    assert!(message.starts_with("the body is not JSON ("), "{message}");
}

#[test]
fn more_nodes_than_are_looked_at_fail_even_negative_assertions() {
    let mut seen = answer();
    let nodes = vec!["0"; sonde_core::JsonQuery::NODES + 1].join(",");
    seen.body = Some(format!("[{nodes}]").into());
    check(
        &seen,
        "json $[*] != 5",
        Some("the path selects more than 10000 nodes, expected json $[*] != 5"),
    );
}

/// An answer of which only the start, `up and …`, was kept.
fn cut() -> Observation {
    let mut seen = answer();
    seen.body = Some("up and ".into());
    seen.size = Some(2_000_000);
    seen
}

#[test]
fn what_the_kept_part_of_a_body_says_of_the_whole_counts() {
    check(&cut(), "body contains up", None);
    check(&cut(), "body matches ^up", None);
    check(&cut(), "body is not empty", None);
    let failed = "body was up and, expected not contains \"up\"";
    check(&cut(), "body not contains up", Some(failed));
}

#[test]
fn what_the_rest_of_a_body_could_refute_does_not_hold() {
    for assertion in [
        "body not contains down",
        "body not matches down",
        "body contains down",
        "body != down",
        "body == \"up and \"",
        "body in [\"up and \"]",
        "body not in [down]",
    ] {
        let message = judged(None, &cut(), &["status > 0", assertion], &[]).message;
        let text = "the body is larger than the 7 bytes looked at, expected body ";
        let message = message.unwrap_or_default();
        assert!(message.starts_with(text), "{assertion}: {message}");
    }
    let degraded = ["body not contains down", "body != down"];
    assert_eq!(
        judged(None, &cut(), &["status > 0"], &degraded).reason,
        None
    );
}

#[test]
fn all_failures_are_listed_and_the_first_gives_the_reason() {
    let expect = ["body contains x", "latency < 2s", "header via contains b"];
    let verdict = judged(None, &answer(), &expect, &["latency < 1s"]);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert_eq!(verdict.reason, Some(Reason::HttpStatus));
    assert_eq!(
        verdict.message.unwrap(),
        "got 503, expected 2xx (and 2 more)"
    );
    let listed: Vec<_> = verdict.failed.iter().map(|one| &one.assertion).collect();
    assert_eq!(
        listed,
        ["status in 200..299", "body contains \"x\"", "latency < 2s"]
    );
}

#[test]
fn slow_but_right_is_degraded() {
    let degraded = ["latency > 1s", "phase.wait > 1s"];
    let verdict = judged(None, &answer(), &["status == 503"], &degraded);
    assert_eq!(verdict.outcome, Outcome::Degraded);
    assert_eq!(verdict.reason, Some(Reason::AssertionLatency));
    assert_eq!(verdict.failed.len(), 1);
    let verdict = judged(None, &answer(), &["status == 503"], &["latency > 3s"]);
    assert_eq!(verdict.outcome, Outcome::Ok);
    assert_eq!((verdict.reason, verdict.message), (None, None));
}

fn dns(rcode: &str, types: &[&str]) -> (Option<Spec>, Observation) {
    let spec = DnsSpec {
        name: "shop.example".to_owned(),
        record_type: "A".to_owned(),
        class: sonde_core::DnsClass::In,
        server: None,
        transport: DnsTransport::Udp,
        recursion: true,
        tls: sonde_core::TlsOptions::default(),
        network: sonde_core::NetworkOptions::default(),
    };
    let mut seen = nothing();
    let record = |(n, kind): (usize, &&str)| DnsRecord {
        name: "shop.example.".to_owned(),
        record_type: (*kind).to_owned(),
        ttl: 60 + u32::try_from(n).unwrap(),
        data: format!("192.0.2.{n}"),
    };
    seen.dns = Some(DnsDetail {
        rcode: rcode.to_owned(),
        transport: "udp".to_owned(),
        server: "192.0.2.53:53".to_owned(),
        authoritative: false,
        answer: types.iter().enumerate().map(record).collect(),
        authority: Vec::new(),
        additional: Vec::new(),
    });
    (Some(Spec::Dns(Box::new(spec))), seen)
}

#[track_caller]
fn check_dns(rcode: &str, types: &[&str], expect: &[&str], reason: Option<Reason>) {
    let (spec, seen) = dns(rcode, types);
    assert_eq!(judged(spec, &seen, expect, &[]).reason, reason);
}

#[test]
fn dns_needs_an_answer_of_the_type_asked_for_unless_something_else_is_asserted() {
    check_dns("NOERROR", &["CNAME", "A"], &[], None);
    check_dns("NOERROR", &["CNAME"], &[], Some(Reason::DnsNoAddress));
    check_dns("NOERROR", &[], &["dns.count == 0"], None);
    check_dns("NOERROR", &[], &["dns.answer is empty"], None);
    check_dns(
        "NOERROR",
        &[],
        &["dns.rcode == NOERROR"],
        Some(Reason::DnsNoAddress),
    );
    check_dns("NXDOMAIN", &[], &[], Some(Reason::DnsNxdomain));
    check_dns(
        "SERVFAIL",
        &[],
        &["dns.count == 0"],
        Some(Reason::DnsServfail),
    );
    check_dns("REFUSED", &[], &[], Some(Reason::DnsRefused));
    check_dns("NOTIMP", &[], &[], Some(Reason::DnsRcode));
    check_dns("NXDOMAIN", &[], &["dns.rcode == NXDOMAIN"], None);
}

#[test]
fn dns_sources_see_the_answer_section() {
    let expect = [
        "dns.count == 2",
        "dns.ttl == 1m",
        "dns.answer contains 192.0.2.0",
        "dns.answer not contains 192.0.2.9",
    ];
    check_dns("NOERROR", &["CNAME", "A", "A"], &expect, None);
}

#[test]
fn icmp_fails_when_nothing_comes_back_unless_loss_is_asserted() {
    let spec = || {
        Some(Spec::Icmp(IcmpSpec {
            host: "192.0.2.1".to_owned(),
            packets: 3,
            payload_size: 56,
            ttl: None,
            network: sonde_core::NetworkOptions::default(),
        }))
    };
    let mut seen = nothing();
    seen.icmp = Some(IcmpDetail {
        sent: 3,
        received: 0,
        min_us: None,
        avg_us: None,
        max_us: None,
    });
    let verdict = judged(spec(), &seen, &[], &[]);
    assert_eq!(verdict.reason, Some(Reason::IcmpTimeout));
    assert_eq!(
        verdict.message.unwrap(),
        "none of 3 echo requests to 192.0.2.1 was answered"
    );
    assert_eq!(
        judged(spec(), &seen, &["icmp.loss == 100%"], &[]).reason,
        None
    );
    seen.icmp.as_mut().unwrap().received = 2;
    assert_eq!(judged(spec(), &seen, &[], &[]).reason, None);
    let verdict = judged(spec(), &seen, &["icmp.loss < 20%"], &[]);
    assert_eq!(verdict.reason, Some(Reason::AssertionIcmp));
    assert_eq!(
        verdict.message.unwrap(),
        "icmp.loss was 33.3%, expected < 20%"
    );
}

#[test]
fn a_command_must_exit_with_zero_unless_its_code_is_asserted() {
    let spec = |warn_only| {
        Some(Spec::Exec(ExecSpec {
            command: "backup".to_owned(),
            arguments: Vec::new(),
            environment: std::collections::BTreeMap::default(),
            warn_only,
        }))
    };
    let mut seen = nothing();
    seen.exec = Some(ExecDetail {
        code: Some(3),
        output: "late".to_owned(),
    });
    let verdict = judged(spec(false), &seen, &[], &[]);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert_eq!(verdict.message.unwrap(), "backup exited with code 3");
    let verdict = judged(spec(true), &seen, &[], &[]);
    assert_eq!(verdict.outcome, Outcome::Degraded);
    assert_eq!(verdict.reason, Some(Reason::ExecFailed));
    let expect = ["exec.code == 3", "exec.output == late"];
    assert_eq!(judged(spec(false), &seen, &expect, &[]).reason, None);
}

#[test]
fn a_probe_that_failed_is_not_asserted_on() {
    let mut failure = Failure::new(Reason::ConnectRefused, "nothing listens there");
    failure.suspect = true;
    let mut monitor = Monitor::sample();
    monitor.expect = parse(&["latency < 1s"]);
    let total = Duration::from_secs(5);
    let verdict = judge(&monitor, &nothing(), Err(failure), total, now());
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert_eq!(verdict.reason, Some(Reason::ConnectRefused));
    assert_eq!(verdict.message.as_deref(), Some("nothing listens there"));
    assert!(verdict.suspect && verdict.failed.is_empty());
    let cut_off = Err(crate::observe::timed_out(Phase::Wait));
    let message = judge(&monitor, &nothing(), cut_off, total, now())
        .message
        .unwrap();
    assert_eq!(message, "http://shop.example/health: no first byte in time");
    let failure = Failure::new(Reason::Unsupported, "no right");
    let verdict = judge(&monitor, &nothing(), Err(failure), total, now());
    assert_eq!(verdict.outcome, Outcome::Missed);
}

const DAY: Duration = Duration::from_hours(24);

/// What a check of a domain comes to whose registration ends then.
fn domain(expires_at: Option<Timestamp>, expect: &[&str]) -> Verdict {
    let mut seen = nothing();
    seen.domain = Some(DomainDetail {
        expires_at,
        registered_at: None,
        registrar: Some("Example Registrar".to_owned()),
        status: vec!["active".to_owned(), "server hold".to_owned()],
        server: "https://rdap.example/".to_owned(),
    });
    let spec = Spec::Domain(Box::new(DomainSpec::of("shop.example".to_owned())));
    judged(Some(spec), &seen, expect, &[])
}

#[test]
fn a_domain_is_well_until_its_registration_ends() {
    assert_eq!(domain(Some(now() + DAY), &[]).outcome, Outcome::Ok);
    let ended = domain(Some(now() - DAY * 3), &[]);
    assert_eq!(ended.reason, Some(Reason::DomainExpired));
    let message = "the registration of shop.example ended 2025-11-17T12:00:00.000000Z";
    assert_eq!(ended.message.as_deref(), Some(message));
    let FailedAssertion {
        assertion, seen, ..
    } = &ended.failed[0];
    assert_eq!((&**assertion, &**seen), ("domain.days_left >= 0", "-3"));
    // Whoever asserts on it has their own opinion.
    let lenient = domain(Some(now() - DAY * 3), &["domain.days_left > -30"]);
    assert_eq!(lenient.outcome, Outcome::Ok);
}

#[test]
fn what_is_known_of_a_domain_can_be_asserted_on() {
    let ends = Some(now() + DAY * 20);
    let fine = [
        "domain.days_left == 20",
        "domain.status contains active",
        "domain.status not contains redemption period",
        "domain.registrar == \"Example Registrar\"",
    ];
    assert_eq!(domain(ends, &fine).outcome, Outcome::Ok);
    let near = domain(ends, &["domain.days_left > 30"]);
    assert_eq!(near.reason, Some(Reason::AssertionDomain));
    let message = "domain.days_left was 20, expected > 30";
    assert_eq!(near.message.as_deref(), Some(message));
}

#[test]
fn a_domain_whose_registry_tells_no_date_is_well_and_says_so() {
    let silent = domain(None, &[]);
    assert_eq!(silent.outcome, Outcome::Ok);
    let message = "https://rdap.example/ does not tell when the registration ends";
    assert_eq!(silent.message.as_deref(), Some(message));
    let asserted = domain(None, &["domain.days_left > 30"]);
    let message = "domain.days_left was nothing, expected > 30";
    assert_eq!(asserted.message.as_deref(), Some(message));
}
