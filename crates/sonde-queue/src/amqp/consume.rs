//! Consumers of queues, and how what they hand out is settled.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::Channel;

use super::headers;
use super::link::{Link, objection};
use super::subscription::{Held, Source, Subscription};
use crate::{Consumer, Delivery, QueueError, QueueName, Result, Settle};

const NOT_FOUND: u16 = 404;

/// Whether the broker said that there is no such queue. It answers 404 also when the queue's node is away.
pub(super) fn is_missing(error: &lapin::Error) -> bool {
    objection(error).is_some_and(|(code, text)| code == NOT_FOUND && text.contains("no queue"))
}

pub(super) async fn consume(
    link: &Link,
    queue: &QueueName,
    prefetch: u16,
) -> Result<Box<dyn Consumer>> {
    let source = QueueSource {
        queue: queue.clone(),
        prefetch,
    };
    let subscription = Subscription::start(link.clone(), Arc::new(source)).await?;
    Ok(Box::new(AmqpConsumer { subscription }))
}

struct QueueSource {
    queue: QueueName,
    prefetch: u16,
}

impl Source for QueueSource {
    fn name(&self) -> String {
        self.queue.to_string()
    }

    fn prepare<'a>(&'a self, _: &'a Channel) -> BoxFuture<'a, lapin::Result<String>> {
        async { Ok(self.name()) }.boxed()
    }

    fn prefetch(&self) -> u16 {
        self.prefetch
    }

    fn refusal(&self, error: &lapin::Error) -> Option<QueueError> {
        is_missing(error).then(|| QueueError::NotDeclared(self.queue.clone()))
    }
}

struct AmqpConsumer {
    subscription: Subscription,
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn receive(&mut self) -> Result<Delivery> {
        let (delivery, held) = self.subscription.next().await?;
        let (redeliveries, death) = (headers::redeliveries(&delivery), headers::death(&delivery));
        let settle = AmqpSettle {
            held: Some(held),
            tag: delivery.delivery_tag,
        };
        Ok(Delivery::new(
            delivery.data,
            redeliveries,
            death,
            Box::new(settle),
        ))
    }
}

struct AmqpSettle {
    /// Taken when settled; what is left on drop goes back.
    held: Option<Arc<Held>>,
    tag: u64,
}

impl AmqpSettle {
    fn settle(&mut self, how: impl FnOnce(&Held, u64) -> Result<()>) -> Result<()> {
        let held = self.held.take();
        held.map_or(Ok(()), |held| how(&held, self.tag))
    }
}

#[async_trait]
impl Settle for AmqpSettle {
    async fn ack(mut self: Box<Self>) -> Result<()> {
        self.settle(Held::ack)
    }

    async fn requeue(mut self: Box<Self>) -> Result<()> {
        self.settle(Held::requeue)
    }

    async fn reject(mut self: Box<Self>) -> Result<()> {
        self.settle(Held::reject)
    }
}

impl Drop for AmqpSettle {
    fn drop(&mut self) {
        // When the channel is gone, so that this fails, the message is back in the queue already.
        let _ = self.settle(Held::requeue);
    }
}
