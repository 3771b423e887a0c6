//! Certificates made on the spot: right ones, and each kind of wrong one.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sonde_core::{Clock, SystemClock};

/// When a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub enum Validity {
    /// From 2020 for longer than anyone will run these tests.
    Long,
    /// Over since 2021.
    Expired,
    /// From the year 2120 on.
    Future,
    /// From 2020 until so long from now.
    Left(Duration),
}

/// A certificate authority of a test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate and those above it, without the root.
    intermediates: Vec<CertificateDer<'static>>,
    intermediates_pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), key());
        Self {
            issuer: issuer.expect("fixed parameters make a certificate"),
            intermediates: Vec::new(),
            intermediates_pem: String::new(),
        }
    }

    /// An authority below this one; what it issues comes with its certificate.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(authority_params(name), key(), &self.issuer)
            .expect("fixed parameters make a certificate");
        let mut intermediates = vec![issuer.der().clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Self {
            intermediates_pem: issuer.pem() + &self.intermediates_pem,
            issuer,
            intermediates,
        }
    }

    /// For servers and clients alike. `names` are DNS names and IP addresses.
    pub fn issue(&self, names: &[&str], validity: Validity) -> Identity {
        let (params, key) = (leaf_params(names, validity), key());
        let leaf = params
            .signed_by(&key, &self.issuer)
            .expect("fixed parameters make a certificate");
        let mut chain = vec![leaf.der().clone()];
        chain.extend(self.intermediates.iter().cloned());
        Identity {
            chain,
            certificate_pem: leaf.pem() + &self.intermediates_pem,
            key,
        }
    }

    /// For `localhost` and its addresses, valid.
    pub fn localhost(&self) -> Identity {
        self.issue(&["localhost", "127.0.0.1", "::1"], Validity::Long)
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

/// A certificate chain, leaf first, with the leaf's key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    certificate_pem: String,
    key: KeyPair,
}

impl Identity {
    pub fn self_signed(names: &[&str]) -> Self {
        let key = key();
        let leaf = leaf_params(names, Validity::Long)
            .self_signed(&key)
            .expect("fixed parameters make a certificate");
        Self {
            chain: vec![leaf.der().clone()],
            certificate_pem: leaf.pem(),
            key,
        }
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    /// The whole chain.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has randomness")
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("tests name valid hosts")
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(names: &[&str], validity: Validity) -> CertificateParams {
    let mut params = params(names);
    let name = names.first().copied().unwrap_or("nobody");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let (from, until) = match validity {
        Validity::Long => (2020, date_time_ymd(2120, 1, 1)),
        Validity::Expired => (2020, date_time_ymd(2021, 1, 1)),
        Validity::Future => (2120, date_time_ymd(2121, 1, 1)),
        Validity::Left(left) => {
            let now = u64::try_from(SystemClock.now().as_micros()).unwrap_or_default();
            let until = Duration::from_micros(now) + left;
            (2020, date_time_ymd(1970, 1, 1) + until)
        }
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = until;
    params
}
