//! What is kept about pictures of incidents: who takes one, how often that was tried, and what came of it. The picture
//! itself is among [`Pictures`](crate::Pictures).

use sonde_core::{MonitorId, Timestamp, WorkspaceId};
use uuid::Uuid;

/// An incident is not tried more often.
pub const MOST_SCREENSHOT_TRIES: u32 = 2;

/// An incident that has no picture yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedScreenshot {
    pub workspace: WorkspaceId,
    pub incident: Uuid,
    pub monitor: MonitorId,
    /// Tries before this one.
    pub attempts: u32,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shot {
    Taken {
        /// In bytes.
        size: u64,
    },
    /// It may be tried again from then on.
    Failed { error: String, again: Timestamp },
}

/// How an incident's picture stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screenshot {
    pub attempts: u32,
    /// None while there is none.
    pub taken: Option<TakenScreenshot>,
    /// Why the last try failed.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenScreenshot {
    pub at: Timestamp,
    /// In bytes.
    pub size: u64,
}
