//! What the operating system lets this process have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the number of open files to what this process may have: every check in flight holds a socket or more, and the
/// usual soft limit of 1024 is as many as there are permits.
pub(crate) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}
