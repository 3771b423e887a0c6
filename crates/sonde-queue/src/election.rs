//! Who dispatches, and who alerts: one process each at a time, and for as long as it holds its connection to the broker.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Queue, Result, WatermarkMessage};

/// What one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Office {
    Dispatcher,
    Alerter,
}

impl Office {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Alerter => "alerter",
        }
    }
}

#[async_trait]
pub trait Election: Send + Sync {
    /// Waits until this process leads. Cancel safe: dropped before it resolves, it gives up what it may have won.
    async fn lead(&self, office: Office) -> Result<Arc<dyn Leader>>;
}

/// Leadership, while it lasts. Dropped, another process may lead.
#[async_trait]
pub trait Leader: Send + Sync {
    /// Publishes and consumes over the connection that leadership hangs on: fails with [`crate::QueueError::Closed`] once it is lost.
    fn queue(&self) -> Arc<dyn Queue>;

    /// How far dispatch has come, by whoever saved it last. Dispatchers alone have one.
    async fn watermark(&self) -> Result<Option<WatermarkMessage>>;

    /// Returns when it is confirmed.
    async fn save_watermark(&self, watermark: &WatermarkMessage) -> Result<()>;

    /// Resolves when leadership is lost.
    async fn lost(&self);
}
