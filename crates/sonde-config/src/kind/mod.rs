//! What each kind of monitor may say of its target: one file per kind, and what several have in common.

mod body;
mod dns;
mod domain;
mod exec;
mod heartbeat;
mod http;
pub(crate) mod icmp;
mod tcp;
mod tls;
mod tls_options;

use sonde_core::{IpPreference, Kind, NetworkOptions, Spec};

use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

pub(crate) use dns::{CLASSES, TRANSPORTS, name as dns_name, record_type};
pub(crate) use domain::{
    LEAST_INTERVAL as DOMAIN_LEAST_INTERVAL, STANDARD_INTERVAL as DOMAIN_INTERVAL,
    check_registered, name as domain_name, server as rdap_server,
};
pub(crate) use heartbeat::STANDARD_GRACE;
pub(crate) use http::{VERSIONS, headers, parse_url, web_url};
pub(crate) use icmp::ping;
pub(crate) use tls::TLS_PORT;
pub(crate) use tls_options::certificates;

/// The spec of a monitor, from its short or long form.
pub(crate) fn decode(kind: Kind, item: &Item<'_>, network: &NetworkOptions) -> Option<Spec> {
    match kind {
        Kind::Http => http::decode(item, network).map(|spec| Spec::Http(Box::new(spec))),
        Kind::Tcp => tcp::decode(item, network).map(|spec| Spec::Tcp(Box::new(spec))),
        Kind::Dns => dns::decode(item, network).map(|spec| Spec::Dns(Box::new(spec))),
        Kind::Icmp => icmp::decode(item, network).map(Spec::Icmp),
        Kind::Tls => tls::decode(item, network).map(|spec| Spec::Tls(Box::new(spec))),
        Kind::Domain => domain::decode(item, network).map(|spec| Spec::Domain(Box::new(spec))),
        Kind::Exec => exec::decode(item).map(Spec::Exec),
        Kind::Heartbeat => heartbeat::decode(item).map(Spec::Heartbeat),
    }
}

pub(crate) const IP_PREFERENCES: [(&str, IpPreference); 4] = [
    ("prefer_v4", IpPreference::PreferV4),
    ("prefer_v6", IpPreference::PreferV6),
    ("v4", IpPreference::V4),
    ("v6", IpPreference::V6),
];

/// `ip` and `resolver`, or what `defaults` says of them.
pub(crate) fn network(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> NetworkOptions {
    let ip = fields
        .take("ip")
        .and_then(|item| item.choice(&IP_PREFERENCES));
    let resolver = fields
        .take("resolver")
        .and_then(|item| item.parse(address::resolver));
    NetworkOptions {
        ip: ip.unwrap_or(defaults.ip),
        resolver: resolver.or(defaults.resolver),
    }
}
