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
    /// Some byte of the answer had come.
    pub(super) answered: bool,
    /// HTTP/2 was spoken without asking, and no head came.
    pub(super) unasked_h2: bool,
}

impl Broken<'_> {
    pub(super) fn because(self, error: &hyper::Error) -> Failure {
        let host = self.host;
        if let Some(error) = io_error(error) {
            if let Some(failure) = tls::broken(error, host) {
                return failure;
            }
            if is_reset(error) {
                let when = if self.answered {
                    "in the middle of its answer"
                } else {
                    "without an answer"
                };
                let message = format!("`{host}` reset the connection {when}");
                return Failure::new(Reason::ConnectReset, message);
            }
        }
        if self.unasked_h2 {
            let message = format!("`{host}` does not speak HTTP/2 without TLS");
            return Failure::new(Reason::HttpVersion, message);
        }
        if self.answered {
            let message = if error.is_incomplete_message() {
                format!("`{host}` closed the connection in the middle of its answer")
            } else {
                format!("the answer of `{host}` is not valid HTTP: {}", chain(error))
            };
            return Failure::new(Reason::HttpProtocol, message);
        }
        let message = format!("`{host}` closed the connection without an answer");
        Failure::new(Reason::ConnectReset, message)
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

/// The innermost cause, which says the most; hyper's own words above it say little.
fn chain(error: &hyper::Error) -> String {
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
