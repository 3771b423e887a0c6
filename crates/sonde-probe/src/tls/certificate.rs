//! Certificates in words: subject, names, validity, fingerprint.

use std::fmt::Write as _;
use std::net::IpAddr;

use sonde_core::{CertificateDetail, Timestamp};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// Nothing when the DER cannot be parsed.
pub(super) fn describe(der: &[u8]) -> Option<CertificateDetail> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let san = names.map_or_else(Vec::new, |names| {
        let names = &names.value.general_names;
        names.iter().filter_map(general_name).collect()
    });
    Some(CertificateDetail {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        san,
        not_before: timestamp(certificate.validity().not_before),
        not_after: timestamp(certificate.validity().not_after),
        sha256: fingerprint(der),
    })
}

fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
}

fn fingerprint(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let bytes = digest.as_ref();
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
