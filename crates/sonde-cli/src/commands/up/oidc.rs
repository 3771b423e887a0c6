//! The identity provider that people may sign in with.

use std::path::PathBuf;

use anyhow::Context as _;
use sonde_config::settings::{OidcSettings, Secret};
use sonde_service::OidcProvider;

use crate::configuration;
use crate::exit::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct OidcOptions {
    /// An OpenID Connect provider to sign in with, which knows PUBLIC-URL/v1/session/oidc/callback
    #[arg(long = "oidc-issuer", value_name = "URL", env = "SONDE_OIDC_ISSUER")]
    issuer: Option<String>,
    /// Who Sonde is to it
    #[arg(
        long = "oidc-client-id",
        value_name = "ID",
        env = "SONDE_OIDC_CLIENT_ID"
    )]
    client_id: Option<String>,
    /// Proves that to it; none for a public client
    #[arg(
        long = "oidc-client-secret",
        value_name = "SECRET",
        env = "SONDE_OIDC_CLIENT_SECRET",
        hide_env_values = true
    )]
    client_secret: Option<String>,
    /// The same in a file
    #[arg(
        long = "oidc-client-secret-file",
        value_name = "FILE",
        env = "SONDE_OIDC_CLIENT_SECRET_FILE"
    )]
    client_secret_file: Option<PathBuf>,
}

impl OidcOptions {
    pub(crate) fn provider(&self) -> Result<Option<OidcProvider>, Error> {
        // Compose files pass variables that are set to nothing: they mean that there is none.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let Some(issuer) = given(&self.issuer) else {
            return Ok(None);
        };
        let client_id = given(&self.client_id);
        let client_id =
            client_id.ok_or_else(|| Error::usage("--oidc-issuer needs --oidc-client-id"))?;
        let secret = match &self.client_secret_file {
            Some(path) if !path.as_os_str().is_empty() => Some(configuration::read_secret(path)?),
            _ => given(&self.client_secret),
        };
        let settings = OidcSettings::new(&issuer, client_id, secret.map(Secret::new));
        let settings =
            settings.map_err(|problem| Error::usage(format!("--oidc-issuer {problem}")))?;
        let provider = OidcProvider::new(settings);
        Ok(Some(provider.context("cannot ask the identity provider")?))
    }
}
