//! Exchanges, queues and bindings: the one place that knows them.

use std::fmt;
use std::time::Duration;

use sonde_core::{Frequency, QueueSettings, Region};

/// Where a published message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// Scheduled tasks.
    Checks {
        frequency: Frequency,
        region: Region,
    },
    /// On-demand tasks.
    Now { region: Region },
    /// Results of the monitors of one partition: to the store and to the alerter.
    Results { partition: u16 },
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checks { frequency, region } => write!(f, "sonde.checks/{frequency}.{region}"),
            Self::Now { region } => write!(f, "sonde.checks/now.{region}"),
            Self::Results { partition } => write!(f, "sonde.results/{partition}"),
        }
    }
}

/// What can be consumed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    Checks {
        frequency: Frequency,
        region: Region,
    },
    Now {
        region: Region,
    },
    Dead,
    Store {
        partition: u16,
    },
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checks { frequency, region } => write!(f, "checks.{frequency}.{region}"),
            Self::Now { region } => write!(f, "checks.now.{region}"),
            Self::Dead => f.write_str("checks.dead"),
            Self::Store { partition } => write!(f, "results.store.{partition}"),
        }
    }
}

/// One queue and what flows into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    pub name: QueueName,
    /// None for the dead letters, which the broker fills.
    pub bound_to: Option<Route>,
    /// Messages that waited longer are dead-lettered.
    pub time_to_live: Option<Duration>,
    /// Redeliveries before a message is dead-lettered; unlimited when absent.
    pub delivery_limit: Option<u32>,
}

/// All queues, in the order in which they must be declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    pub queues: Vec<QueueDeclaration>,
}

/// An on-demand task that nobody took for so long is of no use to who asked.
const NOW_TIME_TO_LIVE: Duration = Duration::from_mins(1);

impl Topology {
    /// Dead letters first, then results, then checks: a dead-letter target bound late holds messages for minutes.
    pub fn new(settings: &QueueSettings, regions: &[Region], partitions: u16) -> Self {
        let mut queues = vec![QueueDeclaration::unbounded(QueueName::Dead, None)];
        for partition in 0..partitions {
            let route = Route::Results { partition };
            queues.push(QueueDeclaration::unbounded(
                QueueName::Store { partition },
                Some(route),
            ));
        }
        for region in regions {
            for class in &settings.frequencies {
                let (frequency, region) = (class.name.clone(), region.clone());
                queues.push(QueueDeclaration {
                    name: QueueName::Checks {
                        frequency: frequency.clone(),
                        region: region.clone(),
                    },
                    bound_to: Some(Route::Checks { frequency, region }),
                    time_to_live: Some(class.period),
                    delivery_limit: Some(settings.delivery_limit),
                });
            }
            queues.push(QueueDeclaration {
                name: QueueName::Now {
                    region: region.clone(),
                },
                bound_to: Some(Route::Now {
                    region: region.clone(),
                }),
                time_to_live: Some(NOW_TIME_TO_LIVE),
                delivery_limit: Some(settings.delivery_limit),
            });
        }
        Self { queues }
    }
}

impl QueueDeclaration {
    fn unbounded(name: QueueName, bound_to: Option<Route>) -> Self {
        Self {
            name,
            bound_to,
            time_to_live: None,
            delivery_limit: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::{FrequencyClass, RetryPolicy};

    use super::*;

    #[test]
    fn dead_letters_are_declared_first_then_results_then_checks() {
        let class = |name: &str, seconds| FrequencyClass {
            name: Frequency::new(name).unwrap(),
            period: Duration::from_secs(seconds),
            prefetch: 1,
        };
        let settings = QueueSettings {
            retry: RetryPolicy {
                retries: 3,
                initial: Duration::ZERO,
                factor: 2.0,
                max: Duration::ZERO,
                jitter: 0.0,
            },
            delivery_limit: 3,
            frequencies: vec![class("5s", 5), class("1m", 60)],
        };
        let topology = Topology::new(&settings, &[Region::local()], 2);
        let names: Vec<_> = topology
            .queues
            .iter()
            .map(|queue| queue.name.to_string())
            .collect();
        let expected = [
            "checks.dead",
            "results.store.0",
            "results.store.1",
            "checks.5s.local",
            "checks.1m.local",
            "checks.now.local",
        ];
        assert_eq!(names, expected);
        let minute = &topology.queues[4];
        assert_eq!(minute.time_to_live, Some(Duration::from_mins(1)));
        assert_eq!(minute.delivery_limit, Some(3));
    }
}
