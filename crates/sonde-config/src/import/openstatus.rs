//! `openstatus.yaml` of OpenStatus's command line: monitors by their key.
//!
//! Keys and defaults are those of its JSON Schema. Without assertions a 2xx passes, with any only they count.

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{
    Assertion, Comparator, DnsClass, DnsSpec, DnsTransport, HttpSpec, MonitorId, NetworkOptions,
    Region, Source, Spec, TcpSpec, TlsOptions, Unit, Value,
};

use super::Draft;
use super::lenient::{self, NO_EQUIVALENT, Timed};
use crate::checkup::number;
use crate::decode::Item;
use crate::fields::Fields;
use crate::names::unique_id;
use crate::{address, kind};

const INTERVAL: Duration = Duration::from_mins(10);
const TIMEOUT: Duration = Duration::from_secs(45);
const RETRIES: u32 = 3;

const COMPARATORS: [(&str, Comparator); 10] = [
    ("eq", Comparator::Equal),
    ("not_eq", Comparator::NotEqual),
    ("gt", Comparator::Greater),
    ("gte", Comparator::GreaterOrEqual),
    ("lt", Comparator::Less),
    ("lte", Comparator::LessOrEqual),
    ("contains", Comparator::Contains),
    ("not_contains", Comparator::NotContains),
    ("empty", Comparator::IsEmpty),
    ("not_empty", Comparator::IsNotEmpty),
];

pub(super) fn read(root: &Item<'_>) -> Vec<Draft> {
    let mut ids = BTreeSet::new();
    let monitors = root.entries().unwrap_or_default().into_iter();
    let draft = |(key, item): (&str, Item<'_>)| {
        let draft = monitor(key, &item, &mut ids);
        lenient::kept(&item, draft)
    };
    monitors.filter_map(draft).collect()
}

fn monitor(key: &str, item: &Item<'_>, ids: &mut BTreeSet<MonitorId>) -> Option<Draft> {
    item.fields("a monitor of OpenStatus", |fields| {
        let name = lenient::text(fields.take("name")).unwrap_or(key);
        let interval = Timed::new(fields.take("frequency"), lenient::duration, INTERVAL);
        let timeout = Timed::new(fields.take("timeout"), lenient::milliseconds, TIMEOUT);
        let degraded_after = fields.take("degradedAfter");
        let degraded_after = degraded_after.and_then(|item| item.number(0.0, 3_600_000.0));
        let retries = fields.take("retry").and_then(|item| item.integer(0, 20));
        let regions = fields.take("regions").map(|item| regions(&item));
        let active = fields.take("active");
        lenient::pass_over(fields, &["public"]);
        lenient::leave_out(fields, &["description", "openTelemetry"]);
        let kind = fields.take("kind");
        let request = fields.take("request");
        let assertions = fields.take("assertions").and_then(|item| item.list());
        let assertions = assertions.unwrap_or_default();
        if active.is_none() {
            item.warning("paused, as OpenStatus takes it where `active` is missing");
        }
        let (spec, records) = spec(item, kind.as_ref(), request.as_ref(), &assertions)?;
        let mut monitor =
            lenient::monitor(item.context, unique_id(key, "monitor", ids)?, name, spec);
        lenient::set_times(&mut monitor, &interval, &timeout);
        let expected = assertions
            .iter()
            .filter_map(|item| assertion(item, &monitor.spec, records));
        monitor.expect = expected.collect();
        if !assertions.is_empty() {
            lenient::presume_nothing(&monitor.spec, &mut monitor.expect);
        }
        if let Some(after) = degraded_after.filter(|after| *after > 0.0) {
            let slow = number(
                Source::Latency,
                Comparator::Greater,
                after,
                Unit::Milliseconds,
            );
            monitor.degraded.push(slow);
        }
        monitor.retry.retries = retries.unwrap_or(RETRIES);
        if let Some(regions) = regions.filter(|regions| !regions.is_empty()) {
            monitor.regions = regions;
        }
        monitor.paused = !lenient::flag(active).unwrap_or(false);
        Some(Draft::new(item, monitor))
    })
    .flatten()
}

/// Each once. A `private` one is a place of the user's own, which has no name here.
fn regions(item: &Item<'_>) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for item in item.list().unwrap_or_default() {
        let Some(region) = item.parse(Region::new) else {
            continue;
        };
        if region.as_str() == "private" {
            item.warning("a private location has no name here: say which region stands for it");
        } else if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}

