//! A replica of the primary in a local file: a cache that anyone may delete, and that deletes itself when it is damaged.
//!
//! Reads go to the file, whether or not the primary is there; writes go to the primary. The file counts only from its
//! first complete sync on: a marker beside it says so, and of which primary it is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use sonde_core::{Clock, Monitor, MonitorId, Region, Timestamp, WorkspaceId};
use sonde_libsql::libsql::{self, Connection};
use sonde_libsql::{LocalFile, Remote, ReplicaFile, Unavailable, blocking};
use sonde_seal::SealingKeys;
use tokio::sync::{Mutex, Notify, RwLock, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{LibsqlStore, Primary, expect_schema, queries, resources, unavailable};
use crate::{
    AuditEntry, AuditQuery, Change, Changes, ConfigStore, Monitors, Resource, ResourceKind, Result,
    Revision, StoreError, Stored,
};

/// How often the primary is asked for news when nobody nudges.
const PERIOD: Duration = Duration::from_secs(5);
/// After failures the wait doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a write waits to be seen here; it is done already.
const OWN_WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Says beside the file that it was synced once.
const MARKER: &str = "-synced";

/// How fresh a replica is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// Whether it can be read: once it was synced, but not while a damaged file is replaced.
    pub is_readable: bool,
    /// When it was last in step with its primary, by this machine's clock; that it is damaged since changes nothing.
    pub synced_at: Option<Timestamp>,
    /// Why the last sync failed.
    pub error: Option<String>,
}

/// What the marker holds.
#[derive(Serialize, Deserialize)]
struct Marker {
    primary: String,
    synced_at: Timestamp,
}

/// A [`ConfigStore`] that reads a replica and writes to its primary. One process has one of each file.
pub struct Replica {
    file: ReplicaFile,
    url: String,
    reader: LocalFile,
    primary: LibsqlStore,
    keys: SealingKeys,
    remote: Remote,
    clock: Arc<dyn Clock>,
    period: Duration,
    /// One sync after the other.
    turn: Mutex<()>,
    /// Removing the file waits until nobody reads it.
    readers: Arc<RwLock<()>>,
    status: watch::Sender<SyncStatus>,
    damaged: AtomicBool,
    wake: Notify,
}

/// What a sync found.
enum SyncError {
    Store(StoreError),
    Damaged(String),
}

impl Replica {
    /// Takes what is left of an earlier run when that is whole and of this primary, or else starts anew; so it works
    /// while the primary is away. Refuses a newer schema.
    pub async fn open(
        path: &Path,
        primary: &Primary,
        keys: SealingKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let file = ReplicaFile::new(path, primary)?;
        let remote = Remote::new(primary).await?;
        let replica = Self {
            reader: file.reader().await?,
            url: primary.url.clone(),
            primary: LibsqlStore::at(remote.clone(), keys.clone()),
            keys,
            remote,
            clock,
            period: PERIOD,
            turn: Mutex::default(),
            readers: Arc::default(),
            status: watch::Sender::default(),
            damaged: AtomicBool::default(),
            wake: Notify::new(),
            file,
        };
        replica.take_over().await?;
        Ok(replica)
    }

