//! Announcements within the process.

use std::collections::HashSet;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::MemoryQueue;
use crate::{Announcement, Bus, Listener, QueueError, Result, Topic};

#[async_trait]
impl Bus for MemoryQueue {
    async fn announce(&self, announcement: Announcement) -> Result<()> {
        let state = self.lock();
        let announcements = state.announcements.as_ref().ok_or(QueueError::Closed)?;
        // An error means that nobody listens, which is fine.
        let _ = announcements.send(announcement);
        Ok(())
    }

    async fn listen(&self, topics: &[Topic]) -> Result<Box<dyn Listener>> {
        let state = self.lock();
        let announcements = state.announcements.as_ref().ok_or(QueueError::Closed)?;
        Ok(Box::new(MemoryListener {
            topics: topics.iter().cloned().collect(),
            announcements: announcements.subscribe(),
        }))
    }
}

struct MemoryListener {
    topics: HashSet<Topic>,
    announcements: broadcast::Receiver<Announcement>,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn next(&mut self) -> Result<Announcement> {
        loop {
            match self.announcements.recv().await {
                Ok(announcement) if self.topics.contains(&announcement.topic) => {
                    return Ok(announcement);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(QueueError::Closed),
            }
        }
    }
}
