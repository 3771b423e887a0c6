//! From what somebody presents to an [`Access`], or to the reason why there is none.

use std::net::IpAddr;
use std::time::Duration;

use sonde_core::{Role, Timestamp, WorkspaceId};
use sonde_store::{Credential, Opens, User};
use url::Url;

use crate::access::{Access, Grant, Principal};
use crate::entries::decode;
use crate::keys::ApiKey;
use crate::members::Member;
use crate::token::{Token, TokenKind};
use crate::{Result, Service, ServiceError};

/// How exactly the last use is known: more often would be a write per request.
const LAST_USE: Duration = Duration::from_mins(1);
/// How long a session lives without being used.
pub(crate) const SESSION_IDLE: Duration = Duration::from_hours(7 * 24);

const SIGN_IN: &str = "sign in, or send an API key as `Authorization: Bearer`";
const INVALID_KEY: &str = "this API key is not valid, or not any more";
const INVALID_SESSION: &str = "the session has ended: sign in again";

/// What a request presents.
#[derive(Debug, Clone)]
pub enum Presented {
    Nothing,
    /// An API key.
    Bearer(Token),
    /// A session, of a browser.
    Cookie(Token),
}

/// Where a request comes from, for slowing down who guesses.
pub type Peer = Option<IpAddr>;

/// How a request came: for what is about its own session.
#[derive(Debug, Clone)]
pub struct Visit {
    pub presented: Presented,
    pub peer: Peer,
}

impl Visit {
    /// The session of a browser.
    pub fn session(&self) -> Result<&Token> {
        match &self.presented {
            Presented::Cookie(session) => Ok(session),
            Presented::Bearer(_) | Presented::Nothing => Err(ServiceError::Unauthenticated(
                "this takes a session: sign in",
            )),
        }
    }
}

/// Somebody who is nobody yet, at a page to come in by.
#[derive(Debug, Clone)]
pub struct Stranger {
    pub peer: Peer,
    /// Where an identity provider sends them back to; nowhere where none can.
    pub back: Option<Url>,
    /// Why they were sent back.
    pub told: Option<String>,
}

impl Service {
    /// Whoever is on this machine may do everything, in the one workspace that there is.
    pub fn local(&self) -> Access {
        let grant = Grant::of_role(Role::Owner, None);
        Access::new(self.clone(), WorkspaceId::local(), Principal::Local, grant)
    }

    /// The caller in a workspace; in the only one that they have when none is named.
    pub async fn authenticate(
        &self,
        presented: &Presented,
        workspace: Option<&WorkspaceId>,
        peer: Peer,
    ) -> Result<Access> {
        match presented {
            Presented::Nothing if self.is_open().await? => Ok(self.local()),
            Presented::Nothing => Err(ServiceError::Unauthenticated(SIGN_IN)),
            Presented::Bearer(token) => self.by_key(token, workspace, peer).await,
            Presented::Cookie(token) => {
                let user = self.session_user(token).await?;
                self.enter(user, workspace).await
            }
        }
    }

    /// Whether nobody has to sign in: on one machine, until somebody has an account.
    pub async fn is_open(&self) -> Result<bool> {
        Ok(self.parts.open_until_set_up && !self.parts.accounts.has_users().await?)
    }

    async fn by_key(
        &self,
        token: &Token,
        workspace: Option<&WorkspaceId>,
        peer: Peer,
    ) -> Result<Access> {
        let is_key = token.is(TokenKind::ApiKey);
        let found = if is_key {
            self.valid(token).await?
        } else {
            None
        };
        let Some(Opens::ApiKey {
            workspace: own,
            id,
            body,
        }) = found.map(|found| found.opens)
        else {
            // Behind one address are many: who has a key is not held up by those who guess.
            let peer = peer.map(|peer| format!("key {peer}")).unwrap_or_default();
            self.guesses.admit(&[&peer])?;
            self.guesses.failed(&[&peer]);
            return Err(ServiceError::Unauthenticated(INVALID_KEY));
        };
        if workspace.is_some_and(|workspace| *workspace != own) {
            let message = format!("this API key is one of workspace `{own}`");
            return Err(ServiceError::Refused(message));
        }
        let key: ApiKey = decode(&id, &body)?;
        let grant = Grant::of_key(&key.scopes, key.only.as_deref());
        let name = key.name;
        let principal = Principal::ApiKey { id, name };
        Ok(Access::new(self.clone(), own, principal, grant))
    }

    /// Whose session it is.
    pub async fn session_user(&self, token: &Token) -> Result<User> {
        let ended = || ServiceError::Unauthenticated(INVALID_SESSION);
        if !token.is(TokenKind::Session) {
            return Err(ended());
        }
        let found = self.valid(token).await?.ok_or_else(ended)?;
        let Opens::Session { user } = found.opens else {
            return Err(ended());
        };
        let used = found.last_used_at.unwrap_or(found.created_at);
        if self.now().since(used) > SESSION_IDLE {
            return Err(ended());
        }
        self.parts.accounts.user(&user).await?.ok_or_else(ended)
    }

    /// A user in one of their workspaces.
    async fn enter(&self, user: User, workspace: Option<&WorkspaceId>) -> Result<Access> {
        let own = self.workspaces(&user).await?;
        let found = match workspace {
            Some(wanted) => own.into_iter().find(|(workspace, _)| workspace == wanted),
            None if own.len() > 1 => {
                let names: Vec<_> = own.iter().map(|(name, _)| name.to_string()).collect();
                let message = format!(
                    "name a workspace in the header `Sonde-Workspace`: {}",
                    names.join(", ")
                );
                return Err(ServiceError::Refused(message));
            }
            None => own.into_iter().next(),
        };
        let (workspace, member) =
            found.ok_or_else(|| ServiceError::Refused("you are no member of it".to_owned()))?;
        let grant = member.grant();
        Ok(Access::new(
            self.clone(),
            workspace,
            Principal::User(user),
            grant,
        ))
    }

    /// Where a user is a member, by name.
    pub async fn workspaces(&self, user: &User) -> Result<Vec<(WorkspaceId, Member)>> {
        let memberships = self.parts.accounts.memberships(&user.id).await?;
        let members = memberships.into_iter();
        let members = members.map(|(workspace, body)| Ok((workspace, decode(&user.id, &body)?)));
        let mut members: Vec<(WorkspaceId, Member)> = members.collect::<Result<_>>()?;
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(members)
    }

    /// A credential that is known and stands, used now.
    pub(crate) async fn valid(&self, token: &Token) -> Result<Option<Credential>> {
        let hash = token.hash();
        let found = self.parts.accounts.credential(&hash).await?;
        let now = self.now();
        let Some(found) = found.filter(|it| it.expires_at.is_none_or(|at| at > now)) else {
            return Ok(None);
        };
        let stale = |at: Timestamp| now.since(at) >= LAST_USE;
        if self.stale_since().is_none()
            && found.last_used_at.is_none_or(stale)
            && let Err(error) = self.parts.accounts.touch_credential(&hash, now).await
        {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot note when a credential was last used");
        }
        Ok(Some(found))
    }
}
