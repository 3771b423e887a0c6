//! Configuration and state: what people set, behind traits.
//!
//! [`libsql`] keeps it in a local file, or at a primary with replicas; every backend passes the same conformance suite.

mod accounts;
mod alerts;
mod calendar;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod libsql;
mod pictures;
mod resource;
mod screenshots;

use std::collections::BTreeSet;

use async_trait::async_trait;
use sonde_core::{Monitor, MonitorId, PackedMonitor, Region, Timestamp, WorkspaceId};

pub use accounts::{AccountStore, Claim, Credential, Holder, Opens, RequestKey, User};
pub use alerts::{
    AlertChange, AlertState, AlertStore, Annotation, DueNotice, Incident, IncidentChange,
    IncidentEvent, IncidentEventKind, IncidentQuery, KeptAlert, KeptReport, NewNotice, Resolution,
    Telling, Told,
};
pub use calendar::Calendar;
pub use pictures::{Bucket, PictureError, Pictures};
pub use resource::{
    Actor, ActorKind, AuditAction, AuditEntry, AuditQuery, Change, Expected, Meta, NewCredential,
    Only, Put, PutValue, Remove, Resource, ResourceKind, Stored,
};
pub use screenshots::{MOST_SCREENSHOT_TRIES, Screenshot, Shot, TakenScreenshot, WantedScreenshot};

/// The store failed, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("the configuration store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer release wrote this store.
    #[error("the configuration store has schema {found}, newer than {known}: use a newer release")]
    NewerSchema { found: u32, known: u32 },
    /// An older release wrote this store, which is not this process's to change.
    #[error("the configuration store has schema {found}, older than {known}: run `sonde migrate`")]
    OlderSchema { found: u32, known: u32 },
    /// Somebody else changed it meanwhile, or it is there already.
    #[error("it was changed by somebody else meanwhile")]
    Conflict,
    /// A replica that was never in step with its primary knows nothing.
    #[error("the replica of the configuration is not synced yet")]
    Unsynced,
    #[error("stored {what} `{id}` is unreadable")]
    Corrupt {
        what: &'static str,
        id: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What a listing found: one unreadable monitor never hides the others.
#[derive(Debug, Default)]
pub struct Monitors {
    /// In the order in which they were configured.
    pub monitors: Vec<Stored<Monitor>>,
    pub unreadable: Vec<StoreError>,
    /// Of a page: the last id on it, when there may be more.
    pub next: Option<String>,
}

impl Monitors {
    /// The monitors alone.
    pub fn into_values(self) -> Vec<Monitor> {
        let monitors = self.monitors.into_iter();
        monitors.map(|stored| stored.value).collect()
    }
}

/// A state of the configuration, in the order in which they came to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

/// What is different since an earlier revision, over all workspaces.
#[derive(Debug, Default)]
pub struct Changes {
    pub revision: Revision,
    /// `changed` is all there is: what is not in it does not exist.
    pub complete: bool,
    /// Packed, because a fleet has a million.
    pub changed: Vec<PackedMonitor>,
    /// Where the changed ones run.
    pub regions: BTreeSet<Region>,
    pub removed: Vec<(WorkspaceId, MonitorId)>,
    /// Of all workspaces, as monitors are.
    pub maintenance: Vec<MaintenanceChange>,
    /// Changed, but not readable: what was known of them stands.
    pub unreadable: Vec<StoreError>,
}

impl Changes {
    /// There is nothing in it that anybody would have to follow.
    pub fn is_empty(&self) -> bool {
        !self.complete
            && self.changed.is_empty()
            && self.removed.is_empty()
            && self.maintenance.is_empty()
            && self.unreadable.is_empty()
    }
}

/// Maintenance that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceChange {
    pub workspace: WorkspaceId,
    pub id: String,
    /// As it was put, which need not be readable; none when it was removed.
    pub body: Option<String>,
}

#[async_trait]
pub trait ConfigStore: Send + Sync {
    async fn monitors(&self, workspace: &WorkspaceId) -> Result<Monitors>;

    async fn monitor(
        &self,
        workspace: &WorkspaceId,
        id: &MonitorId,
    ) -> Result<Option<Stored<Monitor>>>;

    /// At most `limit` of those with ids after `after`, by id.
    async fn monitors_after(
        &self,
        workspace: &WorkspaceId,
        after: &str,
        limit: u32,
    ) -> Result<Monitors>;

    /// Those of `ids` that there are, by id.
    async fn monitors_named(&self, workspace: &WorkspaceId, ids: &[MonitorId]) -> Result<Monitors>;

    /// What is different since `since`, over all workspaces; complete when there is no `since` or the store no longer
    /// knows it.
    async fn changes(&self, since: Option<Revision>) -> Result<Changes>;

    /// Every region that a monitor is checked in, sorted.
    async fn regions(&self) -> Result<Vec<Region>>;

    /// Those of a kind with ids after `after`, by id; of monitors use [`Self::monitors`].
    async fn resources(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Resource>>>;

    async fn resource(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        id: &str,
    ) -> Result<Option<Stored<Resource>>>;

    /// Atomic. What stays the same is no change. [`StoreError::Conflict`] when something is not as expected.
    async fn change(&self, change: Change) -> Result<()>;

    async fn audit(&self, workspace: &WorkspaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>>;

    /// Since when what is read may be old, because its source is away.
    fn stale_since(&self) -> Option<Timestamp> {
        None
    }

    /// Makes `monitors` all that the workspace has, without a word in the audit log.
    async fn replace_monitors(&self, workspace: &WorkspaceId, monitors: &[Monitor]) -> Result<()> {
        let puts = monitors.iter().cloned().map(Put::monitor);
        self.change(Change {
            puts: puts.collect(),
            only: Some(Only::These),
            ..Change::new(workspace.clone(), None)
        })
        .await
    }
}
