//! The waits between attempts. The only place that knows the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use sonde_core::RetryPolicy;

/// At most `policy.retries` waits, each longer than the last up to the policy's maximum.
pub(crate) fn waits(policy: &RetryPolicy) -> impl Iterator<Item = Duration> + Send + use<> {
    let initial = policy.initial.min(policy.max);
    let mut backoff = ExponentialBackoff {
        current_interval: initial,
        initial_interval: initial,
        randomization_factor: policy.jitter,
        multiplier: policy.factor,
        max_interval: policy.max,
        // The deadline is kept by the caller.
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let retries = usize::try_from(policy.retries).unwrap_or(usize::MAX);
    std::iter::from_fn(move || backoff.next_backoff()).take(retries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        retries: 4,
        initial: Duration::from_millis(500),
        factor: 2.0,
        max: Duration::from_millis(1500),
        jitter: 0.0,
    };

    #[test]
    fn waits_grow_up_to_the_maximum_and_end_with_the_retries() {
        let millis: Vec<_> = waits(&POLICY).map(|wait| wait.as_millis()).collect();
        assert_eq!(millis, [500, 1000, 1500, 1500]);
    }

    #[test]
    fn jitter_spreads_a_wait_both_ways_and_never_beyond_the_longest() {
        let policy = RetryPolicy {
            jitter: 0.5,
            ..POLICY
        };
        for _ in 0..200 {
            let first = waits(&policy).next().unwrap();
            assert!((250..=750).contains(&first.as_millis()), "{first:?}");
            assert!(waits(&policy).sum::<Duration>() <= policy.longest_wait());
        }
    }
}
