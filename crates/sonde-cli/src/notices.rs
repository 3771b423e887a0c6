//! What notices are sent with, for every process that tells people something.

use anyhow::Context as _;
use sonde_alert::{Mailer, Sender};
use sonde_config::settings::SmtpSettings;
use sonde_probe::Egress;

use crate::exit::Error;

/// Without `smtp` it sends no mail, and says so in the log of channels that want some.
pub(crate) fn sender(
    smtp: Option<&SmtpSettings>,
    egress: Egress,
    allow_exec: bool,
) -> Result<Sender, Error> {
    let mailer = smtp.cloned().map(Mailer::new).transpose();
    let mailer = mailer.map_err(|error| Error::Usage(error.into()))?;
    let sender = Sender::new(egress, allow_exec, mailer);
    Ok(sender.context("cannot send notices")?)
}
