//! One check, whole: what was tried, how long each part took, what was expected and what was seen.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use axum::routing::get;
use chrono_tz::Tz;
use sonde_core::{CheckResult, Region, RunId, Scope, Timestamp, Trigger};

use crate::chart::phases::{self, Step};
use crate::monitor::parsed;
use crate::viewer::{Place, Shell, Viewer};
use crate::{PageError, Pages, format, html};

pub(crate) fn router() -> Router<Arc<Pages>> {
    Router::new().route("/monitors/{id}/checks/{check}", get(page))
}

#[derive(Template)]
#[template(path = "check.html")]
struct Page {
    shell: Shell,
    result: CheckResult,
    at: String,
    why: Option<(String, String)>,
    /// Label and text.
    facts: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    total: String,
    attempts: Vec<(String, String)>,
    redirects: Vec<[String; 4]>,
    certificates: Vec<Vec<(&'static str, String)>>,
    records: Vec<[String; 4]>,
    /// Title and text.
    evidence: Vec<(&'static str, String)>,
    may_run: bool,
}

async fn page(
    Shared(pages): Shared<Arc<Pages>>,
    viewer: Viewer,
    Path((id, check)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let id = parsed(&id)?;
    let (slot, region, run_id) = key(&check).ok_or(PageError::NotFound)?;
    let result = viewer.access.result(&id, region, slot, run_id).await?;
    let now = pages.service.now();
    let title = format!("{}: {} from {}", result.name, result.outcome, result.region);
    let (zone, access) = (viewer.zone, &viewer.access);
    html(&Page {
        shell: Shell::new(&viewer, Place::Monitors, title, now),
        at: format::moment(result.slot, zone),
        why: format::why(&result),
        facts: [facts(&result, zone), registration(&result, zone)].concat(),
        steps: phases::waterfall(&result),
        total: format::latency_or_nothing(result.total_us),
        attempts: attempts(&result),
        redirects: redirects(&result),
        certificates: certificates(&result, zone, now),
        records: records(&result),
        evidence: evidence(&result),
        may_run: access.grant().scopes.contains(&Scope::ChecksRun),
        result,
    })
}

/// As [`crate::checks::link`] writes it.
fn key(text: &str) -> Option<(Timestamp, Region, RunId)> {
    let (slot, rest) = text.split_once('.')?;
    let (region, run_id) = rest.rsplit_once('.')?;
    Some((
        Timestamp::from_micros(slot.parse().ok()?),
        region.parse().ok()?,
        RunId::from_u64(run_id.parse().ok()?),
    ))
}

fn facts(result: &CheckResult, zone: Tz) -> Vec<(&'static str, String)> {
    let micros = |micros: Option<u64>| micros.map(format::latency);
    let http = result.http.as_ref();
    let tls = result.tls.as_ref();
    let icmp = result.icmp.as_ref();
    let facts = [
        ("Target", Some(result.target.clone())),
        ("Region", Some(result.region.to_string())),
        ("Address", result.remote_address.clone()),
        ("Status", http.map(|it| it.status.to_string())),
        ("HTTP version", http.map(|it| it.version.clone())),
        (
            "Body",
            http.map(|it| format!("{} bytes on the wire", format::count(it.bytes))),
        ),
        ("TLS version", tls.and_then(|it| it.version.clone())),
        ("Cipher", tls.and_then(|it| it.cipher.clone())),
        ("Protocol", tls.and_then(|it| it.alpn.clone())),
        (
            "Answer",
            result
                .dns
                .as_ref()
                .map(|it| format!("{} from {} over {}", it.rcode, it.server, it.transport)),
        ),
        (
            "Packets",
            icmp.map(|it| format!("{} of {} came back", it.received, it.sent)),
        ),
        (
            "Exit code",
            result
                .exec
                .as_ref()
                .and_then(|it| it.code)
                .map(|code| code.to_string()),
        ),
        (
            "Started by",
            Some(match result.trigger {
                Trigger::Schedule => format!(
                    "its schedule, every {}",
                    format::span(std::time::Duration::from_micros(result.interval_us))
                ),
                Trigger::OnDemand => "somebody, on demand".to_owned(),
            }),
        ),
        ("Due", Some(format::moment(result.slot, zone))),
        (
            "Began",
            result.started_at.map(|at| format::moment(at, zone)),
        ),
        ("Dispatched after", micros(result.schedule_lag_us)),
        ("Waited in the queue", micros(result.queue_wait_us)),
        (
            "Checker",
            result
                .checker
                .as_ref()
                .map(|it| format!("{} ({})", it.id, it.version)),
        ),
        (
            "Maintenance",
            result
                .in_maintenance
                .then(|| "it does not count".to_owned()),
        ),
        (
            "Suspect",
            result
                .suspect
                .then(|| "the checker itself was unwell: nobody is alerted".to_owned()),
        ),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(label, text)| Some((label, text?)));
    facts.collect()
}

/// Of a domain.
fn registration(result: &CheckResult, zone: Tz) -> Vec<(&'static str, String)> {
    let Some(domain) = &result.domain else {
        return Vec::new();
    };
    let day = |at: Option<Timestamp>| at.map(|at| format::written(at, zone, "%Y-%m-%d"));
    let facts = [
        ("Registered", day(domain.registered_at)),
        ("Registered until", day(domain.expires_at)),
        ("Registrar", domain.registrar.clone()),
        ("Registration", Some(domain.status.join(", "))),
        ("RDAP server", Some(domain.server.clone())),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(label, text)| Some((label, text?)));
    facts.filter(|(_, text)| !text.is_empty()).collect()
}

/// What came of each, and how long it took.
fn attempts(result: &CheckResult) -> Vec<(String, String)> {
    let attempts = result.attempts.iter().map(|attempt| {
        let what = attempt
            .reason
            .map_or_else(|| "answered".to_owned(), |it| it.to_string());
        (what, format::latency(attempt.total_us))
    });
    attempts.collect()
}

fn redirects(result: &CheckResult) -> Vec<[String; 4]> {
    let hops = result.http.iter().flat_map(|http| &http.redirects);
    let hops = hops.map(|hop| {
        let took: u64 = hop.phases_us.iter().map(|(_, micros)| micros).sum();
        [
            hop.status.to_string(),
            format!("{} → {}", hop.url, hop.location),
            hop.address.clone(),
            format::latency(took),
        ]
    });
    hops.collect()
}

fn certificates(
    result: &CheckResult,
    zone: Tz,
    now: Timestamp,
) -> Vec<Vec<(&'static str, String)>> {
    let chain = result.tls.iter().flat_map(|tls| &tls.certificates);
    let chain = chain.map(|it| {
        let day = |at| format::written(at, zone, "%Y-%m-%d");
        let left = it.not_after.since(now);
        let left = if left.is_zero() {
            "expired".to_owned()
        } else {
            format!("{} left", format::span(left))
        };
        let mut lines = vec![
            ("Subject", it.subject.clone()),
            ("Issuer", it.issuer.clone()),
            (
                "Valid",
                format!("{} to {}, {left}", day(it.not_before), day(it.not_after)),
            ),
        ];
        if !it.san.is_empty() {
            lines.push(("Names", it.san.join(", ")));
        }
        lines.push(("SHA-256", it.sha256.clone()));
        lines
    });
    chain.collect()
}

fn records(result: &CheckResult) -> Vec<[String; 4]> {
    let dns = result.dns.iter();
    let records = dns.flat_map(|dns| {
        dns.answer
            .iter()
            .chain(&dns.authority)
            .chain(&dns.additional)
    });
    let records = records.map(|it| {
        [
            it.name.clone(),
            it.record_type.clone(),
            it.ttl.to_string(),
            it.data.clone(),
        ]
    });
    records.collect()
}

fn evidence(result: &CheckResult) -> Vec<(&'static str, String)> {
    let kept = result.evidence.clone().unwrap_or_default();
    let addresses = (!kept.addresses.is_empty()).then(|| kept.addresses.join("\n"));
    let texts = [
        ("Response headers", kept.response_head),
        ("Beginning of the body", kept.body),
        ("Certificate", kept.certificate_subject),
        ("Addresses", addresses),
        ("Reply", result.tcp.as_ref().map(|it| it.reply.clone())),
        ("Output", result.exec.as_ref().map(|it| it.output.clone())),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(title, text)| Some((title, text?)));
    texts.filter(|(_, text)| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_its_check() {
        let result = CheckResult::sample();
        let link = crate::checks::link(&result);
        let (_, text) = link.rsplit_once('/').unwrap();
        assert_eq!(key(text), Some((result.slot, result.region, result.run_id)));
        assert_eq!(key("yesterday"), None);
        assert_eq!(key("1.fra"), None);
    }
}
