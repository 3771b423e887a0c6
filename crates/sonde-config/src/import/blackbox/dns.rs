//! Probes by DNS, where the target is the name server.

use sonde_core::{Assertion, Comparator, DnsSpec, DnsTransport, Source, Spec, Value};

use super::super::lenient::{self, NO_EQUIVALENT, with_pattern, with_text};
use super::super::targets::Target;
use super::Probe;
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;
use crate::kind::{self, CLASSES};

pub(super) fn read(fields: &mut Fields<'_>, target: &Target<'_>) -> Option<Probe> {
    let network = super::network(fields);
    let tls = super::tls(fields);
    let left_out = [
        "source_ip_address",
        "validate_authority_rrs",
        "validate_additional_rrs",
    ];
    lenient::leave_out(fields, &left_out);
    let name = fields
        .required("query_name")
        .and_then(|item| item.parse(kind::dns_name));
    let record = lenient::text(fields.take("query_type")).unwrap_or("ANY");
    let class = fields
        .take("query_class")
        .and_then(|item| item.choice(&CLASSES));
    let recursion = lenient::flag(fields.take("recursion_desired")).unwrap_or(true);
    let by_tls = lenient::flag(fields.take("dns_over_tls")).unwrap_or(false);
    let by_tcp = lenient::text(fields.take("transport_protocol")) == Some("tcp");
    let mut expect: Vec<_> = fields
        .take("valid_rcodes")
        .and_then(|item| rcodes(&item))
        .into_iter()
        .collect();
    if expect.is_empty() {
        expect.push(with_text(Source::DnsRcode, Comparator::Equal, "NOERROR"));
    }
    if let Some(item) = fields.take("validate_answer_rrs") {
        expect.extend(
            item.fields("validate_answer_rrs", answers)
                .unwrap_or_default(),
        );
    }
    let server = target.item.parse(|_| address::server(target.address))?;
    let spec = Spec::Dns(Box::new(DnsSpec {
        name: name?,
        record_type: record.to_ascii_uppercase(),
        class: class.unwrap_or_default(),
        server: Some(server),
        transport: match (by_tls, by_tcp) {
            (true, _) => DnsTransport::Tls,
            (false, true) => DnsTransport::Tcp,
            (false, false) => DnsTransport::Udp,
        },
        recursion,
        tls,
        network,
    }));
    lenient::presume_nothing(&spec, &mut expect);
    Some(Probe { spec, expect })
}

fn rcodes(item: &Item<'_>) -> Option<Assertion> {
    let codes = item.list_of(|item| Some(Value::Text(item.filled()?.to_ascii_uppercase())))?;
    (!codes.is_empty()).then_some(Assertion {
        source: Source::DnsRcode,
        comparator: Comparator::In,
        value: Value::List(codes),
    })
}

/// What must not match any record, and what must match one; there is nothing here that all records must match.
fn answers(fields: &mut Fields<'_>) -> Vec<Assertion> {
    lenient::leave_out(
        fields,
        &["fail_if_all_match_regexp", "fail_if_not_matches_regexp"],
    );
    let mut assertions = Vec::new();
    for (key, comparator) in [
        ("fail_if_matches_regexp", Comparator::NotMatches),
        ("fail_if_none_matches_regexp", Comparator::Matches),
    ] {
        let patterns = fields.take(key).and_then(|item| item.list());
        let assertion = |item: Item<'_>| {
            let text = item.filled()?;
            if names_columns(text) {
                item.warning(format!(
                    "a pattern for more than the data of a record {NO_EQUIVALENT}"
                ));
                return None;
            }
            item.parse(|text| with_pattern(Source::DnsAnswer, comparator, text))
        };
        assertions.extend(patterns.into_iter().flatten().filter_map(assertion));
    }
    assertions
}

/// Whether a pattern is about the record's name, class, or type, which stand before the data there.
fn names_columns(pattern: &str) -> bool {
    ["^", r"\t", "\t", r"\s", "IN"]
        .iter()
        .any(|part| pattern.contains(part))
}
