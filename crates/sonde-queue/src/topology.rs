//! Exchanges, queues and bindings: the one place that knows them.

use std::fmt;
use std::time::Duration;

use sonde_core::{Frequency, QueueSettings, Region, format_duration};

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
    /// What the dispatcher scheduled.
    Ledger,
    /// What could not be read or stored, for a person to look at.
    Poison,
    /// A trigger from outside, to whoever leads.
    Cron,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checks { frequency, region } => write!(f, "sonde.checks/{frequency}.{region}"),
            Self::Now { region } => write!(f, "sonde.checks/now.{region}"),
            Self::Results { partition } => write!(f, "sonde.results/{partition}"),
            Self::Ledger => f.write_str("sonde.results/ledger"),
            Self::Poison => f.write_str("sonde.results/poison"),
            Self::Cron => f.write_str("dispatcher.cron"),
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
    Alert {
        partition: u16,
    },
    Ledger,
    Poison,
    Notifications,
    /// Notifications that wait to be tried again.
    NotificationsRetry {
        delay: Duration,
    },
    Usage,
    Watermark,
    Cron,
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checks { frequency, region } => write!(f, "checks.{frequency}.{region}"),
            Self::Now { region } => write!(f, "checks.now.{region}"),
            Self::Dead => f.write_str("checks.dead"),
            Self::Store { partition } => write!(f, "results.store.{partition}"),
            Self::Alert { partition } => write!(f, "results.alert.{partition}"),
            Self::Ledger => f.write_str("results.ledger"),
            Self::Poison => f.write_str("results.poison"),
            Self::Notifications => f.write_str("notifications"),
            Self::NotificationsRetry { delay } => {
                write!(f, "notifications.retry.{}", format_duration(*delay))
            }
            Self::Usage => f.write_str("usage"),
            Self::Watermark => f.write_str("dispatcher.watermark"),
            Self::Cron => f.write_str("dispatcher.cron"),
        }
    }
}

/// Where a queue's expired, rejected and too often delivered messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetters {
    /// Nowhere: they are gone.
    Dropped,
    /// To [`QueueName::Dead`], at least once.
    Dead,
    /// Back to [`QueueName::Notifications`]: the wait is over.
    Notifications,
}

/// One queue and what flows into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    pub name: QueueName,
    /// None for what the broker fills, or is addressed by the queue's own name.
    pub bound_to: Option<Route>,
    /// Messages that waited longer are dead-lettered.
    pub time_to_live: Option<Duration>,
    /// Redeliveries before a message is dead-lettered; unlimited when absent.
    pub delivery_limit: Option<u32>,
    /// Only one consumer at a time gets messages; the others stand by.
    pub single_active: bool,
    /// Beyond it the oldest message is dropped.
    pub max_length: Option<u32>,
    pub dead_letters: DeadLetters,
}

/// All queues, in the order in which they must be declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    pub queues: Vec<QueueDeclaration>,
}

/// An on-demand task that nobody took for so long is of no use to who asked.
const NOW_TIME_TO_LIVE: Duration = Duration::from_mins(1);

/// A notification whose channel failed waits this long, each time longer, before it is tried again.
pub const NOTIFICATION_DELAYS: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
];

/// For a person to look at: the newest are enough to see what is wrong.
const MOST_POISON: u32 = 100_000;

impl Topology {
    /// Dead letters first, then results, then checks: a dead-letter target bound late holds messages for minutes.
    pub fn new(settings: &QueueSettings, regions: &[Region], partitions: u16) -> Self {
        let mut queues = vec![QueueDeclaration::unbounded(QueueName::Dead, None)];
        for partition in 0..partitions {
            let route = Some(Route::Results { partition });
            let store = QueueName::Store { partition };
            queues.push(QueueDeclaration::unbounded(store, route.clone()));
            if settings.alerting {
                let alert = QueueName::Alert { partition };
                queues.push(QueueDeclaration {
                    single_active: true,
                    ..QueueDeclaration::unbounded(alert, route)
                });
            }
        }
        queues.extend(QueueDeclaration::of_roles());
        queues.extend(Self::of_regions(settings, regions).queues);
        Self { queues }
    }

