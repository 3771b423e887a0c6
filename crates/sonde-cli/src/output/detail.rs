//! Everything that is known about one result, for people: `sonde probe`, and what went wrong below a line of `check`.

use std::time::Duration;

use anstyle::Style;
use sonde_core::{
    CertificateDetail, CheckResult, DnsDetail, DnsRecord, DomainDetail, ExecDetail, HttpDetail,
    IcmpDetail, Outcome, Redirect, Timestamp, TlsDetail,
};

use super::style::{
    BOLD, DIM, Painted, RED, YELLOW, cut, mark, outcome_style, paint, show_bytes, show_micros,
};
use super::{hints, waterfall};

/// Columns of a terminal that nobody has widened.
const WIDTH: usize = 80;

/// Where the values stand, right of the labels.
const INDENT: usize = 12;

/// How much of a failure's body is shown; the JSON has more.
const BODY_LINES: usize = 5;

/// A certificate or a domain with less time left is shown as a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 86_400;

/// The whole picture: outcome, phases, and what the kind adds. `now` is what certificates are held against.
pub(crate) fn picture(result: &CheckResult, now: Timestamp) -> String {
    let mut verdict = vec![headline(result)];
    if let Some(reason) = result.reason {
        let style = outcome_style(result.outcome);
        verdict.push(format!("  {}", paint(style, reason)));
    }
    verdict.extend(paragraph(&what_went_wrong(result), Style::new()));
    if let Some(hint) = result
        .reason
        .and_then(|reason| hints::of(result.kind, reason))
    {
        verdict.extend(paragraph(&format!("hint: {hint}"), DIM));
    }
    let phases = waterfall::draw(&result.phases_us, result.total_us);
    let blocks = [verdict, phases, fields(result, now)]
        .into_iter()
        .filter(|block| !block.is_empty());
    let blocks: Vec<String> = blocks.map(|block| block.join("\n") + "\n").collect();
    blocks.join("\n")
}

/// Why an outcome is not ok: the assertions that did not hold, or else the message; then the attempts.
pub(super) fn what_went_wrong(result: &CheckResult) -> String {
    let mark = paint(outcome_style(result.outcome), mark(result.outcome)).to_string();
    let seen = paint(DIM, "seen").to_string();
    let failed = result.failed.iter().map(|failed| {
        let (assertion, value) = (visible(&failed.assertion), visible(&failed.seen));
        format!("{mark} {assertion}  {seen} {value}")
    });
    let mut told: Vec<String> = failed.collect();
    if told.is_empty() {
        told.extend(result.message.as_deref().map(without_controls));
    }
    if result.attempts.len() > 1 {
        told.push(paint(DIM, attempts(result)).to_string());
    }
    told.join("\n")
}

/// The same without colour, for files.
pub(super) fn plain(result: &CheckResult) -> String {
    let styled = what_went_wrong(result);
    anstream::adapter::strip_str(&styled).to_string()
}

/// `4 attempts: connect_refused × 3, ok`
fn attempts(result: &CheckResult) -> String {
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for attempt in &result.attempts {
        let label = attempt.reason.map_or("ok", |reason| reason.as_str());
        match runs.last_mut() {
            Some((last, count)) if *last == label => *count += 1,
            _ => runs.push((label, 1)),
        }
    }
    let shown = runs.into_iter().map(|(label, count)| match count {
        1 => label.to_owned(),
        _ => format!("{label} × {count}"),
    });
    let shown: Vec<String> = shown.collect();
    format!("{} attempts: {}", result.attempts.len(), shown.join(", "))
}

/// Mark and target on the left, outcome and time at the right edge where there is room.
fn headline(result: &CheckResult) -> String {
    let outcome = match (result.outcome, result.total_us) {
        (Outcome::Failed, Some(total)) => format!("failed after {}", show_micros(total)),
        (outcome, Some(total)) => format!("{outcome} in {}", show_micros(total)),
        (outcome, None) => outcome.to_string(),
    };
    let style = outcome_style(result.outcome);
    let used = 2 + result.target.chars().count() + outcome.chars().count();
    let gap = " ".repeat(WIDTH.saturating_sub(used).max(2));
    format!(
        "{} {}{gap}{}",
        paint(style, mark(result.outcome)),
        paint(BOLD, &result.target),
        paint(style, outcome)
    )
}

