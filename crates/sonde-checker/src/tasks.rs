//! Tasks that come by HTTP: one at a time, answered with their result, published all the same.

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{CheckResult, Region};
use sonde_queue::{MessageError, QueueError};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::batch::Publisher;
use crate::worker::Worker;

/// How long a task waits for a checker that has just been started.
const STARTING: Duration = Duration::from_secs(5);
/// How long the caller waits for the broker's confirmation; then it is theirs to send the task again.
const CONFIRMING: Duration = Duration::from_secs(10);

/// Executes tasks that are handed in. Cheap to clone.
#[derive(Clone)]
pub struct TaskHandle {
    pub(crate) worker: Arc<Worker>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) permits: Arc<Semaphore>,
}

/// Why a task has no result, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It never will have one.
    #[error("the task is unreadable")]
    Unreadable(#[source] MessageError),
    /// From here it would tell nothing about its own region.
    #[error("the task is for region {task}, and this checker is in {here}")]
    OtherRegion { task: Region, here: Region },
    /// Try another checker, or later.
    #[error("every permit for such tasks is taken")]
    Busy,
    /// Try another checker, or later.
    #[error("the checker takes no tasks now")]
    NotReady,
    /// It was executed, but nobody has its result: hand the task in again.
    #[error("the result cannot be published")]
    Unpublished(#[source] Option<QueueError>),
}

impl TaskHandle {
    /// Executes the task and returns its result once that is confirmed. Dropped before, the task counts as not done.
    pub async fn execute(&self, payload: &[u8]) -> Result<CheckResult, TaskError> {
        let shared = &self.worker.shared;
        let check = self.worker.read(payload).map_err(TaskError::Unreadable)?;
        if check.region != shared.region {
            return Err(TaskError::OtherRegion {
                task: check.region,
                here: shared.region.clone(),
            });
        }
        let permit = self.permits.try_acquire();
        let _permit = permit.map_err(|_| TaskError::Busy)?;
        let ready = timeout(STARTING, shared.ready.cancelled()).await;
        if ready.is_err() || shared.draining.is_cancelled() {
            return Err(TaskError::NotReady);
        }
        let result = self.worker.execute(&check).await;
        let published = timeout(CONFIRMING, self.publisher.publish_one(&result)).await;
        let published = published.map_err(|_| TaskError::Unpublished(None))?;
        published.map_err(|error| TaskError::Unpublished(Some(error)))?;
        Ok(result)
    }
}
