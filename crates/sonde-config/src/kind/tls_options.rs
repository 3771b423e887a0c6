//! How a TLS connection is made and verified, for every kind that makes one.

use sonde_core::{ClientCertificate, TlsOptions};

use crate::decode::Item;
use crate::fields::Fields;

/// The keys of a `tls` mapping, or of the mapping of a `tls` monitor.
pub(super) fn decode(fields: &mut Fields<'_>) -> TlsOptions {
    let ca = fields.take("ca").and_then(|item| certificates(&item));
    let certificate = fields.take("client_certificate");
    let key = fields.take("client_key");
    if certificate.is_some() != key.is_some() {
        let given = certificate
            .as_ref()
            .or(key.as_ref())
            .unwrap_or(&fields.item);
        given.problem("client_certificate and client_key are needed together");
    }
    let certificate = certificate.and_then(|item| certificates(&item));
    let key = key.and_then(|item| pem(&item, "PRIVATE KEY"));
    TlsOptions {
        skip_verify: fields
            .take("skip_verify")
            .and_then(|item| item.boolean())
            .unwrap_or(false),
        server_name: fields
            .take("server_name")
            .and_then(|item| item.parse(crate::address::host)),
        ca,
        client_certificate: certificate
            .zip(key)
            .map(|(certificate, key)| ClientCertificate { certificate, key }),
    }
}

/// PEM certificates, inline or in the file that is named.
pub(crate) fn certificates(item: &Item<'_>) -> Option<String> {
    pem(item, "CERTIFICATE")
}

fn pem(item: &Item<'_>, label: &str) -> Option<String> {
    let text = item.filled()?;
    let text = if text.contains("-----BEGIN") {
        text.to_owned()
    } else {
        String::from_utf8_lossy(&item.read_file(text)?).into_owned()
    };
    let blocks = blocks(&text, label);
    if blocks.is_empty() {
        item.problem(format!("there is no PEM block `{label}` in it"));
        return None;
    }
    Some(blocks)
}

/// The PEM blocks of one label. What else a file holds stays out: a key has no business beside certificates.
fn blocks(text: &str, label: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        inside |= line.starts_with("-----BEGIN") && line.ends_with(&format!("{label}-----"));
        if inside {
            out.push_str(line);
            out.push('\n');
        }
        inside &= !line.starts_with("-----END");
    }
    out
}
