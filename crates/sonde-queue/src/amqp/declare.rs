//! The topology on the broker: declared, or verified to be there.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::Channel;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use super::consume::is_missing;
use super::link::{Link, objection, within};
use super::names::{Address, EXCHANGES, arguments, table};
use crate::{Depth, QueueDeclaration, QueueError, QueueName, Result, Topology};

/// For the exchanges together, and for each queue: however far away the broker is and however many queues there are, one
/// that hangs is noticed. 300 quorum queues take a broker 2 s; three round trips reach any broker.
const PATIENCE: Duration = Duration::from_secs(30);

const DURABLE: QueueDeclareOptions = QueueDeclareOptions {
    passive: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
    nowait: false,
};

const PASSIVE: QueueDeclareOptions = QueueDeclareOptions {
    passive: true,
    ..DURABLE
};

/// How the broker differs from the topology that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyProblem {
    /// There is no such queue.
    Missing(QueueName),
    /// It has other arguments; what differs, in words.
    Conflict { queue: QueueName, text: String },
    /// The queue does not get what it is for.
    MissingBinding {
        queue: QueueName,
        exchange: &'static str,
        key: String,
    },
    /// The exchange is missing or of another kind; which, in words.
    Exchange { name: &'static str, text: String },
    /// A queue of checks or results that nothing leads to or nobody empties.
    Surplus(String),
}

impl fmt::Display for TopologyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(queue) => write!(f, "queue {queue} is missing"),
            Self::Conflict { queue, text } => write!(f, "queue {queue} differs: {text}"),
            Self::MissingBinding {
                queue,
                exchange,
                key,
            } => write!(
                f,
                "queue {queue} is not bound to exchange {exchange} by key `{key}`"
            ),
            Self::Exchange { name, text } => write!(f, "exchange {name}: {text}"),
            Self::Surplus(queue) => write!(f, "queue {queue} is not part of the topology"),
        }
    }
}

pub(super) async fn declare(link: &Link, topology: &Topology) -> Result<()> {
    let declaring = within(PATIENCE, async {
        let channel = link.channel().await?;
        for (name, kind) in EXCHANGES {
            let declared = declare_exchange(&channel, name, kind, false).await;
            declared.map_err(|error| conflict(link, format!("exchange {name}"), &error))?;
        }
        Ok(channel)
    });
    let mut on = (link, declaring.await?);
    one_by_one(&mut on, &topology.queues, |(link, channel), queue| {
        async move {
            let declared = declare_and_bind(channel, queue).await;
            declared.map_err(|error| conflict(link, format!("queue {}", queue.name), &error))
        }
        .boxed()
    })
    .await
}

/// Creates no queue and no exchange. Binds what is there and is not bound.
pub(super) async fn verify(link: &Link, topology: &Topology) -> Result<Vec<TopologyProblem>> {
    let mut verifier = Verifier {
        link,
        channel: None,
        problems: Vec::new(),
    };
    within(PATIENCE, verifier.exchanges()).await?;
    one_by_one(&mut verifier, &topology.queues, |verifier, queue| {
        verifier.queue(queue).boxed()
    })
    .await?;
    Ok(verifier.problems)
}

/// Each within the patience, on what they share.
async fn one_by_one<S, T>(
    shared: &mut S,
    items: &[T],
    work: impl for<'a> Fn(&'a mut S, &'a T) -> BoxFuture<'a, Result<()>>,
) -> Result<()> {
    for item in items {
        within(PATIENCE, work(shared, item)).await?;
    }
    Ok(())
}

pub(super) async fn depth(link: &Link, queue: &QueueName) -> Result<Depth> {
    within(super::publish::PATIENCE, async {
        let channel = link.channel().await?;
        let name = queue.to_string().into();
        let declared = channel.queue_declare(name, PASSIVE, FieldTable::default());
        match declared.await {
            Ok(queue) => Ok(Depth {
                ready: queue.message_count().into(),
                consumers: queue.consumer_count(),
            }),
            Err(error) if is_missing(&error) => Err(QueueError::NotDeclared(queue.clone())),
            Err(error) => Err(link.error(&error)),
        }
    })
    .await
}