/// Wrapped at the terminal's width, two columns in; lines that came with colours stay whole.
fn paragraph(text: &str, style: Style) -> Vec<String> {
    let lines = text.lines().flat_map(|line| {
        if line.contains('\u{1b}') {
            vec![line.to_owned()]
        } else {
            wrap(line, WIDTH - 2)
        }
    });
    lines
        .map(|line| format!("  {}", paint(style, line)))
        .collect()
}

/// Breaks at spaces; a word that is too long stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Labelled lines, aligned with the phases above them.
fn fields(result: &CheckResult, now: Timestamp) -> Vec<String> {
    let mut fields = Fields::default();
    if let Some(address) = &result.remote_address {
        fields.add("address", [address.clone()]);
    }
    if let Some(http) = &result.http {
        http_fields(http, &mut fields);
    }
    if let Some(tls) = &result.tls {
        tls_fields(tls, now, &mut fields);
    }
    if let Some(dns) = &result.dns {
        dns_fields(dns, &mut fields);
    }
    if let Some(icmp) = &result.icmp {
        fields.add("icmp", icmp_lines(icmp));
    }
    if let Some(domain) = &result.domain {
        domain_fields(domain, now, &mut fields);
    }
    if let Some(tcp) = result.tcp.as_ref().filter(|tcp| !tcp.reply.is_empty()) {
        fields.add("reply", tcp.reply.lines().map(visible));
    }
    if let Some(ExecDetail { code, output }) = &result.exec {
        let code = code.map_or("ended by a signal".to_owned(), |code| {
            format!("exit code {code}")
        });
        fields.add(
            "exec",
            std::iter::once(code).chain(output.lines().map(visible)),
        );
    }
    if let Some(evidence) = &result.evidence {
        let head = evidence.response_head.iter().flat_map(|head| head.lines());
        fields.add("answer", head.map(visible));
        let body = evidence.body.iter().flat_map(|body| body.lines());
        fields.add("body", body.take(BODY_LINES).map(visible));
    }
    fields.lines
}

#[derive(Default)]
struct Fields {
    lines: Vec<String>,
}

impl Fields {
    /// The label stands on the first line only.
    fn add(&mut self, label: &str, lines: impl IntoIterator<Item = String>) {
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        for (label, line) in labels.zip(lines) {
            let label = paint(DIM, format!("{label:<width$}", width = INDENT - 2));
            self.lines.push(format!("  {label}{line}"));
        }
    }
}

/// What others sent, on one line of the fields.
fn visible(text: &str) -> String {
    cut(&without_controls(text), WIDTH - INDENT)
}

/// Control characters in what others sent could steer the terminal.
fn without_controls(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '·' } else { c });
    clean.collect()
}

fn http_fields(http: &HttpDetail, fields: &mut Fields) {
    for Redirect {
        status,
        url,
        location,
        phases_us,
        ..
    } in &http.redirects
    {
        let took = phases_us.iter().map(|(_, took)| took).sum();
        fields.add(
            "redirect",
            [
                format!(
                    "{status} {}  {}",
                    visible(url),
                    paint(DIM, show_micros(took))
                ),
                format!("→ {}", visible(location)),
            ],
        );
    }
    let HttpDetail {
        status,
        version,
        bytes,
        ..
    } = http;
    fields.add(
        "http",
        [format!(
            "{status}, HTTP/{version}, {} of body",
            show_bytes(*bytes)
        )],
    );
}

fn tls_fields(tls: &TlsDetail, now: Timestamp, fields: &mut Fields) {
    let version = tls.version.as_ref().map(|version| format!("TLS {version}"));
    let alpn = tls.alpn.as_ref().map(|alpn| format!("ALPN {alpn}"));
    let session: Vec<String> = [version, tls.cipher.clone(), alpn]
        .into_iter()
        .flatten()
        .collect();
    if !session.is_empty() {
        fields.add("tls", [visible(&session.join(", "))]);
    }
    for (n, certificate) in tls.certificates.iter().enumerate() {
        let label = if n == 0 { "cert" } else { "issuer" };
        fields.add(label, certificate_lines(certificate, now));
    }
}

