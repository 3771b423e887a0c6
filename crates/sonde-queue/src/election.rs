//! Who dispatches: one process at a time, and for as long as it holds its connection to the broker.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Queue, Result, WatermarkMessage};

#[async_trait]
pub trait Election: Send + Sync {
    /// Waits until this process leads. Cancel safe: dropped before it resolves, it gives up what it may have won.
    async fn lead(&self) -> Result<Arc<dyn Leader>>;
}

/// Leadership, while it lasts. Dropped, another process may lead.
#[async_trait]
pub trait Leader: Send + Sync {
    /// Publishes over the connection that leadership hangs on: fails with [`crate::QueueError::Closed`] once it is lost.
    fn queue(&self) -> Arc<dyn Queue>;

    /// How far dispatch has come, by whoever saved it last.
    async fn watermark(&self) -> Result<Option<WatermarkMessage>>;

    /// Returns when it is confirmed.
    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()>;

    /// Resolves when leadership is lost.
    async fn lost(&self);
}
