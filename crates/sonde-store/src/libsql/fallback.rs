//! The configuration of a fleet for who must see the newest and answer all the same when that cannot be had: from the
//! primary, and while that is away from a replica of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sonde_core::{Clock, Monitor, MonitorId, Region, Timestamp, WorkspaceId};
use tokio::time::{Instant, timeout};

use super::Replica;
use crate::{
    AuditEntry, AuditQuery, Change, Changes, ConfigStore, Monitors, Resource, ResourceKind, Result,
    Revision, StoreError, Stored,
};

/// A primary that has not answered by then is away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody asks a primary that was away: each would wait as long again.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Fallback {
    replica: Arc<Replica>,
    clock: Arc<dyn Clock>,
    away: Mutex<Option<Away>>,
}

#[derive(Clone, Copy)]
struct Away {
    since: Timestamp,
    last_asked: Instant,
}

impl Fallback {
    pub fn new(replica: Arc<Replica>, clock: Arc<dyn Clock>) -> Self {
        Self {
            replica,
            clock,
            away: Mutex::default(),
        }
    }

    async fn read<'a, T>(
        &'a self,
        ask: impl Fn(&'a dyn ConfigStore) -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let away = self.away();
        if away.is_none_or(|away| away.last_asked.elapsed() >= PAUSE) {
            match timeout(PATIENCE, ask(self.replica.primary())).await {
                Ok(Err(StoreError::Unavailable(error))) => {
                    let error = sonde_core::chain(&*error);
                    tracing::debug!(error, "the primary of the configuration is away");
                }
                Err(_) => {}
                Ok(answer) => {
                    self.set_away(None);
                    return answer;
                }
            }
            let since = away.map_or_else(|| self.clock.now(), |away| away.since);
            let last_asked = Instant::now();
            self.set_away(Some(Away { since, last_asked }));
        }
        ask(&*self.replica).await
    }

    fn away(&self) -> Option<Away> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_away(&self, away: Option<Away>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }
}

#[async_trait]
impl ConfigStore for Fallback {
    async fn monitors(&self, workspace: &WorkspaceId) -> Result<Monitors> {
        self.read(|store| store.monitors(workspace)).await
    }

    async fn monitor(
        &self,
        workspace: &WorkspaceId,
        id: &MonitorId,
    ) -> Result<Option<Stored<Monitor>>> {
        self.read(|store| store.monitor(workspace, id)).await
    }

    async fn monitors_after(
        &self,
        workspace: &WorkspaceId,
        after: &str,
        limit: u32,
    ) -> Result<Monitors> {
        self.read(|store| store.monitors_after(workspace, after, limit))
            .await
    }

    async fn monitors_named(&self, workspace: &WorkspaceId, ids: &[MonitorId]) -> Result<Monitors> {
        self.read(|store| store.monitors_named(workspace, ids))
            .await
    }

    async fn changes(&self, since: Option<Revision>) -> Result<Changes> {
        self.read(|store| store.changes(since)).await
    }

    async fn regions(&self) -> Result<Vec<Region>> {
        self.read(|store| store.regions()).await
    }

    async fn resources(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Resource>>> {
        self.read(|store| store.resources(workspace, kind, after, limit))
            .await
    }

    async fn resource(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        id: &str,
    ) -> Result<Option<Stored<Resource>>> {
        self.read(|store| store.resource(workspace, kind, id)).await
    }

    /// At the primary alone.
    async fn change(&self, change: Change) -> Result<()> {
        self.replica.primary().change(change).await
    }

    async fn audit(&self, workspace: &WorkspaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        self.read(|store| store.audit(workspace, query)).await
    }

    fn stale_since(&self) -> Option<Timestamp> {
        self.away().map(|away| away.since)
    }
}
