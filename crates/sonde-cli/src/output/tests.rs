//! What each format makes of the same results.

use std::time::Duration;

use sonde_core::{
    Attempt, CertificateDetail, FailedAssertion, HttpDetail, Kind, Monitor, Phase, Phases, Reason,
    Redirect, Timestamp, TlsDetail,
};

use super::*;

/// 2025-11-20T12:00:00Z, when the samples were taken.
const NOW: Timestamp = Timestamp::from_micros(1_763_640_000_000_000);

fn sample(id: &str, outcome: Outcome) -> CheckResult {
    CheckResult {
        monitor: id.parse().unwrap(),
        ..CheckResult::sample_executed(outcome, Duration::from_millis(1))
    }
}

fn ok() -> CheckResult {
    let mut result = sample("shop", Outcome::Ok);
    let times = [
        (Phase::Dns, 1_204),
        (Phase::Connect, 11_200),
        (Phase::Tls, 24_810),
        (Phase::Send, 41),
        (Phase::Wait, 38_400),
        (Phase::Receive, 2_380),
    ];
    for (phase, micros) in times {
        result.phases_us.add(phase, micros);
    }
    result.target = "https://shop.example/health".to_owned();
    result.total_us = Some(78_100);
    result.remote_address = Some("203.0.113.10:443".to_owned());
    result.http = Some(HttpDetail {
        status: 200,
        version: "2".to_owned(),
        bytes: 1_234,
        redirects: vec![Redirect {
            status: 301,
            url: "http://shop.example/health".to_owned(),
            location: "https://shop.example/health".to_owned(),
            address: "203.0.113.10:80".to_owned(),
            phases_us: Phases {
                wait: Some(900),
                ..Phases::default()
            },
        }],
    });
    let certificate = |subject: &str, issuer: &str, days: u64| CertificateDetail {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        san: vec!["shop.example".to_owned(), "www.shop.example".to_owned()],
        not_before: NOW - Duration::from_hours(24),
        not_after: NOW + Duration::from_hours(24 * days),
        sha256: "00".repeat(32),
    };
    result.tls = Some(TlsDetail {
        version: Some("1.3".to_owned()),
        cipher: Some("TLS13_AES_256_GCM_SHA384".to_owned()),
        alpn: Some("h2".to_owned()),
        certificates: vec![
            certificate("CN=shop.example", "CN=R11, O=Let's Encrypt", 12),
            certificate("CN=R11, O=Let's Encrypt", "CN=ISRG Root X1", 400),
        ],
    });
    result
}

fn degraded() -> CheckResult {
    let mut result = sample("shop-search", Outcome::Degraded);
    result.reason = Some(Reason::AssertionLatency);
    result.total_us = Some(612_000);
    result.failed = vec![FailedAssertion {
        assertion: "latency > 400ms".to_owned(),
        expected: "<= 400ms".to_owned(),
        seen: "612ms".to_owned(),
    }];
    result
}

fn failed() -> CheckResult {
    let mut result = sample("db", Outcome::Failed);
    result.kind = Kind::Tcp;
    result.target = "db.internal:5432".to_owned();
    result.reason = Some(Reason::ConnectRefused);
    result.message =
        Some("10.0.0.7:5432 refused the connection: \"nothing\" listens there".to_owned());
    result.attempts = vec![
        Attempt {
            reason: result.reason,
            total_us: 1_000
        };
        4
    ];
    result.phases_us.add(Phase::Dns, 310);
    result.phases_us.add(Phase::Connect, 690);
    result
}

fn missed() -> CheckResult {
    let mut result = CheckResult {
        monitor: "gateway".parse().unwrap(),
        ..CheckResult::sample()
    };
    result.kind = Kind::Icmp;
    result.target = "10.0.0.1".to_owned();
    result.reason = Some(Reason::Unsupported);
    result.message = Some("this process may not send ICMP: give it CAP_NET_RAW".to_owned());
    result
}

/// All that a run writes in a format, without colour.
fn written(format: Format) -> String {
    let results = [ok(), degraded(), failed(), missed()];
    let monitors = results.iter().map(|result| Monitor {
        id: result.monitor.clone(),
        ..Monitor::sample()
    });
    let monitors: Vec<_> = monitors.collect();
    let mut report = Report::new(format, monitors.iter());
    let summary = Summary::new(&results, Duration::from_millis(1_234));
    let mut text = report.head(results.len());
    for result in &results {
        text += &report.result(result).unwrap();
    }
    text += &report.tail(&results, &summary).unwrap();
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn pretty_lines_are_aligned_and_say_what_went_wrong() {
    insta::assert_snapshot!(written(Format::Pretty));
}

#[test]
fn json_is_one_document_with_a_summary() {
    let document: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
    insta::assert_json_snapshot!(document["summary"]);
    let results: Vec<CheckResult> = serde_json::from_value(document["results"].clone()).unwrap();
    assert_eq!(results, [ok(), degraded(), failed(), missed()]);
}

#[test]
fn ndjson_is_one_result_per_line() {
    let text = written(Format::Ndjson);
    let results = text
        .lines()
        .map(|line| serde_json::from_str::<CheckResult>(line).unwrap());
    assert!(results.eq([ok(), degraded(), failed(), missed()]));
}

#[test]
fn junit_tells_failures_from_what_could_not_be_run() {
    insta::assert_snapshot!(written(Format::Junit));
}

#[test]
fn tap_lets_nothing_that_was_not_run_pass() {
    insta::assert_snapshot!(written(Format::Tap));
}

#[test]
fn prometheus_has_no_sample_for_what_was_not_measured() {
    insta::assert_snapshot!(written(Format::Prometheus));
}

#[test]
fn a_probe_shows_all_that_is_known() {
    let picture = |result: &CheckResult| {
        anstream::adapter::strip_str(&detail::picture(result, NOW)).to_string()
    };
    insta::assert_snapshot!("probe_ok", picture(&ok()));
    insta::assert_snapshot!("probe_failed", picture(&failed()));
    for result in [ok(), degraded(), failed(), missed()] {
        for line in picture(&result).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn what_a_server_sends_cannot_steer_the_terminal() {
    let evil = "\u{1b}[2Jevil".to_owned();
    let mut result = failed();
    result.tls = ok().tls;
    result.tls.as_mut().unwrap().certificates[0]
        .subject
        .clone_from(&evil);
    result.message = Some(evil.clone());
    assert!(!detail::picture(&result, NOW).contains(&evil));
    result.failed = degraded().failed;
    result.failed[0].seen.clone_from(&evil);
    assert!(!detail::picture(&result, NOW).contains(&evil));
}
