//! Looks at the server's certificates for one handshake, keeps them, and lets the handshake go on.
//!
//! A refused certificate does not end the handshake here: so its details, the version and the cipher are known when
//! [`super::handshake`] fails right after it. No data of ours is ever sent to such a server.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Whose certificates are good.
#[derive(Debug)]
pub(super) enum Trust {
    Everything,
    Roots {
        verifier: Arc<WebPkiServerVerifier>,
        /// Given by the user, who may give the server's own self-signed certificate.
        pinned: Vec<CertificateDer<'static>>,
    },
}

/// What the server showed, and why it is not trusted.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) refused: Option<Error>,
    pub(super) at: UnixTime,
}

/// The verifier of one handshake.
#[derive(Debug)]
pub(super) struct Recorder {
    provider: Arc<CryptoProvider>,
    trust: Arc<Trust>,
    record: OnceLock<Record>,
}

impl Recorder {
    pub(super) fn new(provider: &Arc<CryptoProvider>, trust: &Arc<Trust>) -> Self {
        Self {
            provider: provider.clone(),
            trust: trust.clone(),
            record: OnceLock::new(),
        }
    }

    /// Nothing when the handshake did not come to certificates.
    pub(super) fn record(&self) -> Option<&Record> {
        self.record.get()
    }
}

impl Trust {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let Self::Roots { verifier, pinned } = self else {
            return Ok(());
        };
        match verifier.verify_server_cert(leaf, intermediates, name, &[], now) {
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            )) if pinned.contains(leaf) => {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
            }
            verified => verified.map(drop),
        }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = self.trust.verify(leaf, intermediates, name, now).err();
        let chain = std::iter::once(leaf).chain(intermediates);
        self.record.get_or_init(|| Record {
            chain: chain.map(|one| one.clone().into_owned()).collect(),
            refused,
            at: now,
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
