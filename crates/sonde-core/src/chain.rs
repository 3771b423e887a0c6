//! An error with its causes, for logs and the edge.

use std::error::Error;

/// The error and what caused it in one line, as `{:#}` of anyhow has it: `cannot store: disk full`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
