//! [`AccountStore`] on a file, at the primary, and past a replica.

use async_trait::async_trait;
use sonde_core::{Timestamp, WorkspaceId};

use super::requests::Request;
use super::{LibsqlStore, Replica, accounts, requests};
use crate::{AccountStore, Claim, Credential, Holder, NewCredential, RequestKey, Result, User};

#[async_trait]
impl AccountStore for LibsqlStore {
    async fn user(&self, id: &str) -> Result<Option<User>> {
        let id = id.to_owned();
        self.read(async move |it| accounts::user(it, &id).await)
            .await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let email = email.to_owned();
        self.read(async move |it| accounts::user_by_email(it, &email).await)
            .await
    }

    async fn has_users(&self) -> Result<bool> {
        self.read(async |it| accounts::has_users(it).await).await
    }

    async fn put_user(&self, user: &User) -> Result<()> {
        let user = user.clone();
        self.write(async move |it| accounts::put_user(it, &user).await)
            .await
    }

    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        self.read(async move |it| accounts::user_by_identity(it, &issuer, &subject).await)
            .await
    }

    async fn put_identity(&self, issuer: &str, subject: &str, user: &str) -> Result<()> {
        let (issuer, subject, user) = (issuer.to_owned(), subject.to_owned(), user.to_owned());
        self.write(async move |it| accounts::put_identity(it, &issuer, &subject, &user).await)
            .await
    }

    async fn memberships(&self, user: &str) -> Result<Vec<(WorkspaceId, String)>> {
        let user = user.to_owned();
        self.read(async move |it| accounts::memberships(it, &user).await)
            .await
    }

    async fn credential(&self, hash: &str) -> Result<Option<Credential>> {
        let hash = hash.to_owned();
        self.read(async move |it| accounts::credential(it, &hash).await)
            .await
    }

    async fn put_credential(
        &self,
        new: &NewCredential,
        holder: &Holder,
        at: Timestamp,
    ) -> Result<()> {
        let (new, holder) = (new.clone(), holder.clone());
        self.write(async move |it| accounts::put_credential(it, &new, &holder, at).await)
            .await
    }

    async fn touch_credential(&self, hash: &str, at: Timestamp) -> Result<()> {
        let hash = hash.to_owned();
        self.write(async move |it| accounts::touch_credential(it, &hash, at).await)
            .await
    }

    async fn remove_credential(&self, hash: &str) -> Result<bool> {
        let hash = hash.to_owned();
        self.write(async move |it| accounts::remove_credential(it, &hash).await)
            .await
    }

    async fn end_sessions(&self, user: &str, but: Option<&str>) -> Result<()> {
        let (user, but) = (user.to_owned(), but.map(str::to_owned));
        self.write(async move |it| accounts::end_sessions(it, &user, but.as_deref()).await)
            .await
    }

    async fn keys_used(&self, workspace: &WorkspaceId) -> Result<Vec<(String, Timestamp)>> {
        let workspace = workspace.clone();
        self.read(async move |it| accounts::keys_used(it, &workspace).await)
            .await
    }

    async fn claim_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        fingerprint: &str,
        at: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Claim> {
        let (request, keys) = (Request::new(workspace, request), self.keys.clone());
        let fingerprint = fingerprint.to_owned();
        self.write(async move |it| {
            requests::claim(it, &request, &fingerprint, at, abandoned_before, &keys).await
        })
        .await
    }

    async fn finish_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        status: u16,
        body: &str,
    ) -> Result<()> {
        let (request, keys) = (Request::new(workspace, request), self.keys.clone());
        let body = body.to_owned();
        self.write(async move |it| requests::finish(it, &request, status, &body, &keys).await)
            .await
    }

    async fn release_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
    ) -> Result<()> {
        let request = Request::new(workspace, request);
        self.write(async move |it| requests::release(it, &request).await)
            .await
    }
}

/// A session that ended or a key that was revoked must not work on for as long as a replica is behind: all of it is
/// asked of the primary.
#[async_trait]
impl AccountStore for Replica {
    async fn user(&self, id: &str) -> Result<Option<User>> {
        self.primary().user(id).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        self.primary().user_by_email(email).await
    }

    async fn has_users(&self) -> Result<bool> {
        self.primary().has_users().await
    }

    async fn put_user(&self, user: &User) -> Result<()> {
        self.primary().put_user(user).await
    }

    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>> {
        self.primary().user_by_identity(issuer, subject).await
    }

    async fn put_identity(&self, issuer: &str, subject: &str, user: &str) -> Result<()> {
        self.primary().put_identity(issuer, subject, user).await
    }

    async fn memberships(&self, user: &str) -> Result<Vec<(WorkspaceId, String)>> {
        self.primary().memberships(user).await
    }

    async fn credential(&self, hash: &str) -> Result<Option<Credential>> {
        self.primary().credential(hash).await
    }

    async fn put_credential(
        &self,
        new: &NewCredential,
        holder: &Holder,
        at: Timestamp,
    ) -> Result<()> {
        self.primary().put_credential(new, holder, at).await
    }

    async fn touch_credential(&self, hash: &str, at: Timestamp) -> Result<()> {
        self.primary().touch_credential(hash, at).await
    }

    async fn remove_credential(&self, hash: &str) -> Result<bool> {
        self.primary().remove_credential(hash).await
    }

    async fn end_sessions(&self, user: &str, but: Option<&str>) -> Result<()> {
        self.primary().end_sessions(user, but).await
    }

    async fn keys_used(&self, workspace: &WorkspaceId) -> Result<Vec<(String, Timestamp)>> {
        self.primary().keys_used(workspace).await
    }

    async fn claim_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        fingerprint: &str,
        at: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Claim> {
        let claimed =
            self.primary()
                .claim_request(workspace, request, fingerprint, at, abandoned_before);
        claimed.await
    }

    async fn finish_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
        status: u16,
        body: &str,
    ) -> Result<()> {
        let primary = self.primary();
        primary
            .finish_request(workspace, request, status, body)
            .await
    }

    async fn release_request(
        &self,
        workspace: &WorkspaceId,
        request: RequestKey<'_>,
    ) -> Result<()> {
        self.primary().release_request(workspace, request).await
    }
}
