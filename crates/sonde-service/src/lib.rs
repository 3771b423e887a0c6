//! What API, web and CLI share: the state of monitors, and checks on demand.
//!
//! It decides nothing about HTTP or HTML, and knows no backend: only the traits.

mod plan;
mod run_now;
mod view;

use std::sync::Arc;
use std::time::Duration;

use sonde_core::{CheckResult, Clock, Monitor, MonitorId, QueueSettings, WorkspaceId};
use sonde_queue::{Queue, QueueError};
use sonde_results::{ResultPage, ResultQuery, Results, ResultsError, Summary, TimeRange};
use sonde_store::{ConfigStore, StoreError};
use tokio::sync::broadcast;

pub use plan::{Action, FieldChange, Plan, PlanProblem, Planned, plan};
pub use view::{MonitorView, State};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    #[error("monitor `{0}` not found")]
    MonitorNotFound(MonitorId),
    #[error("cannot read the configuration")]
    Store(#[from] StoreError),
    #[error("cannot read results")]
    Results(#[from] ResultsError),
    #[error("cannot ask for a check")]
    Queue(#[from] QueueError),
}

pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

/// One workspace, as people see it.
#[derive(Clone)]
pub struct Service {
    pub workspace: WorkspaceId,
    pub store: Arc<dyn ConfigStore>,
    pub results: Arc<dyn Results>,
    pub queue: Arc<dyn Queue>,
    /// Results as they are stored.
    pub stored: broadcast::Sender<Arc<[CheckResult]>>,
    pub clock: Arc<dyn Clock>,
    pub settings: QueueSettings,
}

impl Service {
    /// Every monitor, in the order of the configuration.
    pub async fn monitors(&self) -> Result<Vec<Monitor>> {
        let found = self.store.monitors(&self.workspace).await?;
        for error in &found.unreadable {
            tracing::error!(
                error = sonde_core::chain(error),
                "a stored monitor is left out"
            );
        }
        Ok(found.into_values())
    }

    pub async fn monitor(&self, id: &MonitorId) -> Result<Monitor> {
        let found = self.store.monitor(&self.workspace, id).await?;
        let found = found.map(|stored| stored.value);
        found.ok_or_else(|| ServiceError::MonitorNotFound(id.clone()))
    }

    /// Rows of a monitor that exists, newest first; `query.workspace` is ours.
    pub async fn results(&self, query: ResultQuery) -> Result<ResultPage> {
        self.monitor(&query.monitor).await?;
        let query = ResultQuery {
            workspace: self.workspace.clone(),
            ..query
        };
        Ok(self.results.page(&query).await?)
    }

    pub async fn summary(&self, id: &MonitorId, range: TimeRange) -> Result<Summary> {
        self.monitor(id).await?;
        Ok(self.results.summary(&self.workspace, id, range).await?)
    }

    /// The range of the last `duration`, up to now.
    pub fn last(&self, duration: Duration) -> TimeRange {
        let to = self.clock.now() + Duration::from_micros(1);
        TimeRange {
            from: to - duration,
            to,
        }
    }
}
