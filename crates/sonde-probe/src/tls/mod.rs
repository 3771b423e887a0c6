//! The handshake of every kind that speaks TLS: settings built once, certificates kept even when they are refused.

mod certificate;
mod config;
#[cfg(test)]
mod loopback;
mod refusal;
mod verify;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use sonde_core::{Phase, Reason, TlsDetail, TlsOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) use config::{ClientConfigs, load_system_roots};

use crate::environment::Environment;
use crate::observe::{Failure, Observation};
pub(crate) use refusal::broken;
use refusal::{certificate_refused, handshake_failed};
use verify::Recorder;

/// Shakes hands under the Tls phase. `seen.tls` has the certificates also when it fails.
pub(crate) async fn handshake<S>(
    environment: &Environment,
    stream: S,
    host: &str,
    options: &TlsOptions,
    alpn: &[&[u8]],
    seen: &mut Observation,
) -> Result<TlsStream<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = options.server_name.as_deref().unwrap_or(host);
    let server_name = server_name(name)?;
    let (config, recorder) = environment.client_configs.get(options, alpn)?;
    let connecting = TlsConnector::from(config).connect(server_name, stream);
    let shaken = seen
        .phase(Phase::Tls, async {
            let failed = |error| handshake_failed(&error, name, recorder.record().is_some());
            connecting.await.map_err(failed)
        })
        .await;
    let detail = describe(
        &recorder,
        shaken.as_ref().ok().map(|stream| stream.get_ref().1),
    );
    let refused = recorder.record().and_then(|record| {
        let refused = record.refused.as_ref()?;
        Some(certificate_refused(
            refused,
            &detail.certificates,
            name,
            record.at,
        ))
    });
    let shaken = match (refused, shaken) {
        (Some(refused), _) => Err(refused),
        (None, Err(failure)) if failure.reason == Reason::TlsTimeout => Err(Failure {
            message: format!("the TLS handshake with `{name}` did not finish in time"),
            ..failure
        }),
        (None, shaken) => shaken,
    };
    if shaken.is_err() {
        let leaf = detail.certificates.first();
        seen.evidence.certificate_subject = leaf.map(|leaf| leaf.subject.clone());
    }
    seen.tls = Some(detail);
    shaken
}

/// A name for SNI and verification, or an address, with or without brackets.
fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    let bare = name.trim_start_matches('[').trim_end_matches([']', '.']);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        let message = format!("`{name}` is not a name that a TLS server can have");
        Failure::new(Reason::TlsHandshake, message)
    })
}

/// What is known of the session so far.
fn describe(recorder: &Recorder, connection: Option<&ClientConnection>) -> TlsDetail {
    let chain = recorder.record().map_or(&[][..], |record| &record.chain);
    let version = connection.and_then(|connection| connection.protocol_version());
    let suite = connection.and_then(|connection| connection.negotiated_cipher_suite());
    let alpn = connection.and_then(|connection| connection.alpn_protocol());
    TlsDetail {
        version: version.map(|version| match version {
            ProtocolVersion::TLSv1_3 => "1.3".to_owned(),
            ProtocolVersion::TLSv1_2 => "1.2".to_owned(),
            other => format!("{other:?}"),
        }),
        cipher: suite.and_then(|suite| Some(suite.suite().as_str()?.to_owned())),
        alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
        certificates: chain
            .iter()
            .filter_map(|der| certificate::describe(der))
            .collect(),
    }
}