/// What is asked for, and for DNS the type of the records that are compared.
fn spec<'a>(
    monitor: &Item<'a>,
    kind: Option<&Item<'a>>,
    request: Option<&Item<'a>>,
    assertions: &[Item<'a>],
) -> Option<(Spec, Option<&'a str>)> {
    let (Some(kind), Some(request)) = (kind, request) else {
        monitor.problem("`kind` or `request` is missing");
        return None;
    };
    match kind.scalar()? {
        "http" => Some((request.fields("an http request", http).flatten()?, None)),
        "tcp" => Some((request.fields("a tcp request", tcp).flatten()?, None)),
        "dns" => {
            let records = assertions.iter().find_map(record).unwrap_or("A");
            let name = request.fields("a dns request", dns_name).flatten()?;
            Some((dns(name, records), Some(records)))
        }
        other => {
            kind.warning(format!("a check of kind `{other}` {NO_EQUIVALENT}"));
            None
        }
    }
}

fn http(fields: &mut Fields<'_>) -> Option<Spec> {
    let url = fields.required("url");
    let method = lenient::text(fields.take("method"));
    let headers = fields.take("headers").map(|item| kind::headers(&item));
    let body = lenient::text(fields.take("body"));
    let follow = lenient::flag(fields.take("followRedirects"));
    let (url, auth) = url?.parse(kind::parse_url)?;
    let standard = HttpSpec::get(url);
    Some(Spec::Http(Box::new(HttpSpec {
        method: method.map_or_else(|| standard.method.clone(), str::to_owned),
        headers: headers.unwrap_or_default(),
        body: body.map(|body| body.as_bytes().to_vec()),
        auth,
        max_redirects: if follow == Some(false) {
            0
        } else {
            standard.max_redirects
        },
        ..standard
    })))
}

fn tcp(fields: &mut Fields<'_>) -> Option<Spec> {
    let host = fields
        .required("host")
        .and_then(|item| item.parse(address::host));
    let port = fields
        .required("port")
        .and_then(|item| item.integer(1, 65_535));
    Some(Spec::Tcp(Box::new(TcpSpec {
        host: host?,
        port: port?,
        tls: None,
        dialogue: Vec::new(),
        network: NetworkOptions::default(),
    })))
}

fn dns_name(fields: &mut Fields<'_>) -> Option<String> {
    let (uri, host) = (fields.take("uri"), fields.take("host"));
    let Some(item) = uri.or(host) else {
        fields.item.problem("`uri` is missing");
        return None;
    };
    item.parse(kind::dns_name)
}

fn dns(name: String, records: &str) -> Spec {
    Spec::Dns(Box::new(DnsSpec {
        name,
        record_type: records.to_ascii_uppercase(),
        class: DnsClass::In,
        server: None,
        transport: DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    }))
}

/// The type of the records that an assertion is about.
fn record<'a>(assertion: &Item<'a>) -> Option<&'a str> {
    let entries = assertion.is_map().then(|| assertion.entries())??;
    let (_, item) = entries.into_iter().find(|(key, _)| *key == "key")?;
    item.scalar()
}

fn assertion(item: &Item<'_>, spec: &Spec, records: Option<&str>) -> Option<Assertion> {
    item.fields("an assertion", |fields| {
        let kind = fields.required("kind");
        let comparator = fields
            .required("compare")
            .and_then(|item| item.choice(&COMPARATORS));
        let key = lenient::text(fields.take("key"));
        let target = fields.take("target");
        let (kind, comparator) = (kind?, comparator?);
        let source = match kind.scalar()? {
            "statusCode" => Source::Status,
            "header" => Source::new("header", Some(key.unwrap_or_default())).ok()?,
            "textBody" => Source::Body,
            "dnsRecord" if key.is_none_or(|key| Some(key) == records) => Source::DnsAnswer,
            "dnsRecord" => {
                let asked = records.unwrap_or_default();
                item.warning(format!(
                    "left out: one monitor asks for one type, this one for {asked}"
                ));
                return None;
            }
            other => {
                kind.warning(format!("an assertion on `{other}` {NO_EQUIVALENT}"));
                return None;
            }
        };
        if !source.applies_to(spec.kind()) {
            item.warning(format!(
                "left out: a check of kind {} has no `{source}`",
                spec.kind()
            ));
            return None;
        }
        let value = value(item, &source, comparator, target.as_ref())?;
        Some(Assertion {
            source,
            comparator,
            value,
        })
    })
    .flatten()
}

fn value(
    item: &Item<'_>,
    source: &Source,
    comparator: Comparator,
    target: Option<&Item<'_>>,
) -> Option<Value> {
    if !comparator.takes_value() {
        return Some(Value::Nothing);
    }
    let Some(target) = target else {
        item.problem("`target` is missing");
        return None;
    };
    if *source == Source::Status {
        return Some(Value::Number(target.number(0.0, 999.0)?, Unit::None));
    }
    let text = target.scalar()?;
    if lenient::is_order(comparator) && text.trim().parse::<f64>().is_err() {
        return target.expected("a number, since others are not ordered here");
    }
    Some(Value::Text(text.to_owned()))
}
