//! The server that mails go out through.

use std::path::PathBuf;

use sonde_config::settings::{SmtpFrom, SmtpSettings};

use crate::configuration;
use crate::exit::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct SmtpOptions {
    /// The server that e-mail goes out through, by smtps or smtp+starttls with user and password, or by smtp without
    #[arg(
        long = "smtp-url",
        value_name = "URL",
        env = "SONDE_SMTP_URL",
        hide_env_values = true
    )]
    url: Option<String>,
    /// The same in a file
    #[arg(
        long = "smtp-url-file",
        value_name = "FILE",
        env = "SONDE_SMTP_URL_FILE"
    )]
    url_file: Option<PathBuf>,
    /// Whom e-mail comes from, as in `Sonde <sonde@example.com>`
    #[arg(long = "smtp-from", value_name = "ADDRESS", env = "SONDE_SMTP_FROM")]
    from: Option<String>,
}

impl SmtpOptions {
    pub(crate) fn settings(&self) -> Result<Option<SmtpSettings>, Error> {
        // Compose files pass variables that are set to nothing: they mean that there is none.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let url = match &self.url_file {
            Some(path) if !path.as_os_str().is_empty() => Some(configuration::read_secret(path)?),
            _ => given(&self.url),
        };
        let Some(url) = url else {
            return Ok(None);
        };
        let from = given(&self.from);
        let from = from.ok_or_else(|| {
            Error::usage("--smtp-url (SONDE_SMTP_URL) needs --smtp-from (SONDE_SMTP_FROM)")
        })?;
        let from = SmtpFrom::parse(&from);
        let from = from.map_err(|problem| Error::usage(format!("--smtp-from: {problem}")))?;
        let settings = SmtpSettings::new(&url, from);
        let settings = settings.map_err(|problem| Error::usage(format!("--smtp-url {problem}")))?;
        Ok(Some(settings))
    }
}
