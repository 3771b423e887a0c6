//! Client settings of TLS, built once per set of options: reading the system's roots and parsing PEM is too slow to repeat.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sonde_core::{ClientCertificate, Reason, TlsOptions};

use super::verify::{Recorder, Trust};
use crate::observe::Failure;

/// Settings kept at most; beyond that they are forgotten together and built again as needed.
const SETTINGS_KEPT: usize = 1024;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// The system's roots, or Mozilla's where the system has none.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let (_, ignored) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if ignored > 0 {
        tracing::debug!(
            ignored,
            "some of the system's root certificates cannot be parsed"
        );
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Arc::new(roots)
});

/// Reads the system's roots unless that was done before; takes some milliseconds.
pub(crate) fn load_system_roots() {
    LazyLock::force(&SYSTEM_ROOTS);
}

/// What was built so far, by the hash of what it was built from.
#[derive(Debug, Default)]
pub(crate) struct ClientConfigs {
    hasher: RandomState,
    built: Mutex<HashMap<u64, Arc<Template>>>,
}

#[derive(Debug)]
struct Template {
    options: TlsOptions,
    alpn: Vec<Vec<u8>>,
    config: ClientConfig,
    trust: Arc<Trust>,
}

impl ClientConfigs {
    /// Settings for one handshake, with the recorder that will know the server's certificates.
    pub(super) fn get(
        &self,
        options: &TlsOptions,
        alpn: &[&[u8]],
    ) -> Result<(Arc<ClientConfig>, Arc<Recorder>), Failure> {
        let template = self.template(options, alpn)?;
        let recorder = Arc::new(Recorder::new(&PROVIDER, &template.trust));
        let mut config = template.config.clone();
        config
            .dangerous()
            .set_certificate_verifier(recorder.clone());
        Ok((Arc::new(config), recorder))
    }

    fn template(&self, options: &TlsOptions, alpn: &[&[u8]]) -> Result<Arc<Template>, Failure> {
        let key = self.hasher.hash_one((options, alpn));
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = built.get(&key)
            && template.options == *options
            && template.alpn == alpn
        {
            return Ok(template.clone());
        }
        let template = Arc::new(Template::new(options, alpn).map_err(|why| {
            Failure::new(
                Reason::TlsHandshake,
                format!("the TLS options cannot be used: {why}"),
            )
        })?);
        if built.len() >= SETTINGS_KEPT {
            built.clear();
        }
        built.insert(key, template.clone());
        Ok(template)
    }
}

impl Template {
    fn new(options: &TlsOptions, alpn: &[&[u8]]) -> Result<Self, String> {
        let trust = Arc::new(trust(options)?);
        let builder = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Recorder::new(&PROVIDER, &trust)));
        let mut config = match &options.client_certificate {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = identity(client)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("client certificate: {error}"))?
            }
        };
        // Every check does a full handshake: a resumed one would measure something else.
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Self {
            options: options.clone(),
            alpn: config.alpn_protocols.clone(),
            config,
            trust,
        })
    }
}

fn trust(options: &TlsOptions) -> Result<Trust, String> {
    if options.skip_verify {
        return Ok(Trust::Everything);
    }
    let (roots, pinned) = match &options.ca {
        None => (SYSTEM_ROOTS.clone(), Vec::new()),
        Some(pem) => {
            let certificates = certificates(pem).map_err(|why| format!("ca: {why}"))?;
            let mut roots = RootCertStore::empty();
            for certificate in &certificates {
                let added = roots.add(certificate.clone());
                added.map_err(|error| format!("ca: {error}"))?;
            }
            (Arc::new(roots), certificates)
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone())
        .build()
        .map_err(|error| error.to_string())?;
    Ok(Trust::Roots { verifier, pinned })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = parsed.map_err(|error| format!("not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("no certificate in the PEM".to_owned());
    }
    Ok(certificates)
}

fn identity(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain =
        certificates(&client.certificate).map_err(|why| format!("client certificate: {why}"))?;
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes())
        .map_err(|error| format!("client key: {error}"))?;
    Ok((chain, key))
}
