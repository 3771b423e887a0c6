//! What `queues.toml` says: frequency classes, retries, and how the broker may redeliver.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Frequency;
use crate::time::serde_micros;

/// One class of monitors and the queues (one per region) that its tasks go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrequencyClass {
    pub name: Frequency,
    /// Also the tasks' time to live.
    pub period: Duration,
    /// Permits per region and checker.
    pub prefetch: u16,
}

/// How attempts after the first are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    #[serde(with = "serde_micros", rename = "initial_us")]
    pub initial: Duration,
    pub factor: f64,
    #[serde(with = "serde_micros", rename = "max_us")]
    pub max: Duration,
    /// Share of each wait that is random, 0 to 1.
    pub jitter: f64,
}

impl RetryPolicy {
    /// The longest that all waits between attempts can take together.
    pub fn longest_wait(&self) -> Duration {
        let waits = (0..self.retries.min(1000)).scan(self.initial, |wait, _| {
            let this = (*wait).min(self.max);
            *wait = this.mul_f64(self.factor);
            Some(this.mul_f64(1.0 + self.jitter))
        });
        waits.sum()
    }
}

/// The validated `queues.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    pub retry: RetryPolicy,
    /// Redeliveries by the broker when a checker dies with the task.
    pub delivery_limit: u32,
    /// Sorted by period, shortest first; never empty.
    pub frequencies: Vec<FrequencyClass>,
    /// Shares of the results, by a stable hash of the monitor.
    pub partitions: u16,
    /// Whether results also go to queues of the alerter.
    pub alerting: bool,
}

impl QueueSettings {
    /// The class with the largest period that is not above `interval`; the shortest one below that.
    pub fn class_of(&self, interval: Duration) -> &FrequencyClass {
        let at = self
            .frequencies
            .partition_point(|class| class.period <= interval);
        &self.frequencies[at.saturating_sub(1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, seconds: u64) -> FrequencyClass {
        let name = Frequency::new(name).unwrap();
        FrequencyClass {
            name,
            period: Duration::from_secs(seconds),
            prefetch: 1,
        }
    }

    const RETRY: RetryPolicy = RetryPolicy {
        retries: 3,
        initial: Duration::from_millis(500),
        factor: 2.0,
        max: Duration::from_millis(1500),
        jitter: 0.5,
    };

    #[test]
    fn an_interval_belongs_to_the_longest_class_that_is_not_longer() {
        let frequencies = vec![class("5s", 5), class("1m", 60), class("1d", 86_400)];
        let settings = QueueSettings {
            retry: RETRY,
            delivery_limit: 3,
            frequencies,
            partitions: 1,
            alerting: false,
        };
        let of = |seconds| {
            settings
                .class_of(Duration::from_secs(seconds))
                .name
                .to_string()
        };
        assert_eq!(
            [of(5), of(59), of(60), of(61), of(1_000_000)],
            ["5s", "5s", "1m", "1m", "1d"]
        );
    }

    #[test]
    fn the_longest_wait_counts_caps_and_jitter() {
        // 0.5, 1.0, 1.5 (capped), each up to half as long again.
        assert_eq!(RETRY.longest_wait(), Duration::from_millis(4500));
    }
}
