//! When the process is asked to stop, and what a second request means.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT or SIGTERM, whichever comes first.
pub(crate) async fn stop_requested() -> anyhow::Result<()> {
    let watch = |kind| signal(kind).context("cannot watch for signals");
    let (mut interrupt, mut terminate) = (
        watch(SignalKind::interrupt())?,
        watch(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Finishes `soft` unless a second signal asks to stop at once.
pub(crate) async fn or_second_signal(
    soft: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        done = soft => done,
        asked = stop_requested() => {
            asked?;
            anyhow::bail!("stopped at once by a second signal: what was in flight runs again at the next start")
        }
    }
}
