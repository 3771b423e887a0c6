//! Why an exchange broke, as a reason and a sentence. Pure.

use std::error::Error;
use std::io;

use sonde_core::Reason;

use crate::observe::Failure;
use crate::tls;

/// What was known of an exchange when it broke.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken<'a> {
    pub(super) host: &'a str,
    /// The first byte that came.
    pub(super) heard: Option<u8>,
    /// HTTP/2 was spoken without asking, and no head came.
    pub(super) unasked_h2: bool,
}

/// The first byte of TLS records that servers answer nonsense with: alert and handshake (RFC 8446 §5.1).
const TLS_RECORDS: [u8; 2] = [21, 22];

impl Broken<'_> {
    pub(super) fn because(self, error: &hyper::Error) -> Failure {
        let host = self.host;
        let io = io_error(error);
        if let Some(failure) = io.and_then(|io| tls::broken(io, host)) {
            return failure;
        }
        let ended = io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
        let (reason, message) = match self.heard {
            _ if io.is_some_and(is_reset) => (
                Reason::ConnectReset,
                format!("`{host}` reset the connection {}", self.when()),
            ),
            _ if self.unasked_h2 => (
                Reason::HttpVersion,
                format!("`{host}` does not speak HTTP/2 without TLS"),
            ),
            None => (
                Reason::ConnectReset,
                format!("`{host}` closed the connection {}", self.when()),
            ),
            Some(_) if ended || error.is_incomplete_message() => (
                Reason::HttpProtocol,
                format!("`{host}` closed the connection {}", self.when()),
            ),
            Some(byte) if TLS_RECORDS.contains(&byte) => (
                Reason::HttpProtocol,
                format!("`{host}` answers with TLS: that port may want https"),
            ),
            Some(_) => (
                Reason::HttpProtocol,
                format!(
                    "the answer of `{host}` is not valid HTTP: {}",
                    innermost(error)
                ),
            ),
        };
        Failure::new(reason, message)
    }

    fn when(self) -> &'static str {
        match self.heard {
            Some(_) => "in the middle of its answer",
            None => "without an answer",
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The cause that says the most; hyper's own words above it say little.
fn innermost(error: &hyper::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
