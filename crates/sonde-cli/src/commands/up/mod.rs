//! Not built yet.

use crate::exit::{Error, Exit};

/// To come
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

#[expect(clippy::unused_async, reason = "the signature of what comes here")]
pub(crate) async fn run(_options: Options) -> Result<Exit, Error> {
    Err(Error::usage("this command is not built yet"))
}