struct Verifier<'a> {
    link: &'a Link,
    /// Gone after every objection of the broker.
    channel: Option<Channel>,
    problems: Vec<TopologyProblem>,
}

impl Verifier<'_> {
    async fn channel(&mut self) -> Result<Channel> {
        if let Some(channel) = self.channel.as_ref().filter(|it| it.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.link.channel().await?;
        Ok(self.channel.insert(channel).clone())
    }

    /// Notes what the broker objected to; other errors are returned.
    fn passes(
        &mut self,
        outcome: lapin::Result<()>,
        problem: impl FnOnce(String) -> TopologyProblem,
    ) -> Result<bool> {
        let Err(error) = outcome else {
            return Ok(true);
        };
        self.channel = None;
        if error.is_amqp_soft_error()
            && let Some((_, text)) = objection(&error)
        {
            self.problems.push(problem(text.to_owned()));
            return Ok(false);
        }
        Err(self.link.error(&error))
    }

    async fn exchanges(&mut self) -> Result<()> {
        for (name, kind) in EXCHANGES {
            for passive in [true, false] {
                let channel = self.channel().await?;
                let declared = declare_exchange(&channel, name, kind.clone(), passive).await;
                let problem = |text| TopologyProblem::Exchange { name, text };
                if !self.passes(declared, problem)? {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn queue(&mut self, queue: &QueueDeclaration) -> Result<()> {
        let channel = self.channel().await?;
        let name = queue.name.to_string();
        let there = channel.queue_declare(name.into(), PASSIVE, FieldTable::default());
        let there = there.await.map(|_| ());
        let missing = there.as_ref().is_err_and(is_missing);
        let problem = |text| {
            if missing {
                TopologyProblem::Missing(queue.name.clone())
            } else {
                conflicting(queue, text)
            }
        };
        if !self.passes(there, problem)? {
            return Ok(());
        }
        let declared = declare_queue(&channel, queue).await;
        if !self.passes(declared, |text| conflicting(queue, text))? {
            return Ok(());
        }
        let bound = bind(&channel, queue).await;
        self.passes(bound, |text| conflicting(queue, text))?;
        Ok(())
    }
}

fn conflicting(queue: &QueueDeclaration, text: String) -> TopologyProblem {
    TopologyProblem::Conflict {
        queue: queue.name.clone(),
        text,
    }
}

fn conflict(link: &Link, what: String, error: &lapin::Error) -> QueueError {
    match objection(error) {
        Some((_, text)) if error.is_amqp_soft_error() => QueueError::Conflict {
            what,
            text: text.to_owned(),
        },
        _ => link.error(error),
    }
}

async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: lapin::ExchangeKind,
    passive: bool,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        passive,
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declaring = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    declaring.await
}

async fn declare_and_bind(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<()> {
    declare_queue(channel, queue).await?;
    bind(channel, queue).await
}

async fn declare_queue(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<()> {
    let (name, arguments) = (queue.name.to_string(), table(arguments(queue)));
    let declared = channel.queue_declare(name.into(), DURABLE, arguments).await;
    declared.map(|_| ())
}

async fn bind(channel: &Channel, queue: &QueueDeclaration) -> lapin::Result<()> {
    let Some(Address { exchange, key }) = Address::bound_to(queue) else {
        return Ok(());
    };
    let name = queue.name.to_string().into();
    let options = QueueBindOptions::default();
    let binding = channel.queue_bind(
        name,
        exchange.into(),
        key.into(),
        options,
        FieldTable::default(),
    );
    binding.await
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_queues_of_a_broker_far_away_take_their_time_and_one_that_hangs_does_not() {
        let far = Duration::from_millis(180);
        let (mut done, queues) = (0, [far; 1000]);
        let outcome = one_by_one(&mut done, &queues, |done, away| {
            async move {
                sleep(*away).await;
                *done += 1;
                Ok(())
            }
            .boxed()
        });
        outcome.await.unwrap();
        assert_eq!(done, 1000);

        let begin = Instant::now();
        let hangs = [far, Duration::MAX, far];
        let outcome = one_by_one(&mut done, &hangs, |_, away| sleep(*away).map(Ok).boxed());
        let error = outcome.await.unwrap_err();
        assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
        assert_eq!(begin.elapsed(), far + PATIENCE);
    }
}
