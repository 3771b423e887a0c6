//! Who leads: the one whose connection holds an exclusive queue. The watermark lies in the broker too, so that the next
//! leader needs nothing else to go on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicGetOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Broker;
use super::bus::declare_own;
use super::consume::is_missing;
use super::link::{Backoff, Dialer, Link, objection, within};
use super::names::Address;
use super::subscription::PATIENCE;
use crate::{Leader, Office, Queue, QueueError, QueueName, Result, WatermarkMessage};

/// The broker's answer when another connection holds the lock.
const RESOURCE_LOCKED: u16 = 405;

/// How often the lock is tried while another holds it.
const POLL: Duration = Duration::from_millis(500);

/// The queue holds one. More than that is only there in the middle of a change.
const MOST_WATERMARKS: usize = 10;

/// Waits for the lock as long as it takes. Dropping the future ends the connection, and with it the lock.
pub(super) async fn lead(
    dialer: &Dialer,
    office: Office,
    stop: &CancellationToken,
) -> Result<Arc<dyn Leader>> {
    let lock = format!("{}.leader", office.as_str());
    let mut backoff = Backoff::new();
    let mut told = false;
    let winning = async {
        loop {
            match win(dialer, &lock).await {
                Ok(won) => return won,
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(%error, office = office.as_str(), "cannot stand for election, trying on");
                }
                Err(_) => {}
            }
            backoff.wait().await;
        }
    };
    let won = stop.run_until_cancelled(winning).await;
    let Lock {
        connection,
        channel,
    } = won.ok_or(QueueError::Closed)?;
    tracing::info!(office = office.as_str(), "this process leads");
    let stop = stop.child_token();
    let tasks = TaskTracker::new();
    let link = Link::single(connection, &tasks, stop.clone());
    tasks.spawn(guard(channel, lock, stop.clone()));
    Ok(Arc::new(AmqpLeader {
        broker: Arc::new(Broker::new(link.clone(), link.clone())),
        link,
        _end: stop.drop_guard(),
    }))
}

struct Lock {
    connection: Connection,
    channel: Channel,
}

async fn win(dialer: &Dialer, lock: &str) -> lapin::Result<Lock> {
    let connection = dialer.connect("leading").await?;
    loop {
        let declaring = async {
            let channel = connection.create_channel().await?;
            declare_own(&channel, lock, false).await?;
            Ok(channel)
        };
        // Lapin does not answer when the connection is lost in the middle of this.
        let declared = timeout(PATIENCE, declaring).await;
        match declared.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(channel) => {
                return Ok(Lock {
                    connection,
                    channel,
                });
            }
            Err(error) if objection(&error).is_some_and(|(code, _)| code == RESOURCE_LOCKED) => {
                sleep(POLL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Gives leadership up when somebody deletes the lock: whoever declares it next believes to lead.
async fn guard(channel: Channel, lock: String, stop: CancellationToken) {
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(lock.into(), "".into(), options, FieldTable::default());
    if let Ok(mut lock) = consuming.await {
        // Nobody writes to it. Whatever comes is its end.
        let _ = stop.run_until_cancelled(lock.next()).await;
    }
    stop.cancel();
}

struct AmqpLeader {
    broker: Arc<Broker>,
    link: Link,
    _end: DropGuard,
}

#[async_trait]
impl Leader for AmqpLeader {
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.broker) as Arc<dyn Queue>
    }

    async fn watermark(&self) -> Result<Option<WatermarkMessage>> {
        within(PATIENCE, async {
            // Closed at the end, which puts back what was read: a leader that dies here loses nothing.
            let channel = self.link.channel().await?;
            let payloads = self.read(&channel).await?;
            let ok = lapin::protocol::constants::REPLY_SUCCESS;
            let closed = channel.close(ok, "OK".into()).await;
            closed.map_err(|error| self.link.error(&error))?;
            newest(&payloads)
        })
        .await
    }

    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()> {
        let payload = watermark.encode();
        let address = Address::new("", QueueName::Watermark.to_string());
        let message = [(address, &*payload)];
        let unroutable = self.broker.publisher.publish_to(&message).await?;
        if unroutable.is_empty() {
            Ok(())
        } else {
            Err(QueueError::NotDeclared(QueueName::Watermark))
        }
    }

    async fn lost(&self) {
        self.link.closed().await;
    }
}

/// What cannot be read does not hide what can.
fn newest(payloads: &[Vec<u8>]) -> Result<Option<WatermarkMessage>> {
    let (mut newest, mut unreadable): (Option<WatermarkMessage>, _) = (None, None);
    for payload in payloads {
        match WatermarkMessage::decode(payload) {
            // Of equals the last, which is the newest.
            Ok(read)
                if newest
                    .as_ref()
                    .is_none_or(|it| it.watermark <= read.watermark) =>
            {
                newest = Some(read);
            }
            Ok(_) => {}
            Err(error) => unreadable = Some(error),
        }
    }
    match (newest, unreadable) {
        (None, Some(source)) => Err(QueueError::Unreadable {
            queue: QueueName::Watermark,
            source,
        }),
        (newest, _) => Ok(newest),
    }
}

impl AmqpLeader {
    async fn read(&self, channel: &Channel) -> Result<Vec<Vec<u8>>> {
        let mut payloads = Vec::new();
        while payloads.len() < MOST_WATERMARKS {
            let name = QueueName::Watermark.to_string().into();
            match channel.basic_get(name, BasicGetOptions::default()).await {
                Ok(Some(message)) => payloads.push(message.delivery.data),
                Ok(None) => break,
                Err(error) if is_missing(&error) => {
                    return Err(QueueError::NotDeclared(QueueName::Watermark));
                }
                Err(error) => return Err(self.link.error(&error)),
            }
        }
        Ok(payloads)
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::Timestamp;

    use super::*;

    #[test]
    fn a_watermark_of_a_newer_release_is_told_from_none_and_hides_no_other() {
        let at = |micros| WatermarkMessage::new(Timestamp::from_micros(micros), Vec::new());
        let newer = br#"{"v": 99}"#.to_vec();
        assert_eq!(newest(&[]).unwrap(), None);
        let found = newest(&[at(2).encode(), newer.clone(), at(1).encode()]);
        assert_eq!(found.unwrap(), Some(at(2)));
        let unreadable = newest(&[newer]);
        assert!(matches!(unreadable, Err(QueueError::Unreadable { .. })));
    }
}
