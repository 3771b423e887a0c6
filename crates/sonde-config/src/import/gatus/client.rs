//! `client`: how Gatus connects.

use sonde_core::{ClientCertificate, IpPreference, NetworkOptions, TlsOptions};

use super::super::lenient;
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

#[derive(Default)]
pub(super) struct Client<'a> {
    insecure: bool,
    pub(super) ignore_redirect: bool,
    pub(super) timeout: Option<Item<'a>>,
    pub(super) network: NetworkOptions,
    pub(super) proxy: Option<Item<'a>>,
    certificate: Option<ClientCertificate>,
}

impl<'a> Client<'a> {
    pub(super) fn read(fields: &mut Fields<'a>) -> Self {
        let keys = ["oauth2", "identity-aware-proxy", "kerberos", "tunnel"];
        lenient::leave_out(fields, &keys);
        let ip = fields.take("network").and_then(|item| {
            item.choice(&[
                ("ip", IpPreference::PreferV4),
                ("ip4", IpPreference::V4),
                ("ip6", IpPreference::V6),
            ])
        });
        let resolver = fields.take("dns-resolver").and_then(|item| {
            // The protocol does not matter: what is cut off over UDP is asked for again over TCP.
            item.parse(|text| {
                let address = text.split_once("://").map_or(text, |(_, address)| address);
                address::resolver(address)
            })
        });
        let tls = fields.take("tls");
        Self {
            insecure: lenient::flag(fields.take("insecure")).unwrap_or(false),
            ignore_redirect: lenient::flag(fields.take("ignore-redirect")).unwrap_or(false),
            timeout: fields.take("timeout"),
            network: NetworkOptions {
                ip: ip.unwrap_or_default(),
                resolver,
            },
            proxy: fields.take("proxy-url"),
            certificate: tls.and_then(|item| item.fields("client.tls", certificate).flatten()),
        }
    }

    pub(super) fn tls(&self) -> TlsOptions {
        TlsOptions {
            skip_verify: self.insecure,
            client_certificate: self.certificate.clone(),
            ..TlsOptions::default()
        }
    }
}

/// The names of the files, which stand where a certificate may stand itself.
fn certificate(fields: &mut Fields<'_>) -> Option<ClientCertificate> {
    lenient::leave_out(fields, &["renegotiation"]);
    let certificate = lenient::text(fields.take("certificate-file"));
    let key = lenient::text(fields.take("private-key-file"));
    Some(ClientCertificate {
        certificate: certificate?.to_owned(),
        key: key?.to_owned(),
    })
}
