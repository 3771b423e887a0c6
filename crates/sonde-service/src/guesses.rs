//! Guessing is slow: after a few failures in a row, whoever failed has to wait, longer each time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Result, ServiceError};

/// A person mistypes so often.
const FREE: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// A failure is forgotten after so long.
const MEMORY: Duration = Duration::from_mins(15);
/// More than this many who failed are not remembered: the oldest go first.
const MOST: usize = 100_000;

/// Failures by who failed: an address, an account.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(self) -> Duration {
        let beyond = self.count.saturating_sub(FREE);
        if beyond == 0 {
            return Duration::ZERO;
        }
        let doubled = 2_u32.saturating_pow(beyond - 1);
        FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
    }

    fn left(self, now: Instant) -> Duration {
        (self.last + self.wait()).saturating_duration_since(now)
    }
}

impl Guesses {
    /// Whether any of `who` has to wait still.
    pub(crate) fn admit(&self, who: &[&str]) -> Result<()> {
        let now = Instant::now();
        let failures = self.failures();
        let left = who.iter().filter_map(|who| failures.get(*who));
        let longest = left.map(|failures| failures.left(now)).max();
        match longest.unwrap_or_default() {
            Duration::ZERO => Ok(()),
            retry_after => Err(ServiceError::TooMany { retry_after }),
        }
    }

    pub(crate) fn failed(&self, who: &[&str]) {
        let now = Instant::now();
        let mut failures = self.failures();
        if failures.len() >= MOST {
            failures.retain(|_, failures| now.duration_since(failures.last) < MEMORY);
        }
        if failures.len() >= MOST {
            failures.clear();
        }
        for who in who {
            let failures = failures.entry((*who).to_owned()).or_insert(Failures {
                count: 0,
                last: now,
            });
            let forgotten = now.duration_since(failures.last) >= MEMORY;
            failures.count = if forgotten { 1 } else { failures.count + 1 };
            failures.last = now;
        }
    }

    pub(crate) fn succeeded(&self, who: &[&str]) {
        let mut failures = self.failures();
        for who in who {
            failures.remove(*who);
        }
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, Failures>> {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_guesses_waits_longer_each_time_and_others_do_not() {
        let guesses = Guesses::default();
        let who = ["203.0.113.7"];
        for _ in 0..FREE {
            guesses.admit(&who).unwrap();
            guesses.failed(&who);
        }
        guesses.admit(&who).unwrap();
        for seconds in [1, 2, 4] {
            guesses.failed(&who);
            guesses.admit(&["203.0.113.8"]).unwrap();
            let error = guesses.admit(&["203.0.113.8", who[0]]).unwrap_err();
            assert!(
                matches!(error, ServiceError::TooMany { retry_after } if retry_after.as_secs() == seconds)
            );
            tokio::time::advance(Duration::from_secs(seconds)).await;
            guesses.admit(&who).unwrap();
        }
        guesses.succeeded(&who);
        guesses.failed(&who);
        guesses.admit(&who).unwrap();
    }
}
