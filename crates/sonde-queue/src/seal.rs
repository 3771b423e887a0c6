//! Secrets of tasks, sealed so that the broker's disk holds none in the clear.

/// The keys that seal and open tasks' secrets.
#[derive(Clone, Default)]
pub struct TaskKeys {}

impl TaskKeys {
    /// Seals nothing: for queues that never leave the process.
    pub fn none() -> Self {
        Self::default()
    }
}
