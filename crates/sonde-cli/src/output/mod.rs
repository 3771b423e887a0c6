//! What results look like on standard output, one file per format.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// Standard output. A reader that has gone away (`sonde check | head`) is no error: the exit code still tells.
pub(crate) struct Stdout(anstream::AutoStream<io::Stdout>);

impl Stdout {
    /// Colour only where the terminal has it.
    pub(crate) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// Writes and flushes, so that what streams arrives as it happens.
    pub(crate) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let written = self
            .0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        }
    }
}
