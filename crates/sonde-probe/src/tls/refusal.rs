//! Why a handshake failed or a certificate is refused, as a reason and a sentence. Pure.

use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};
use sonde_core::{CertificateDetail, Reason, Timestamp, format_duration};

use crate::observe::Failure;

/// A leaf out of its time is said first, whatever else is wrong: with another clock or a renewal it may be all that is.
pub(super) fn certificate_refused(
    error: &Error,
    chain: &[CertificateDetail],
    host: &str,
    now: UnixTime,
) -> Failure {
    let Error::InvalidCertificate(error) = error else {
        return Failure::new(Reason::TlsHandshake, format!("`{host}`: {error}"));
    };
    let now = Timestamp::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let about_time = match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => chain,
        _ => chain.get(..1).unwrap_or_default(),
    };
    if let Some(failure) = about_time.iter().find_map(|one| out_of_time(one, now)) {
        return failure;
    }
    let reason = reason(error, chain);
    let leaf = chain.first();
    let message = match (reason, leaf) {
        (Reason::TlsUnknownIssuer, Some(leaf)) if leaf.subject == leaf.issuer => {
            format!(
                "`{host}` shows a self-signed certificate, which nobody vouches for ({})",
                leaf.subject
            )
        }
        (Reason::TlsUnknownIssuer, Some(leaf)) => {
            let last = chain.last().unwrap_or(leaf);
            let issuer = &last.issuer;
            format!("the certificate of `{host}` was issued by one who is not trusted: {issuer}")
        }
        (Reason::TlsHostnameMismatch, Some(leaf)) => {
            format!(
                "the certificate is not for `{host}`, but for {}",
                names(leaf)
            )
        }
        _ => format!("the certificate of `{host}` is refused: {error}"),
    };
    Failure::new(reason, message)
}

fn reason(error: &CertificateError, chain: &[CertificateDetail]) -> Reason {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::TlsExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Reason::TlsNotYetValid
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Reason::TlsUnknownIssuer
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Reason::TlsHostnameMismatch
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => Reason::TlsLegacy,
        // A certificate authority's own certificate at the server: that of a self-made one.
        CertificateError::Other(_)
            if chain
                .first()
                .is_some_and(|leaf| leaf.subject == leaf.issuer) =>
        {
            Reason::TlsUnknownIssuer
        }
        _ => Reason::TlsHandshake,
    }
}

fn out_of_time(certificate: &CertificateDetail, now: Timestamp) -> Option<Failure> {
    let CertificateDetail {
        subject,
        not_before,
        not_after,
        ..
    } = certificate;
    if now > *not_after {
        let ago = rounded(now.since(*not_after));
        let message = format!("the certificate of {subject} expired {ago} ago, at {not_after}");
        Some(Failure::new(Reason::TlsExpired, message))
    } else if now < *not_before {
        let left = rounded(not_before.since(now));
        let message =
            format!("the certificate of {subject} is valid in {left} only, from {not_before}");
        Some(Failure::new(Reason::TlsNotYetValid, message))
    } else {
        None
    }
}

/// Days where there are some, else minutes.
fn rounded(duration: Duration) -> String {
    match duration.as_secs() / 86_400 {
        0 => format_duration(Duration::from_mins(duration.as_secs() / 60)),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// What the certificate is for; long lists are cut.
fn names(leaf: &CertificateDetail) -> String {
    const SHOWN: usize = 8;
    match leaf.san.len() {
        0 => format!("nothing but {}", leaf.subject),
        n if n > SHOWN => format!("{} and {} more", leaf.san[..SHOWN].join(", "), n - SHOWN),
        _ => leaf.san.join(", "),
    }
}

/// `certificates_seen`: version and cipher had been agreed on before.
pub(super) fn handshake_failed(error: &io::Error, host: &str, certificates_seen: bool) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let (reason, message) = match inner {
        Some(error) => tls_error(error, host, certificates_seen),
        None => match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (
                Reason::ConnectReset,
                format!("`{host}` reset the connection during the TLS handshake"),
            ),
            io::ErrorKind::UnexpectedEof => (
                Reason::TlsHandshake,
                format!("`{host}` closed the connection during the TLS handshake"),
            ),
            _ => (
                Reason::TlsHandshake,
                format!("the TLS handshake with `{host}` failed: {error}"),
            ),
        },
    };
    Failure::new(reason, message)
}

/// For errors after the handshake: in TLS 1.3 a server refuses a client's certificate only then.
pub(crate) fn broken(error: &io::Error, host: &str) -> Option<Failure> {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref())?;
    let (reason, message) = tls_error(error, host, true);
    Some(Failure::new(reason, message))
}

fn tls_error(error: &Error, host: &str, certificates_seen: bool) -> (Reason, String) {
    match error {
        Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => (
            Reason::TlsLegacy,
            format!(
                "`{host}` offers only TLS versions or ciphers that are no longer safe; TLS 1.2 is the oldest accepted ({error})"
            ),
        ),
        Error::AlertReceived(AlertDescription::HandshakeFailure) if !certificates_seen => (
            Reason::TlsLegacy,
            format!(
                "`{host}` has no TLS version or cipher in common with current clients; it may offer only ones that are no longer safe"
            ),
        ),
        Error::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::UnknownCA,
        ) => (
            Reason::TlsHandshake,
            format!(
                "`{host}` ended the TLS handshake: it wants a client certificate, or another one ({error})"
            ),
        ),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => (
            Reason::HttpVersion,
            format!("`{host}` speaks none of the protocols offered to it (ALPN)"),
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => (
            Reason::TlsHandshake,
            format!("the server does not know the name `{host}`"),
        ),
        Error::InvalidMessage(_) => (
            Reason::TlsHandshake,
            format!(
                "`{host}` does not answer with TLS: that port may speak plain HTTP, or another protocol that needs STARTTLS"
            ),
        ),
        _ => (
            Reason::TlsHandshake,
            format!("the TLS handshake with `{host}` failed: {error}"),
        ),
    }
}
