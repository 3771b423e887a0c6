//! Not built yet.

use crate::exit::{Error, Exit};

/// To come
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// To come
    Check,
}

#[expect(clippy::unused_async, reason = "the signature of what comes here")]
pub(crate) async fn run(_command: Command) -> Result<Exit, Error> {
    Err(Error::usage("this command is not built yet"))
}
