//! `tls`: the certificate and the handshake of a server, at once or after STARTTLS.

use sonde_core::{NetworkOptions, TlsOptions, TlsSpec};

use super::tcp::starttls_protocols;
use super::{network, tls_options};
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

pub(crate) const TLS_PORT: u16 = 443;

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<TlsSpec> {
    if item.is_map() {
        return item
            .fields("tls", |fields| long(fields, defaults))
            .flatten();
    }
    let (host, port) = item.parse(|text| address::host_port(text, Some(TLS_PORT)))?;
    Some(TlsSpec {
        host,
        port,
        tls: TlsOptions::default(),
        starttls: None,
        network: defaults.clone(),
    })
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<TlsSpec> {
    let host = fields
        .required("host")
        .and_then(|item| item.parse(address::host));
    let port = fields.take("port").map(|item| item.integer(1, 65_535));
    let starttls = fields
        .take("starttls")
        .and_then(|item| item.choice(&starttls_protocols()));
    let tls = tls_options::decode(fields);
    let network = network(fields, defaults);
    Some(TlsSpec {
        host: host?,
        port: port.unwrap_or(Some(TLS_PORT))?,
        tls,
        starttls,
        network,
    })
}
