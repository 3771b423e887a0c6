//! Signing in with an identity provider, by OpenID Connect: any that describes itself (Discovery 1.0), by the code flow
//! with PKCE.
//!
//! The provider says who somebody is; whether they get in is decided here, by invitations and accounts.

mod decide;
mod flow;
mod provider;
#[cfg(test)]
mod tests;

use sonde_core::WorkspaceId;
use sonde_store::{Opens, User};
use url::Url;
use uuid::Uuid;

use self::decide::{Decision, Identity, Known, decide};
use self::flow::Flow;
pub use self::provider::OidcProvider;
use crate::accounts::SignedIn;
use crate::authenticate::Peer;
use crate::entries::decode;
use crate::members::Invitation;
use crate::token::{Token, TokenKind};
use crate::{Result, Service, ServiceError};

/// A browser on its way to the provider.
#[derive(Debug, Clone)]
pub struct Departure {
    pub provider: Url,
    /// For a cookie that only we see, until it comes back.
    pub flow: Token,
}

/// A browser that is back.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub code: &'a str,
    pub state: &'a str,
    /// What the cookie held.
    pub flow: Option<&'a Token>,
    /// Where it arrived: the same as when it left.
    pub redirect: &'a Url,
}

/// An invitation that somebody came with.
struct Invited {
    workspace: WorkspaceId,
    id: String,
    invitation: Invitation,
}

impl Service {
    /// What people call the provider that they can sign in with; nothing where there is none.
    pub fn oidc_name(&self) -> Option<&str> {
        self.parts.oidc.as_ref().map(OidcProvider::name)
    }

    /// The ticket is the token of an invitation or of the set-up link.
    pub async fn oidc_start(&self, redirect: &Url, ticket: Option<&Token>) -> Result<Departure> {
        let ticket = ticket.map(|ticket| ticket.expose().to_owned());
        let (provider, flow) = self.oidc()?.begin(redirect, ticket).await?;
        let flow = flow.cookie();
        Ok(Departure { provider, flow })
    }

    pub async fn oidc_finish(&self, arrival: Arrival<'_>, peer: Peer) -> Result<SignedIn> {
        let flow = Flow::resumed(arrival.flow, arrival.state)?;
        let clock = &*self.parts.clock;
        let identity = self
            .oidc()?
            .finish(arrival.code, arrival.redirect, &flow, clock);
        let identity = identity.await?;
        let ticket = flow.ticket.as_deref().map(Token::presented);
        self.let_in(&identity, ticket.as_ref(), peer).await
    }

    fn oidc(&self) -> Result<&OidcProvider> {
        self.parts
            .oidc
            .as_ref()
            .ok_or_else(|| ServiceError::NotFound {
                what: "identity provider",
                id: "oidc".to_owned(),
            })
    }

    /// Who is known, who is invited, and who comes first.
    async fn let_in(
        &self,
        identity: &Identity,
        ticket: Option<&Token>,
        peer: Peer,
    ) -> Result<SignedIn> {
        let accounts = &self.parts.accounts;
        let set_up = ticket.filter(|ticket| ticket.is(TokenKind::SetUp));
        let invited = match ticket {
            Some(token) if set_up.is_none() => Some(self.invited(token, peer).await?),
            _ => None,
        };
        let by_identity = accounts.user_by_identity(&identity.issuer, &identity.subject);
        let known = Known {
            by_identity: by_identity.await?,
            by_address: match identity.verified_address() {
                Some(address) => accounts.user_by_email(&address).await?,
                None => None,
            },
            invited: invited.as_ref().map(|it| it.invitation.email.clone()),
            may_set_up: set_up.is_some() && !accounts.has_users().await?,
        };
        let (user, is_linked) = match (decide(identity, known)?, set_up) {
            (Decision::SignIn(user), _) => (user, true),
            (Decision::Link(user), _) => (user, false),
            (Decision::SetUp(address), Some(token)) => {
                let user = self.known_by_provider(identity, address);
                let workspace = WorkspaceId::local();
                self.first_owner(token, &user, workspace, peer).await?;
                (user, false)
            }
            (Decision::Create(address) | Decision::SetUp(address), _) => {
                let user = self.known_by_provider(identity, address);
                accounts.put_user(&user).await?;
                (user, false)
            }
        };
        if !is_linked {
            let linked = accounts.put_identity(&identity.issuer, &identity.subject, &user.id);
            linked.await?;
        }
        if let Some(it) = invited {
            self.redeem(&user, it.workspace, &it.id, &it.invitation)
                .await?;
        }
        self.start_session(user).await
    }

    async fn invited(&self, token: &Token, peer: Peer) -> Result<Invited> {
        match self.opened(token, TokenKind::Invitation, peer).await? {
            Opens::Invitation {
                workspace,
                id,
                body,
            } => Ok(Invited {
                workspace,
                invitation: decode(&id, &body)?,
                id,
            }),
            _ => Err(ServiceError::Unauthenticated(crate::accounts::NO_SUCH_LINK)),
        }
    }

    /// Somebody new, who has no password here.
    fn known_by_provider(&self, identity: &Identity, address: String) -> User {
        User {
            id: Uuid::new_v4().to_string(),
            name: identity.display_name(&address),
            email: address,
            password: None,
            created_at: self.now(),
        }
    }
}