    /// Only what regions add to a topology that is there.
    pub fn of_regions(settings: &QueueSettings, regions: &[Region]) -> Self {
        let queues = regions.iter();
        let queues = queues.flat_map(|region| QueueDeclaration::of_region(settings, region));
        Self {
            queues: queues.collect(),
        }
    }
}

impl QueueDeclaration {
    /// Nothing limits it.
    pub fn unbounded(name: QueueName, bound_to: Option<Route>) -> Self {
        Self {
            name,
            bound_to,
            time_to_live: None,
            delivery_limit: None,
            single_active: false,
            max_length: None,
            dead_letters: DeadLetters::Dropped,
        }
    }

    /// What the roles need beside results and checks, whatever the regions.
    fn of_roles() -> Vec<Self> {
        let mut queues = vec![
            Self::unbounded(QueueName::Ledger, Some(Route::Ledger)),
            Self {
                max_length: Some(MOST_POISON),
                ..Self::unbounded(QueueName::Poison, Some(Route::Poison))
            },
            Self::unbounded(QueueName::Notifications, None),
        ];
        queues.extend(NOTIFICATION_DELAYS.map(|delay| Self {
            time_to_live: Some(delay),
            dead_letters: DeadLetters::Notifications,
            ..Self::unbounded(QueueName::NotificationsRetry { delay }, None)
        }));
        queues.extend([
            Self::unbounded(QueueName::Usage, None),
            Self {
                max_length: Some(1),
                ..Self::unbounded(QueueName::Watermark, None)
            },
            Self::unbounded(QueueName::Cron, Some(Route::Cron)),
        ]);
        queues
    }

    /// One per class, and one for tasks on demand.
    fn of_region(settings: &QueueSettings, region: &Region) -> Vec<Self> {
        let mut queues = Vec::new();
        for class in &settings.frequencies {
            let (frequency, region) = (class.name.clone(), region.clone());
            let name = QueueName::Checks {
                frequency: frequency.clone(),
                region: region.clone(),
            };
            let route = Route::Checks { frequency, region };
            let limit = settings.delivery_limit;
            queues.push(Self::of_tasks(name, route, class.period, limit));
        }
        let name = QueueName::Now {
            region: region.clone(),
        };
        let route = Route::Now {
            region: region.clone(),
        };
        let limit = settings.delivery_limit;
        queues.push(Self::of_tasks(name, route, NOW_TIME_TO_LIVE, limit));
        queues
    }

    fn of_tasks(
        name: QueueName,
        route: Route,
        time_to_live: Duration,
        delivery_limit: u32,
    ) -> Self {
        Self {
            time_to_live: Some(time_to_live),
            delivery_limit: Some(delivery_limit),
            dead_letters: DeadLetters::Dead,
            ..Self::unbounded(name, Some(route))
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
            partitions: 2,
            alerting: false,
        };
        let names = |settings: &QueueSettings| {
            let topology = Topology::new(settings, &[Region::local()], 2);
            let queues = topology.queues.iter();
            queues
                .map(|queue| queue.name.to_string())
                .collect::<Vec<_>>()
        };
        let expected = [
            "checks.dead",
            "results.store.0",
            "results.store.1",
            "results.ledger",
            "results.poison",
            "notifications",
            "notifications.retry.10s",
            "notifications.retry.1m",
            "notifications.retry.10m",
            "usage",
            "dispatcher.watermark",
            "dispatcher.cron",
            "checks.5s.local",
            "checks.1m.local",
            "checks.now.local",
        ];
        assert_eq!(names(&settings), expected);
        let topology = Topology::new(&settings, &[Region::local()], 2);
        let minute = &topology.queues[13];
        assert_eq!(minute.time_to_live, Some(Duration::from_mins(1)));
        assert_eq!(minute.delivery_limit, Some(3));

        let alerting = QueueSettings {
            alerting: true,
            ..settings
        };
        let names = names(&alerting);
        assert_eq!(
            names[2..=4],
            ["results.alert.0", "results.store.1", "results.alert.1"]
        );
    }
}
