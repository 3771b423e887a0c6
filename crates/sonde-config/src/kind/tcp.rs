//! `tcp`: a host and port, with TLS and a dialogue where they are wanted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sonde_core::{NetworkOptions, Pattern, StartTls, Step, TcpSpec, TlsOptions};

use super::{network, tls_options};
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

pub(super) fn decode(item: &Item<'_>, defaults: &NetworkOptions) -> Option<TcpSpec> {
    if item.is_map() {
        return item
            .fields("tcp", |fields| long(fields, defaults))
            .flatten();
    }
    let (host, port) = item.parse(|text| address::host_port(text, None))?;
    Some(TcpSpec {
        host,
        port,
        tls: None,
        dialogue: Vec::new(),
        network: defaults.clone(),
    })
}

fn long(fields: &mut Fields<'_>, defaults: &NetworkOptions) -> Option<TcpSpec> {
    let target = target(fields);
    let tls = fields.take("tls").as_ref().and_then(tls);
    let starttls = fields
        .take("starttls")
        .and_then(|item| item.choice(&starttls_protocols()));
    let mut dialogue = starttls.map(StartTls::steps).unwrap_or_default();
    if let Some(item) = fields.take("dialogue") {
        dialogue.extend(item.list_of(|item| step(&item)).unwrap_or_default());
    }
    let network = network(fields, defaults);
    let (host, port) = target?;
    Some(TcpSpec {
        host,
        port,
        tls,
        dialogue,
        network,
    })
}

/// `address`, or `host` and `port`.
fn target(fields: &mut Fields<'_>) -> Option<(String, u16)> {
    let port = fields.take("port");
    let Some((name, item)) = fields.one_of(&["host", "address"]) else {
        fields
            .item
            .problem("`host` and `port`, or `address`, are missing");
        return None;
    };
    if name == "address" {
        if let Some(port) = port {
            port.problem("`port` cannot stand beside `address`");
        }
        return item.parse(|text| address::host_port(text, None));
    }
    let host = item.parse(address::host);
    if port.is_none() {
        fields.item.problem("`port` is missing");
    }
    host.zip(port?.integer(1, 65_535))
}

/// `true`, or a mapping with options.
fn tls(item: &Item<'_>) -> Option<TlsOptions> {
    if item.is_map() {
        return item.fields("tls_options", tls_options::decode);
    }
    item.boolean()?.then(TlsOptions::default)
}

pub(super) fn starttls_protocols() -> [(&'static str, StartTls); 5] {
    StartTls::ALL.map(|protocol| (protocol.as_str(), protocol))
}

fn step(item: &Item<'_>) -> Option<Step> {
    if !item.is_map() {
        return item.choice(&[("starttls", ())]).map(|()| Step::StartTls);
    }
    item.fields("step", |fields| {
        let Some((name, item)) = fields.one_of(&["send", "send_base64", "expect"]) else {
            fields
                .item
                .problem("one of `send`, `send_base64` or `expect` is missing");
            return None;
        };
        match name {
            "send" => Some(Step::Send(item.text()?.to_owned())),
            "expect" => item.parse(Pattern::new).map(Step::Expect),
            _ => item
                .parse(|text| {
                    STANDARD
                        .decode(text)
                        .map_err(|error| format!("not base64: {error}"))
                })
                .map(Step::SendBytes),
        }
    })
    .flatten()
}
