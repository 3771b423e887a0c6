//! How the topology is called on the broker: exchanges, routing keys, arguments. The one place that knows them, for
//! declaring as for comparing.

use std::collections::BTreeMap;

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

use crate::{DeadLetters, QueueDeclaration, QueueName, Route};

const CHECKS: &str = "sonde.checks";
const DEAD: &str = "sonde.dead";
pub(super) const RESULTS: &str = "sonde.results";
const NOTIFICATIONS: &str = "sonde.notifications";
const USAGE: &str = "sonde.usage";
pub(super) const CONFIG: &str = "sonde.config";
pub(super) const FLEET: &str = "sonde.fleet";
/// Leads to the queue that the key names.
const DEFAULT: &str = "";

/// In the order in which they are declared.
pub(super) const EXCHANGES: [(&str, ExchangeKind); 7] = [
    (DEAD, ExchangeKind::Fanout),
    (RESULTS, ExchangeKind::Direct),
    (CHECKS, ExchangeKind::Direct),
    (NOTIFICATIONS, ExchangeKind::Direct),
    (USAGE, ExchangeKind::Direct),
    (CONFIG, ExchangeKind::Fanout),
    (FLEET, ExchangeKind::Topic),
];

/// The name as the broker and its management API spell it.
pub(super) fn kind(kind: &ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        _ => "direct",
    }
}

/// An exchange and a routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) exchange: &'static str,
    pub(super) key: String,
}

impl Address {
    pub(super) fn new(exchange: &'static str, key: impl Into<String>) -> Self {
        let key = key.into();
        Self { exchange, key }
    }

    pub(super) fn of(route: &Route) -> Self {
        match route {
            Route::Checks { frequency, region } => {
                Self::new(CHECKS, format!("{frequency}.{region}"))
            }
            Route::Now { region } => Self::new(CHECKS, format!("now.{region}")),
            Route::Results { partition } => Self::new(RESULTS, partition.to_string()),
            Route::Ledger => Self::new(RESULTS, "ledger"),
            Route::Poison => Self::new(RESULTS, "poison"),
            Route::Cron => Self::new(DEFAULT, QueueName::Cron.to_string()),
        }
    }

    /// What has to be bound to a queue. Nothing for those that the default exchange leads to.
    pub(super) fn bound_to(queue: &QueueDeclaration) -> Option<Self> {
        let address = match (&queue.name, &queue.bound_to) {
            (_, Some(route)) => Self::of(route),
            (QueueName::Dead, None) => Self::new(DEAD, ""),
            (name @ (QueueName::Notifications | QueueName::NotificationsRetry { .. }), None) => {
                Self::new(NOTIFICATIONS, name.to_string())
            }
            (name @ QueueName::Usage, None) => Self::new(USAGE, name.to_string()),
            _ => return None,
        };
        (address.exchange != DEFAULT).then_some(address)
    }
}

/// The value of a queue's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Text(&'static str),
    Number(i64),
    Flag(bool),
}

/// No message is ever delivered so often. It has to be said, because from 4.0 on a queue without a limit drops what was
/// delivered more than 20 times; and as a number, because 3.x has no other way to say it.
const UNLIMITED: i64 = 1_000_000_000;

/// Those of a queue, by the broker's names for them.
pub(super) fn arguments(queue: &QueueDeclaration) -> BTreeMap<&'static str, Argument> {
    use Argument::{Flag, Number, Text};
    let limit = queue.delivery_limit.map_or(UNLIMITED, i64::from);
    let mut arguments = BTreeMap::from([
        ("x-queue-type", Text("quorum")),
        ("x-delivery-limit", Number(limit)),
    ]);
    if let Some(time_to_live) = queue.time_to_live {
        let millis = i64::try_from(time_to_live.as_millis()).unwrap_or(i64::MAX);
        arguments.insert("x-message-ttl", Number(millis));
    }
    if queue.single_active {
        arguments.insert("x-single-active-consumer", Flag(true));
    }
    if let Some(length) = queue.max_length {
        arguments.insert("x-max-length", Number(length.into()));
    }
    let exchange = match queue.dead_letters {
        DeadLetters::Dropped => return arguments,
        DeadLetters::Dead => DEAD,
        DeadLetters::Notifications => {
            arguments.insert("x-dead-letter-routing-key", Text("notifications"));
            NOTIFICATIONS
        }
    };
    // At-least-once is silently less with any other overflow.
    arguments.extend([
        ("x-dead-letter-exchange", Text(exchange)),
        ("x-dead-letter-strategy", Text("at-least-once")),
        ("x-overflow", Text("reject-publish")),
    ]);
    arguments
}

pub(super) fn table(arguments: BTreeMap<&'static str, Argument>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, argument) in arguments {
        let value = match argument {
            Argument::Text(text) => AMQPValue::LongString(text.into()),
            Argument::Number(number) => AMQPValue::LongLongInt(number),
            Argument::Flag(flag) => AMQPValue::Boolean(flag),
        };
        table.insert(name.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::{Frequency, Region};

    use super::*;

    #[test]
    fn a_queue_of_checks_has_the_arguments_of_the_table() {
        let (frequency, region) = (Frequency::new("5s").unwrap(), Region::local());
        let name = QueueName::Now {
            region: region.clone(),
        };
        let queue = QueueDeclaration {
            time_to_live: Some(Duration::from_secs(5)),
            delivery_limit: Some(3),
            dead_letters: DeadLetters::Dead,
            ..QueueDeclaration::unbounded(name, Some(Route::Checks { frequency, region }))
        };
        let expected = BTreeMap::from([
            ("x-queue-type", Argument::Text("quorum")),
            ("x-delivery-limit", Argument::Number(3)),
            ("x-message-ttl", Argument::Number(5000)),
            ("x-dead-letter-exchange", Argument::Text("sonde.dead")),
            ("x-dead-letter-strategy", Argument::Text("at-least-once")),
            ("x-overflow", Argument::Text("reject-publish")),
        ]);
        assert_eq!(arguments(&queue), expected);
        let bound_to = Address::new("sonde.checks", "5s.local");
        assert_eq!(Address::bound_to(&queue), Some(bound_to));
    }

    #[test]
    fn what_the_default_exchange_leads_to_is_not_bound() {
        let cron = QueueDeclaration::unbounded(QueueName::Cron, Some(Route::Cron));
        assert_eq!(Address::bound_to(&cron), None);
        assert_eq!(
            Address::of(&Route::Cron),
            Address::new("", "dispatcher.cron")
        );
    }
}
