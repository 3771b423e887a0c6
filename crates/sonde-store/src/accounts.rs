//! People and what they present: users, sessions, API keys, invitations. Over all workspaces.

use async_trait::async_trait;
use sonde_core::{MonitorId, Timestamp, WorkspaceId};

use crate::{NewCredential, Result};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    /// In lower case; unique.
    pub email: String,
    pub name: String,
    /// A PHC string; none for who signs in elsewhere.
    pub password: Option<String>,
    pub created_at: Timestamp,
}

/// What a credential opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opens {
    /// A user's session.
    Session { user: String },
    ApiKey {
        workspace: WorkspaceId,
        id: String,
        /// The resource, JSON.
        body: String,
    },
    Invitation {
        workspace: WorkspaceId,
        id: String,
        body: String,
    },
    /// Pings of a monitor.
    Heartbeat {
        workspace: WorkspaceId,
        monitor: MonitorId,
    },
    /// The first user's account.
    SetUp,
}

/// A credential that was found; whether it still opens anything is for the caller to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub opens: Opens,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// A session or the set-up link; those of resources come with their [`Put`](crate::Put).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    User(String),
    SetUp,
}

/// A request that may come again: whose it is, and what they call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey<'a> {
    pub actor: &'a str,
    pub key: &'a str,
}

/// Whether a request is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// By whoever asked: nobody else has begun, or they are gone.
    Ours,
    /// Somebody else does it now.
    InProgress,
    /// The key stands for another request.
    Other,
    /// It was done, and answered so.
    Done { status: u16, body: String },
}

#[async_trait]
pub trait AccountStore: Send + Sync {
    async fn user(&self, id: &str) -> Result<Option<User>>;

    async fn user_by_email(&self, email: &str) -> Result<Option<User>>;

    /// Whether anyone has an account.
    async fn has_users(&self) -> Result<bool>;

    /// Creates or changes a user; an e-mail address that another one has is a conflict.
    async fn put_user(&self, user: &User) -> Result<()>;

    /// The user whom an issuer knows by that subject.
    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>>;

    async fn put_identity(&self, issuer: &str, subject: &str, user: &str) -> Result<()>;

    /// Workspaces and the bodies of the user's memberships.
    async fn memberships(&self, user: &str) -> Result<Vec<(WorkspaceId, String)>>;

    async fn credential(&self, hash: &str) -> Result<Option<Credential>>;

    async fn put_credential(
        &self,
        new: &NewCredential,
        holder: &Holder,
        at: Timestamp,
    ) -> Result<()>;

    /// Says when it was last used.
    async fn touch_credential(&self, hash: &str, at: Timestamp) -> Result<()>;

    /// False when it was gone already: of two who use up a link, one is the first.
    async fn remove_credential(&self, hash: &str) -> Result<bool>;

    /// Ends all sessions of a user but one.
    async fn end_sessions(&self, user: &str, but: Option<&str>) -> Result<()>;

    /// When each of a workspace's API keys was last used, by id.
    async fn keys_used(&self, workspace: &WorkspaceId) -> Result<Vec<(String, Timestamp)>>;

    /// Of all who claim a request at once, one gets it. A claim from before `abandoned_before` that was not finished
    /// counts no more. What was claimed over a day before is forgotten.
    async fn claim_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        fingerprint: &str,
        at: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Claim>;

    /// What was answered; kept sealed where the store has a key.
    async fn finish_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        status: u16,
        body: &str,
    ) -> Result<()>;

    /// Takes an unfinished claim back.
    async fn release_request(&self, workspace: &WorkspaceId, request: RequestKey<'_>)
    -> Result<()>;
}
