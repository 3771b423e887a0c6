//! An election within the process: for a machine of its own, and for tests of what leaders do.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::MemoryQueue;
use crate::{
    Consumer, Depth, Election, Leader, Office, Outgoing, Queue, QueueError, QueueName, Result,
    Topology, WatermarkMessage,
};

/// A handle; clones share the election, and one of all who stand for it leads.
#[derive(Clone)]
pub struct MemoryElection {
    shared: Arc<Shared>,
}

struct Shared {
    queue: MemoryQueue,
    dispatcher: watch::Sender<Term>,
    alerter: watch::Sender<Term>,
    watermark: Mutex<Option<WatermarkMessage>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    number: u64,
    held: bool,
}

impl MemoryElection {
    /// Leaders publish to `queue`.
    pub fn new(queue: MemoryQueue) -> Self {
        let term = Term {
            number: 0,
            held: false,
        };
        let shared = Shared {
            queue,
            dispatcher: watch::Sender::new(term),
            alerter: watch::Sender::new(term),
            watermark: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes leadership away from whoever has it.
    pub fn lose(&self, office: Office) {
        let term = self.shared.term(office);
        term.send_modify(|term| term.held = false);
    }
}

impl Shared {
    fn term(&self, office: Office) -> &watch::Sender<Term> {
        match office {
            Office::Dispatcher => &self.dispatcher,
            Office::Alerter => &self.alerter,
        }
    }
}

#[async_trait]
impl Election for MemoryElection {
    async fn lead(&self, office: Office) -> Result<Arc<dyn Leader>> {
        let shared = self.shared.term(office);
        let mut terms = shared.subscribe();
        loop {
            let mut won = None;
            shared.send_if_modified(|term| {
                if !term.held {
                    term.number += 1;
                    term.held = true;
                    won = Some(*term);
                }
                won.is_some()
            });
            if let Some(term) = won {
                let shared = Arc::clone(&self.shared);
                let held = Arc::new(Held {
                    shared,
                    office,
                    term,
                });
                return Ok(Arc::new(MemoryLeader { held }));
            }
            let freed = terms.wait_for(|term| !term.held).await;
            freed.map_err(|_| QueueError::Closed)?;
        }
    }
}

struct MemoryLeader {
    held: Arc<Held>,
}

struct Held {
    shared: Arc<Shared>,
    office: Office,
    /// While this is the term, it leads.
    term: Term,
}

impl Held {
    fn terms(&self) -> &watch::Sender<Term> {
        self.shared.term(self.office)
    }

    fn queue(&self) -> Result<&MemoryQueue> {
        if *self.terms().borrow() == self.term {
            Ok(&self.shared.queue)
        } else {
            Err(QueueError::Closed)
        }
    }
}

#[async_trait]
impl Leader for MemoryLeader {
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.held) as Arc<dyn Queue>
    }

    async fn watermark(&self) -> Result<Option<WatermarkMessage>> {
        self.held.queue()?;
        let watermark = self.held.shared.watermark.lock();
        Ok(watermark.unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()> {
        self.held.queue()?;
        let kept = self.held.shared.watermark.lock();
        *kept.unwrap_or_else(PoisonError::into_inner) = Some(watermark.clone());
        Ok(())
    }

    async fn lost(&self) {
        let mut terms = self.held.terms().subscribe();
        // The sender lives as long as what is held.
        let _ = terms.wait_for(|term| *term != self.held.term).await;
    }
}

impl Drop for MemoryLeader {
    fn drop(&mut self) {
        self.held.terms().send_if_modified(|term| {
            let leads = *term == self.held.term;
            term.held &= !leads;
            leads
        });
    }
}

#[async_trait]
impl Queue for Held {
    async fn declare(&self, topology: &Topology) -> Result<()> {
        self.queue()?.declare(topology).await
    }

    async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        self.queue()?.publish(messages).await
    }

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Box<dyn Consumer>> {
        self.queue()?.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.queue()?.depth(queue).await
    }
}