    /// How often the primary is asked for news when nobody nudges; otherwise 5 s.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.period = period;
        self
    }

    /// Changes with every sync, and with every failure.
    pub fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.subscribe()
    }

    /// Past the replica, for who must see the newest.
    pub fn primary(&self) -> &LibsqlStore {
        &self.primary
    }

    /// Syncs every period and at once when nudged, until `stop`; heals a damaged file. Ends at a point where dropping
    /// it loses nothing.
    pub async fn run(&self, nudge: &Notify, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                outcome = self.sync() => outcome,
            };
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = nudge.notified() => {}
                () = self.wake.notified() => {}
                () = sleep(self.pause(failures)) => {}
            }
        }
    }

    /// Half to one and a half of what it would be, so that a fleet does not ask at the same time.
    fn pause(&self, failures: u32) -> Duration {
        let pause = match failures.checked_sub(1) {
            None => self.period,
            Some(before) => BACKOFF.1.min(BACKOFF.0 * 2_u32.pow(before.min(8))),
        };
        pause.mul_f64(rand::rng().random_range(0.5..1.5))
    }

    /// Brings the replica in step with its primary once. What fails leaves the last state readable, unless the file
    /// itself is damaged: that one is removed.
    pub async fn sync(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        let outcome = self.pull_or_heal().await.map_err(|error| match error {
            SyncError::Store(error) => error,
            SyncError::Damaged(reason) => unavailable(format!("the replica is damaged: {reason}")),
        });
        self.report(&outcome);
        outcome
    }

    async fn pull_or_heal(&self) -> Result<(), SyncError> {
        let reason = if self.damaged.load(Ordering::Acquire) {
            // What can still be read of it is better than nothing as long as the primary is away.
            self.newest_at_primary().await?;
            "it could not be read".to_owned()
        } else {
            match self.pull().await {
                Err(SyncError::Damaged(reason)) => reason,
                other => return other,
            }
        };
        tracing::warn!(
            reason,
            "the replica of the configuration is damaged: it is removed and synced anew"
        );
        self.status.send_modify(|status| status.is_readable = false);
        let nobody_reads = self.readers.write().await;
        self.remove().await?;
        self.damaged.store(false, Ordering::Release);
        drop(nobody_reads);
        self.pull().await
    }

    /// Syncs and then looks whether what came is what the primary has: libSQL believes a wrong index.
    async fn pull(&self) -> Result<(), SyncError> {
        let schema = self.remote.schema().await.map_err(StoreError::from)?;
        if !self.status.borrow().is_readable {
            expect_schema(schema)?;
        }
        let before = self.newest_at_primary().await?;
        self.file.sync().await?;
        let found = self.newest_here().await?;
        if found < before || (found > before && found > self.newest_at_primary().await?) {
            let reason = format!("it has {found:?} where the primary has {before:?}");
            return Err(SyncError::Damaged(reason));
        }
        self.mark().map_err(unavailable)?;
        Ok(())
    }

    async fn newest_at_primary(&self) -> Result<Revision> {
        self.remote
            .call(async |connection| queries::revision(connection).await)
            .await
    }

    async fn newest_here(&self) -> Result<Revision, SyncError> {
        let reader = self.reader.clone();
        let found =
            blocking::<_, StoreError>(async move || queries::revision(&reader.connect()?).await);
        found.await.map_err(|error| {
            // A missing table is damage too: the primary has it. What else SQLite says may pass, such as too many files.
            let elsewhere = matches!(sqlite_code(&error), Some(code) if code != SQLITE_ERROR);
            if is_damage(&error) || !elsewhere || !self.file.exists() {
                SyncError::Damaged(chain(&error))
            } else {
                SyncError::Store(error)
            }
        })
    }

    /// The marker first: what is left after a crash in between does not count.
    async fn remove(&self) -> Result<()> {
        match std::fs::remove_file(self.file.beside(MARKER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unavailable(error)),
            _ => Ok(self.file.remove().await?),
        }
    }

    fn report(&self, outcome: &Result<()>) {
        let error = outcome.as_ref().err().map(|error| chain(error));
        let mut before = None;
        self.status.send_modify(|status| {
            if outcome.is_ok() {
                status.is_readable = true;
                status.synced_at = Some(self.clock.now());
            }
            before = std::mem::replace(&mut status.error, error.clone());
        });
        match (before, error) {
            (None, Some(error)) => {
                tracing::warn!(error, "the replica of the configuration cannot be synced");
            }
            (Some(_), None) => tracing::info!("the replica of the configuration is synced again"),
            _ => {}
        }
    }

    /// Written beside and renamed, so that it is there whole or not at all.
    fn mark(&self) -> std::io::Result<()> {
        if !self.status.borrow().is_readable {
            self.file.make_private()?;
        }
        let marker = Marker {
            primary: self.url.clone(),
            synced_at: self.clock.now(),
        };
        let written = self.file.beside("-synced.new");
        std::fs::write(&written, serde_json::to_vec(&marker)?)?;
        std::fs::rename(written, self.file.beside(MARKER))
    }

    async fn take_over(&self) -> Result<()> {
        let marker = std::fs::read(self.file.beside(MARKER)).ok();
        let marker: Option<Marker> = marker.and_then(|text| serde_json::from_slice(&text).ok());
        let marker = marker.filter(|marker| marker.primary == self.url);
        let Some(marker) = marker else {
            return self.remove().await;
        };
        match self.newest_here().await {
            Ok(_) => {}
            Err(SyncError::Damaged(_)) => return self.remove().await,
            Err(SyncError::Store(error)) => return Err(error),
        }
        match expect_schema(self.reader.schema().await?) {
            // The primary may have been migrated since; then the next sync brings it.
            Err(StoreError::OlderSchema { .. }) => {}
            other => {
                other?;
                self.status.send_modify(|status| {
                    status.is_readable = true;
                    status.synced_at = Some(marker.synced_at);
                });
            }
        }
        Ok(())
    }

    /// What is here, however old.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl AsyncFnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reading = self.readers.clone().read_owned().await;
        if !self.status.borrow().is_readable {
            return Err(StoreError::Unsynced);
        }
        let reader = self.reader.clone();
        let answer = blocking(async move || {
            let _reading = reading;
            question(&reader.connect()?).await
        });
        let answer = answer.await;
        if answer.as_ref().is_err_and(is_damage) {
            self.damaged.store(true, Ordering::Release);
            self.wake.notify_one();
        }
        answer
    }
}

