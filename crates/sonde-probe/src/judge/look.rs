//! What each assertion's source is in one observation.

use std::cell::OnceCell;
use std::time::Duration;

use serde_json::Value as Json;
use sonde_core::{Assertion, Comparator, JsonQuery, Seen, Source, Spec, Timestamp};

use crate::dns;
use crate::observe::Observation;

const DAY_US: i64 = 86_400_000_000;

/// An observation, when it ended, and its body as JSON once somebody has asked.
pub(super) struct Look<'a> {
    pub(super) seen: &'a Observation,
    spec: &'a Spec,
    total: Duration,
    now: Timestamp,
    json: OnceCell<Result<Json, String>>,
}

impl<'a> Look<'a> {
    pub(super) fn at(
        seen: &'a Observation,
        spec: &'a Spec,
        total: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            seen,
            spec,
            total,
            now,
            json: OnceCell::new(),
        }
    }

    /// What `assertion` looks at. `Err` says why there is nothing to compare with, so that not even a negative assertion
    /// may hold.
    pub(super) fn see(&self, assertion: &Assertion) -> Result<Seen<'_>, String> {
        let seen = self.find(&assertion.source)?;
        match cut_off(self.seen) {
            Some(kept) if assertion.source == Source::Body && !settles(&seen, assertion) => Err(
                format!("the body is larger than the {kept} bytes looked at"),
            ),
            _ => Ok(seen),
        }
    }

    fn find(&self, source: &Source) -> Result<Seen<'_>, String> {
        let seen = self.seen;
        let found = match source {
            Source::Json(query) => {
                let document = self.json.get_or_init(|| parse(seen));
                let document = document.as_ref().map_err(Clone::clone)?;
                Some(Seen::Json(query.select(document).ok_or_else(too_many)?))
            }
            Source::Status => seen
                .http
                .as_ref()
                .map(|http| Seen::Number(http.status.into())),
            Source::HttpVersion => seen.http.as_ref().map(|http| text(&http.version)),
            Source::Redirects => (seen.http.as_ref()).map(|http| count(http.redirects.len())),
            Source::Header(name) => self.header(name),
            Source::Body => {
                (seen.body.as_ref()).map(|body| Seen::Text(String::from_utf8_lossy(body)))
            }
            Source::Size => seen.size.map(number),
            Source::Latency => Some(number(
                u64::try_from(self.total.as_micros()).unwrap_or(u64::MAX),
            )),
            Source::Phase(phase) => seen.phases.get(*phase).map(number),
            Source::TlsDaysLeft | Source::TlsVersion | Source::TlsIssuer | Source::TlsSan => {
                self.tls(source)
            }
            Source::DnsRcode | Source::DnsAnswer | Source::DnsTtl | Source::DnsCount => {
                self.dns(source)
            }
            Source::IcmpLoss => (seen.icmp.as_ref()).map(|icmp| Seen::Number(icmp.loss_percent())),
            Source::IcmpAvg => seen.icmp.as_ref().and_then(|icmp| icmp.avg_us).map(number),
            Source::IcmpMax => seen.icmp.as_ref().and_then(|icmp| icmp.max_us).map(number),
            Source::TcpReply => seen.tcp.as_ref().map(|tcp| text(&tcp.reply)),
            Source::ExecCode => (seen.exec.as_ref())
                .and_then(|exec| exec.code)
                .map(|code| Seen::Number(code.into())),
            Source::DomainDaysLeft | Source::DomainStatus | Source::DomainRegistrar => {
                self.domain(source)
            }
            Source::ExecOutput => seen.exec.as_ref().map(|exec| text(&exec.output)),
        };
        Ok(found.unwrap_or(Seen::Missing))
    }

    fn header(&self, name: &str) -> Option<Seen<'_>> {
        let values = self.seen.headers.get_all(name).iter();
        let mut values: Vec<String> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        match values.len() {
            0 => None,
            1 => values.pop().map(|value| Seen::Text(value.into())),
            _ => Some(Seen::List(values)),
        }
    }

    fn tls(&self, source: &Source) -> Option<Seen<'_>> {
        let tls = self.seen.tls.as_ref()?;
        let leaf = tls.certificates.first();
        match source {
            Source::TlsVersion => tls.version.as_deref().map(text),
            Source::TlsIssuer => leaf.map(|leaf| text(&leaf.issuer)),
            Source::TlsSan => leaf.map(|leaf| Seen::List(leaf.san.clone())),
            _ => leaf.map(|leaf| Seen::Number(days_left(leaf.not_after, self.now))),
        }
    }

    fn domain(&self, source: &Source) -> Option<Seen<'_>> {
        let domain = self.seen.domain.as_ref()?;
        match source {
            Source::DomainStatus => Some(Seen::List(domain.status.clone())),
            Source::DomainRegistrar => domain.registrar.as_deref().map(text),
            _ => (domain.expires_at).map(|ends| Seen::Number(days_left(ends, self.now))),
        }
    }

    /// How many days are left of what has ended; `None` as long as it has not.
    pub(super) fn ended(&self, ends: Timestamp) -> Option<String> {
        (ends <= self.now).then(|| days_left(ends, self.now).to_string())
    }

    /// The answer's records as they came, aliases included; the count is of the type that was asked for.
    fn dns(&self, source: &Source) -> Option<Seen<'_>> {
        let dns = self.seen.dns.as_ref()?;
        match source {
            Source::DnsRcode => Some(text(&dns.rcode)),
            Source::DnsTtl => {
                let ttl = dns.answer.iter().map(|record| record.ttl).min();
                ttl.map(|seconds| number(u64::from(seconds) * 1_000_000))
            }
            Source::DnsCount => {
                let Spec::Dns(spec) = self.spec else {
                    return None;
                };
                Some(count(dns::of_type(dns, &spec.record_type).count()))
            }
            _ => {
                let data = dns.answer.iter().map(|record| record.data.clone());
                Some(Seen::List(data.collect()))
            }
        }
    }
}

/// Whole days until it ends, negative when it has.
fn days_left(ends: Timestamp, now: Timestamp) -> f64 {
    let left = ends.as_micros() - now.as_micros();
    let days = left.div_euclid(DAY_US);
    f64::from(i32::try_from(days).unwrap_or(i32::MAX))
}

/// How much of the body was kept, where that is not all of it.
fn cut_off(seen: &Observation) -> Option<usize> {
    let kept = seen.body.as_ref()?.len();
    (seen.size? > kept as u64).then_some(kept)
}

/// Whether what is found in the first part of a text decides about all of it.
fn settles(part: &Seen<'_>, assertion: &Assertion) -> bool {
    match assertion.comparator {
        Comparator::Contains | Comparator::Matches | Comparator::IsNotEmpty => {
            assertion.holds(part)
        }
        Comparator::NotContains | Comparator::NotMatches | Comparator::IsEmpty => {
            !assertion.holds(part)
        }
        _ => false,
    }
}

fn parse(seen: &Observation) -> Result<Json, String> {
    let body = seen.body.as_deref().unwrap_or_default();
    serde_json::from_slice(body).map_err(|error| match cut_off(seen) {
        Some(kept) => format!("the JSON is larger than the {kept} bytes looked at"),
        None => format!("the body is not JSON ({error})"),
    })
}

fn too_many() -> String {
    format!("the path selects more than {} nodes", JsonQuery::NODES)
}

fn text(text: &str) -> Seen<'_> {
    Seen::Text(text.into())
}

fn count(count: usize) -> Seen<'static> {
    number(count as u64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds and bytes stay far below 2^53"
)]
fn number(value: u64) -> Seen<'static> {
    Seen::Number(value as f64)
}
