//! Waiting for a state instead of a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at: short enough not to slow a test, long enough not to load the machine.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// Panics after `timeout`, so that a state that never comes fails its test instead of hanging it.
pub async fn wait_until(timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !condition().await {
        assert!(
            begin.elapsed() < timeout,
            "the awaited state did not come within {timeout:?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
