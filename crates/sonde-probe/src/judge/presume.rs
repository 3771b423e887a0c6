//! What a kind takes for granted as long as no assertion says otherwise.

use sonde_core::{DnsSpec, DomainSpec, FailedAssertion, Monitor, Reason, Source, Spec};

use super::Broken;
use super::look::Look;
use crate::dns;

/// The first presumption that does not hold. An assertion on the same thing takes its place.
pub(super) fn broken(monitor: &Monitor, look: &Look<'_>) -> Option<Broken> {
    let asserted = |source: &Source| monitor.expect.iter().any(|one| one.source == *source);
    match &monitor.spec {
        Spec::Http(_) if !asserted(&Source::Status) => status(look),
        Spec::Dns(spec) => {
            let any_rcode = asserted(&Source::DnsRcode);
            let any_answer = asserted(&Source::DnsCount) || asserted(&Source::DnsAnswer);
            let rcode = (!any_rcode).then(|| rcode(spec, look)).flatten();
            rcode.or_else(|| (!any_answer).then(|| records(spec, look)).flatten())
        }
        Spec::Icmp(_) if !asserted(&Source::IcmpLoss) => replies(monitor, look),
        Spec::Domain(spec) if !asserted(&Source::DomainDaysLeft) => expired(spec, look),
        Spec::Exec(_) if !asserted(&Source::ExecCode) => code(monitor, look),
        _ => None,
    }
}

fn presumed(reason: Reason, message: String, assertion: &str, seen: &str) -> Broken {
    let expected = assertion.split_once(' ').map_or("", |(_, rest)| rest);
    Broken {
        reason,
        message,
        failed: FailedAssertion {
            assertion: assertion.to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
        },
    }
}

fn status(look: &Look<'_>) -> Option<Broken> {
    let status = look.seen.http.as_ref()?.status;
    if (200..300).contains(&status) {
        return None;
    }
    let message = format!("got {status}, expected 2xx");
    let (assertion, seen) = ("status in 200..299", status.to_string());
    Some(presumed(Reason::HttpStatus, message, assertion, &seen))
}

fn rcode(spec: &DnsSpec, look: &Look<'_>) -> Option<Broken> {
    let dns = look.seen.dns.as_ref()?;
    let reason = match dns.rcode.as_str() {
        "NOERROR" => return None,
        "NXDOMAIN" => Reason::DnsNxdomain,
        "SERVFAIL" => Reason::DnsServfail,
        "REFUSED" => Reason::DnsRefused,
        _ => Reason::DnsRcode,
    };
    let (server, rcode) = (&dns.server, &dns.rcode);
    let (name, wanted) = (&spec.name, &spec.record_type);
    let message = format!("{server} answered {rcode} when asked for {name} {wanted}");
    Some(presumed(reason, message, "dns.rcode == NOERROR", rcode))
}

fn records(spec: &DnsSpec, look: &Look<'_>) -> Option<Broken> {
    let dns = look.seen.dns.as_ref()?;
    if dns.rcode != "NOERROR" || dns::of_type(dns, &spec.record_type).next().is_some() {
        return None;
    }
    let (name, wanted, server) = (&spec.name, &spec.record_type, &dns.server);
    let message = format!("{server} has no {wanted} record for {name}");
    Some(presumed(
        Reason::DnsNoAddress,
        message,
        "dns.count > 0",
        "0",
    ))
}

fn replies(monitor: &Monitor, look: &Look<'_>) -> Option<Broken> {
    let icmp = look.seen.icmp.as_ref().filter(|icmp| icmp.received == 0)?;
    let (sent, target) = (icmp.sent, monitor.target());
    let message = format!("none of {sent} echo requests to {target} was answered");
    Some(presumed(
        Reason::IcmpTimeout,
        message,
        "icmp.loss < 100%",
        "100%",
    ))
}

fn expired(spec: &DomainSpec, look: &Look<'_>) -> Option<Broken> {
    let ends = look.seen.domain.as_ref()?.expires_at?;
    let seen = look.ended(ends)?;
    let message = format!("the registration of {} ended {ends}", spec.name);
    let assertion = "domain.days_left >= 0";
    Some(presumed(Reason::DomainExpired, message, assertion, &seen))
}

/// What is worth saying of a check that is well.
pub(super) fn remark(look: &Look<'_>) -> Option<String> {
    let domain = look.seen.domain.as_ref()?;
    let is_silent = domain.expires_at.is_none();
    is_silent.then(|| format!("{} does not tell when the registration ends", domain.server))
}

fn code(monitor: &Monitor, look: &Look<'_>) -> Option<Broken> {
    let exec = look
        .seen
        .exec
        .as_ref()
        .filter(|exec| exec.code != Some(0))?;
    let command = monitor.target();
    let (message, seen) = match exec.code {
        Some(code) => (
            format!("{command} exited with code {code}"),
            code.to_string(),
        ),
        None => (
            format!("{command} was ended by a signal"),
            "a signal".to_owned(),
        ),
    };
    Some(presumed(
        Reason::ExecFailed,
        message,
        "exec.code == 0",
        &seen,
    ))
}
