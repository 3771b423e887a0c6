//! `dns`: a name, or a mapping that says what to ask whom, and how.

use sonde_core::{DnsClass, DnsSpec, DnsTransport, NetworkOptions, TlsOptions};

use super::{network, tls_options};
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;
use crate::problem::nearest;

/// Record types that have a name here; any other is `TYPE` and its number (RFC 3597).
const RECORD_TYPES: [&str; 25] = [
    "A", "AAAA", "ANY", "CAA", "CDNSKEY", "CDS", "CERT", "CNAME", "DNAME", "DNSKEY", "DS", "HINFO",
    "HTTPS", "LOC", "MX", "NAPTR", "NS", "NSEC", "PTR", "SOA", "SRV", "SSHFP", "SVCB", "TLSA",
    "TXT",
];

pub(crate) const CLASSES: [(&str, DnsClass); 4] = [
    ("IN", DnsClass::In),
    ("CH", DnsClass::Ch),
    ("HS", DnsClass::Hs),
    ("ANY", DnsClass::Any),
];

pub(crate) const TRANSPORTS: [(&str, DnsTransport); 3] = [
    ("udp", DnsTransport::Udp),
    ("tcp", DnsTransport::Tcp),
    ("tls", DnsTransport::Tls),
];

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<DnsSpec> {
    if item.is_map() {
        return item
            .fields("dns", |fields| long(fields, defaults))
            .flatten();
    }
    Some(DnsSpec {
        name: item.parse(name)?,
        record_type: "A".to_owned(),
        class: DnsClass::In,
        server: None,
        transport: DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: defaults.clone(),
    })
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<DnsSpec> {
    let name = fields.required("name").and_then(|item| item.parse(name));
    let record = fields.take("type").map(|item| {
        let text = item.filled()?;
        record_type(text)
            .map_err(|(message, near)| item.problem_suggesting(message, near))
            .ok()
    });
    let class = fields.take("class").and_then(|item| item.choice(&CLASSES));
    let server = fields
        .take("server")
        .and_then(|item| item.parse(address::server));
    let transport = fields
        .take("transport")
        .and_then(|item| item.choice(&TRANSPORTS));
    let recursion = fields.take("recursion").and_then(|item| item.boolean());
    let tls = fields
        .take("tls")
        .and_then(|item| item.fields("tls_options", tls_options::decode));
    let network = network(fields, defaults);
    Some(DnsSpec {
        name: name?,
        record_type: record.unwrap_or_else(|| Some("A".to_owned()))?,
        class: class.unwrap_or_default(),
        server,
        transport: transport.unwrap_or_default(),
        recursion: recursion.unwrap_or(true),
        tls: tls.unwrap_or_default(),
        network,
    })
}

/// A domain name; `.` is the root.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if text == "." || (plain && address::is_name(text)) {
        return Ok(text.to_owned());
    }
    // Names of other scripts are asked for in punycode.
    match address::host(text) {
        Ok(name) if !plain => Ok(name),
        _ => Err(format!("\"{text}\" is not a domain name")),
    }
}

/// A record type in capitals; the error comes with the nearest one.
pub(crate) fn record_type(text: &str) -> Result<String, (String, Option<String>)> {
    let name = text.to_ascii_uppercase();
    let numbered = name
        .strip_prefix("TYPE")
        .is_some_and(|number| number.parse::<u16>().is_ok());
    if numbered || RECORD_TYPES.contains(&name.as_str()) {
        return Ok(name);
    }
    let near = RECORD_TYPES.map(str::to_lowercase);
    let near = nearest(text, near.iter().map(String::as_str)).map(|near| near.to_uppercase());
    Err((
        format!("\"{text}\" is not a record type such as A, MX or TYPE65"),
        near,
    ))
}