#[async_trait]
impl ConfigStore for Replica {
    async fn monitors(&self, workspace: &WorkspaceId) -> Result<Monitors> {
        let (workspace, keys) = (workspace.clone(), self.keys.clone());
        self.read(async move |it| queries::monitors(it, &workspace, &keys).await)
            .await
    }

    async fn monitor(
        &self,
        workspace: &WorkspaceId,
        id: &MonitorId,
    ) -> Result<Option<Stored<Monitor>>> {
        let (workspace, id, keys) = (workspace.clone(), id.clone(), self.keys.clone());
        self.read(async move |it| queries::monitor(it, &workspace, &id, &keys).await)
            .await
    }

    async fn monitors_after(
        &self,
        workspace: &WorkspaceId,
        after: &str,
        limit: u32,
    ) -> Result<Monitors> {
        let (workspace, after, keys) = (workspace.clone(), after.to_owned(), self.keys.clone());
        self.read(async move |it| {
            queries::monitors_after(it, &workspace, &after, limit, &keys).await
        })
        .await
    }

    async fn monitors_named(&self, workspace: &WorkspaceId, ids: &[MonitorId]) -> Result<Monitors> {
        let (workspace, ids, keys) = (workspace.clone(), ids.to_vec(), self.keys.clone());
        self.read(async move |it| queries::monitors_named(it, &workspace, &ids, &keys).await)
            .await
    }

    async fn changes(&self, since: Option<Revision>) -> Result<Changes> {
        let keys = self.keys.clone();
        self.read(async move |it| queries::changes(it, since, &keys).await)
            .await
    }

    async fn regions(&self) -> Result<Vec<Region>> {
        self.read(async |it| queries::regions(it).await).await
    }

    async fn resources(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Resource>>> {
        let (workspace, after) = (workspace.clone(), after.to_owned());
        self.read(async move |it| resources::list(it, &workspace, kind, &after, limit).await)
            .await
    }

    async fn resource(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        id: &str,
    ) -> Result<Option<Stored<Resource>>> {
        let (workspace, id) = (workspace.clone(), id.to_owned());
        self.read(async move |it| resources::one(it, &workspace, kind, &id).await)
            .await
    }

    /// At the primary; whoever reads this replica afterwards sees it, unless the sync fails: the status tells.
    async fn change(&self, change: Change) -> Result<()> {
        self.primary.change(change).await?;
        if timeout(OWN_WRITE_TIMEOUT, self.sync()).await.is_err() {
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn audit(&self, workspace: &WorkspaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let (workspace, query) = (workspace.clone(), query.clone());
        self.read(async move |it| resources::audit(it, &workspace, &query).await)
            .await
    }
}

/// SQLite's code for a statement that the schema does not allow.
const SQLITE_ERROR: i32 = 1;

fn is_damage(error: &StoreError) -> bool {
    libsql_error(error).is_some_and(sonde_libsql::is_damage)
}

fn sqlite_code(error: &StoreError) -> Option<i32> {
    match libsql_error(error)? {
        libsql::Error::SqliteFailure(code, _) => Some(*code),
        _ => None,
    }
}

fn libsql_error(error: &StoreError) -> Option<&libsql::Error> {
    match error {
        StoreError::Unavailable(source) => source.downcast_ref(),
        _ => None,
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// From the file, or from its sync.
impl From<Unavailable> for SyncError {
    fn from(error: Unavailable) -> Self {
        if error.is_damage() {
            Self::Damaged(error.to_string())
        } else {
            Self::Store(error.into())
        }
    }
}

/// An error with its causes, for people.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
