//! Waiting for a state instead of a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at: short enough not to slow a test, long enough not to load the machine.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// Panics after `timeout`, so that a state that never comes fails its test instead of hanging it.
pub async fn wait_until(timeout: Duration, condition: impl AsyncFnMut() -> bool) {
    assert!(
        comes_within(timeout, condition).await,
        "the awaited state did not come within {timeout:?}"
    );
}

/// As [`wait_until`], for who has more to say when the state does not come.
pub(crate) async fn comes_within(
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> bool {
    let begin = Instant::now();
    while !condition().await {
        if begin.elapsed() > timeout {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}