fn certificate_lines(certificate: &CertificateDetail, now: Timestamp) -> Vec<String> {
    let CertificateDetail {
        subject,
        issuer,
        san,
        not_before,
        not_after,
        ..
    } = certificate;
    let validity = if *not_before > now {
        paint(RED, format!("not valid before {}", date(*not_before)))
    } else {
        time_left(*not_after, now)
    };
    let by = if issuer == subject {
        "self-signed".to_owned()
    } else {
        format!("by {issuer}")
    };
    let mut lines = vec![visible(subject), format!("{validity}, {}", visible(&by))];
    if !san.is_empty() {
        lines.push(visible(&format!("for {}", san.join(", "))));
    }
    lines
}

fn time_left(ends: Timestamp, now: Timestamp) -> Painted<String> {
    let left = ends.since(now);
    let days = |time: Duration| match time.as_secs() / DAY {
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if left.is_zero() {
        let ago = days(now.since(ends));
        return paint(RED, format!("expired {ago} ago, on {}", date(ends)));
    }
    let style = if left < EXPIRES_SOON {
        YELLOW
    } else {
        Style::new()
    };
    paint(style, format!("{} left, until {}", days(left), date(ends)))
}

fn domain_fields(domain: &DomainDetail, now: Timestamp, fields: &mut Fields) {
    let DomainDetail {
        expires_at,
        registered_at,
        registrar,
        status,
        server,
    } = domain;
    let left = expires_at.map(|ends| time_left(ends, now).to_string());
    let since = registered_at.map(|at| format!("registered on {}", date(at)));
    let by = registrar.as_ref().map(|by| visible(&format!("by {by}")));
    fields.add("domain", [left, since, by].into_iter().flatten());
    if !status.is_empty() {
        fields.add("status", [visible(&status.join(", "))]);
    }
    fields.add("server", [visible(server)]);
}

/// `2026-01-31`
fn date(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

fn dns_fields(dns: &DnsDetail, fields: &mut Fields) {
    let DnsDetail {
        rcode,
        transport,
        server,
        authoritative,
        ..
    } = dns;
    let authoritative = if *authoritative {
        ", authoritative"
    } else {
        ""
    };
    fields.add(
        "dns",
        [format!(
            "{rcode} from {server} over {transport}{authoritative}"
        )],
    );
    for (label, records) in [
        ("answer", &dns.answer),
        ("authority", &dns.authority),
        ("more", &dns.additional),
    ] {
        fields.add(label, record_lines(records));
    }
}

/// Records as a zone file has them, in columns.
fn record_lines(records: &[DnsRecord]) -> Vec<String> {
    let width = |of: fn(&DnsRecord) -> usize| records.iter().map(of).max().unwrap_or(0);
    let name = width(|record| record.name.chars().count());
    let ttl = width(|record| record.ttl.to_string().len());
    let kind = width(|record| record.record_type.len());
    let line = |record: &DnsRecord| {
        let DnsRecord {
            name: of,
            ttl: seconds,
            record_type,
            data,
        } = record;
        visible(&format!(
            "{of:name$}  {seconds:ttl$}  {record_type:kind$}  {data}"
        ))
    };
    records.iter().map(line).collect()
}

fn icmp_lines(icmp: &IcmpDetail) -> Vec<String> {
    let loss = icmp.loss_percent();
    let mut lines = vec![format!(
        "{} sent, {} received, {loss:.0} % lost",
        icmp.sent, icmp.received
    )];
    if let (Some(min), Some(avg), Some(max)) = (icmp.min_us, icmp.avg_us, icmp.max_us) {
        let [min, avg, max] = [min, avg, max].map(show_micros);
        lines.push(format!("min {min}, avg {avg}, max {max}"));
    }
    lines
}
