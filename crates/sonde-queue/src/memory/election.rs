//! An election within the process, for tests of what leaders do.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::MemoryQueue;
use crate::{
    Consumer, Depth, Election, Leader, Outgoing, Queue, QueueError, QueueName, Result, Topology,
    WatermarkMessage,
};

/// A handle; clones share the election, and one of all who stand for it leads.
#[derive(Clone)]
pub struct MemoryElection {
    shared: Arc<Shared>,
}

struct Shared {
    queue: MemoryQueue,
    term: watch::Sender<Term>,
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
            term: watch::Sender::new(term),
            watermark: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes leadership away from whoever has it.
    pub fn lose(&self) {
        self.shared.term.send_modify(|term| term.held = false);
    }
}

#[async_trait]
impl Election for MemoryElection {
    async fn lead(&self) -> Result<Arc<dyn Leader>> {
        let mut terms = self.shared.term.subscribe();
        loop {
            let mut won = None;
            self.shared.term.send_if_modified(|term| {
                if !term.held {
                    term.number += 1;
                    term.held = true;
                    won = Some(*term);
                }
                won.is_some()
            });
            if let Some(term) = won {
                let shared = Arc::clone(&self.shared);
                let office = Arc::new(Office { shared, term });
                return Ok(Arc::new(MemoryLeader { office }));
            }
            let freed = terms.wait_for(|term| !term.held).await;
            freed.map_err(|_| QueueError::Closed)?;
        }
    }
}

struct MemoryLeader {
    office: Arc<Office>,
}

struct Office {
    shared: Arc<Shared>,
    /// While this is the term, it leads.
    term: Term,
}

impl Office {
    fn queue(&self) -> Result<&MemoryQueue> {
        if *self.shared.term.borrow() == self.term {
            Ok(&self.shared.queue)
        } else {
            Err(QueueError::Closed)
        }
    }
}

#[async_trait]
impl Leader for MemoryLeader {
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.office) as Arc<dyn Queue>
    }

    async fn watermark(&self) -> Result<Option<WatermarkMessage>> {
        self.office.queue()?;
        let watermark = self.office.shared.watermark.lock();
        Ok(watermark.unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()> {
        self.office.queue()?;
        let kept = self.office.shared.watermark.lock();
        *kept.unwrap_or_else(PoisonError::into_inner) = Some(watermark.clone());
        Ok(())
    }

    async fn lost(&self) {
        let mut terms = self.office.shared.term.subscribe();
        // The sender lives in the office.
        let _ = terms.wait_for(|term| *term != self.office.term).await;
    }
}

impl Drop for MemoryLeader {
    fn drop(&mut self) {
        self.office.shared.term.send_if_modified(|term| {
            let leads = *term == self.office.term;
            term.held &= !leads;
            leads
        });
    }
}

#[async_trait]
impl Queue for Office {
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
