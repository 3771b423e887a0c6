//! The configuration of a fleet for who must see the newest and answer all the same when that cannot be had: from the
//! primary, and while that is away from a replica of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sonde_core::{Clock, Monitor, MonitorId, Region, Timestamp, WorkspaceId};
use tokio::time::{Instant, timeout};

use super::{LibsqlStore, Replica, accounts};
use crate::{
    AccountStore, AuditEntry, AuditQuery, Change, Changes, Claim, ConfigStore, Credential, Holder,
    Monitors, NewCredential, RequestKey, Resource, ResourceKind, Result, Revision, StoreError,
    Stored, User,
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

    /// What the primary says, or in its absence the replica.
    async fn either<T>(
        &self,
        primary: impl Future<Output = Result<T>> + Send,
        replica: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let away = self.away();
        if away.is_none_or(|away| away.last_asked.elapsed() >= PAUSE) {
            match timeout(PATIENCE, primary).await {
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
        replica.await
    }

    /// What the primary did shows that it is there: whoever wrote reads what they wrote.
    async fn written<T>(&self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let written = write.await;
        if !matches!(written, Err(StoreError::Unavailable(_))) {
            self.set_away(None);
        }
        written
    }

    fn primary(&self) -> &LibsqlStore {
        self.replica.primary()
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
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(primary.monitors(workspace), replica.monitors(workspace))
            .await
    }

    async fn monitor(
        &self,
        workspace: &WorkspaceId,
        id: &MonitorId,
    ) -> Result<Option<Stored<Monitor>>> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.monitor(workspace, id),
            replica.monitor(workspace, id),
        )
        .await
    }

    async fn monitors_after(
        &self,
        workspace: &WorkspaceId,
        after: &str,
        limit: u32,
    ) -> Result<Monitors> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.monitors_after(workspace, after, limit),
            replica.monitors_after(workspace, after, limit),
        )
        .await
    }

    async fn monitors_named(&self, workspace: &WorkspaceId, ids: &[MonitorId]) -> Result<Monitors> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.monitors_named(workspace, ids),
            replica.monitors_named(workspace, ids),
        )
        .await
    }

    async fn changes(&self, since: Option<Revision>) -> Result<Changes> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(primary.changes(since), replica.changes(since))
            .await
    }

    async fn regions(&self) -> Result<Vec<Region>> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(primary.regions(), replica.regions()).await
    }

    async fn resources(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Resource>>> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.resources(workspace, kind, after, limit),
            replica.resources(workspace, kind, after, limit),
        )
        .await
    }

    async fn resource(
        &self,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        id: &str,
    ) -> Result<Option<Stored<Resource>>> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.resource(workspace, kind, id),
            replica.resource(workspace, kind, id),
        )
        .await
    }

    /// At the primary alone.
    async fn change(&self, change: Change) -> Result<()> {
        self.written(self.primary().change(change)).await
    }

    async fn audit(&self, workspace: &WorkspaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let (primary, replica) = (self.primary(), &self.replica);
        self.either(
            primary.audit(workspace, query),
            replica.audit(workspace, query),
        )
        .await
    }

    fn stale_since(&self) -> Option<Timestamp> {
        self.away().map(|away| away.since)
    }
}

/// While the primary is away, who was let in by it is let in still: what the replica knows of sessions and keys counts.
#[async_trait]
impl AccountStore for Fallback {
    async fn user(&self, id: &str) -> Result<Option<User>> {
        let owned = id.to_owned();
        let copy = self
            .replica
            .read(async move |it| accounts::user(it, &owned).await);
        self.either(self.primary().user(id), copy).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        self.primary().user_by_email(email).await
    }

    async fn has_users(&self) -> Result<bool> {
        let copy = self.replica.read(async |it| accounts::has_users(it).await);
        self.either(self.primary().has_users(), copy).await
    }

    async fn put_user(&self, user: &User) -> Result<()> {
        self.written(self.primary().put_user(user)).await
    }

    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>> {
        self.primary().user_by_identity(issuer, subject).await
    }

    async fn put_identity(&self, issuer: &str, subject: &str, user: &str) -> Result<()> {
        self.written(self.primary().put_identity(issuer, subject, user))
            .await
    }

    async fn memberships(&self, user: &str) -> Result<Vec<(WorkspaceId, String)>> {
        let owned = user.to_owned();
        let copy = self
            .replica
            .read(async move |it| accounts::memberships(it, &owned).await);
        self.either(self.primary().memberships(user), copy).await
    }

    async fn credential(&self, hash: &str) -> Result<Option<Credential>> {
        let owned = hash.to_owned();
        let copy = self
            .replica
            .read(async move |it| accounts::credential(it, &owned).await);
        self.either(self.primary().credential(hash), copy).await
    }

    async fn put_credential(
        &self,
        new: &NewCredential,
        holder: &Holder,
        at: Timestamp,
    ) -> Result<()> {
        self.written(self.primary().put_credential(new, holder, at))
            .await
    }

    async fn touch_credential(&self, hash: &str, at: Timestamp) -> Result<()> {
        self.primary().touch_credential(hash, at).await
    }

    async fn remove_credential(&self, hash: &str) -> Result<bool> {
        self.written(self.primary().remove_credential(hash)).await
    }

    async fn end_sessions(&self, user: &str, but: Option<&str>) -> Result<()> {
        self.written(self.primary().end_sessions(user, but)).await
    }

    async fn keys_used(&self, workspace: &WorkspaceId) -> Result<Vec<(String, Timestamp)>> {
        let owned = workspace.clone();
        let copy = self
            .replica
            .read(async move |it| accounts::keys_used(it, &owned).await);
        self.either(self.primary().keys_used(workspace), copy).await
    }

    async fn claim_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        fingerprint: &str,
        at: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Claim> {
        let primary = self.primary();
        let claim = primary.claim_request(workspace, request, fingerprint, at, abandoned_before);
        self.written(claim).await
    }

    async fn finish_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        status: u16,
        body: &str,
    ) -> Result<()> {
        let primary = self.primary();
        let finish = primary.finish_request(workspace, request, status, body);
        self.written(finish).await
    }

    async fn release_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
    ) -> Result<()> {
        self.written(self.primary().release_request(workspace, request))
            .await
    }
}
