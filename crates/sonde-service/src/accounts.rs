//! People: the first account, signing in and out, becoming a member.

use sonde_core::{Role, WorkspaceId};
use sonde_store::{Actor, ActorKind, Change, Expected, Holder, Opens, Remove, ResourceKind, User};
use std::time::Duration;
use uuid::Uuid;

use crate::authenticate::Peer;
use crate::entries::{decode, put};
use crate::members::{Invitation, Member};
use crate::token::{Token, TokenKind};
use crate::{Result, Service, ServiceError, names, password};

/// How long a session lives at most.
const SESSION: Duration = Duration::from_hours(30 * 24);
/// How long the first start's link stands; the next start prints another.
const SET_UP: Duration = Duration::from_hours(24);

pub(crate) const NO_SUCH_LINK: &str = "this link was used already, or has expired";

/// Who signed in, and the session's token.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub user: User,
    pub session: Token,
}

/// What somebody says who gets an account.
#[derive(Debug, Clone)]
pub struct Newcomer {
    pub name: String,
    pub password: String,
}

impl Newcomer {
    fn check(&self) -> Result<()> {
        if let Some(problem) = names::problem("name", &self.name) {
            return Err(ServiceError::Invalid(vec![problem]));
        }
        password::check("password", &self.password)
    }
}

impl Service {
    /// What opens the first account; nothing when there is one.
    pub async fn set_up_token(&self) -> Result<Option<Token>> {
        if self.parts.accounts.has_users().await? {
            return Ok(None);
        }
        let token = Token::generate(TokenKind::SetUp);
        let credential = token.credential(Some(self.now() + SET_UP));
        let accounts = &self.parts.accounts;
        accounts
            .put_credential(&credential, &Holder::SetUp, self.now())
            .await?;
        Ok(Some(token))
    }

    /// Whether a link sets this up.
    pub async fn look_at_set_up(&self, token: &Token, peer: Peer) -> Result<()> {
        self.opened(token, TokenKind::SetUp, peer).await.map(drop)
    }

    /// The first account, owner of a workspace.
    pub async fn set_up(
        &self,
        token: &Token,
        email: &str,
        newcomer: &Newcomer,
        workspace: WorkspaceId,
        peer: Peer,
    ) -> Result<SignedIn> {
        let email = checked_email(email)?;
        newcomer.check()?;
        // Before the password is hashed, which is slow.
        self.opened(token, TokenKind::SetUp, peer).await?;
        let user = self.new_user(email, newcomer).await?;
        self.first_owner(token, &user, workspace, peer).await?;
        self.start_session(user).await
    }

    /// Uses up the link.
    pub(crate) async fn first_owner(
        &self,
        token: &Token,
        user: &User,
        workspace: WorkspaceId,
        peer: Peer,
    ) -> Result<()> {
        self.opened(token, TokenKind::SetUp, peer).await?;
        if self.parts.accounts.has_users().await? {
            let message = "somebody has set up this Sonde already: sign in, or be invited";
            return Err(ServiceError::Refused(message.to_owned()));
        }
        self.use_up(token).await?;
        // In this order: without a user, the next start prints another link.
        self.join(user, workspace).await?;
        self.parts.accounts.put_user(user).await?;
        Ok(())
    }

    pub async fn sign_in(&self, email: &str, password: &str, peer: Peer) -> Result<SignedIn> {
        let email = email.to_lowercase();
        let account = format!("account {email}");
        let peer = peer.map(|peer| format!("login {peer}")).unwrap_or_default();
        let who = [account.as_str(), peer.as_str()];
        self.guesses.admit(&who)?;
        let user = self.parts.accounts.user_by_email(&email).await?;
        let hash = user.as_ref().and_then(|user| user.password.as_deref());
        let right = password::verify(password, hash).await;
        let Some(user) = user.filter(|_| right) else {
            self.guesses.failed(&who);
            return Err(ServiceError::Unauthenticated(
                "no account has this e-mail address and password",
            ));
        };
        self.guesses.succeeded(&who);
        self.start_session(user).await
    }

    pub async fn sign_out(&self, session: &Token) -> Result<()> {
        let accounts = &self.parts.accounts;
        accounts.remove_credential(&session.hash()).await?;
        Ok(())
    }

    /// Ends all sessions of whose session it is.
    pub async fn sign_out_everywhere(&self, session: &Token) -> Result<()> {
        let user = self.session_user(session).await?;
        self.parts.accounts.end_sessions(&user.id, None).await?;
        Ok(())
    }

    /// Ends all other sessions of the user.
    pub async fn change_password(
        &self,
        session: &Token,
        current: &str,
        new: &str,
        peer: Peer,
    ) -> Result<()> {
        let user = self.session_user(session).await?;
        password::check("new", new)?;
        let peer = peer.map(|peer| format!("login {peer}")).unwrap_or_default();
        let account = format!("account {}", user.email);
        let who = [account.as_str(), peer.as_str()];
        self.guesses.admit(&who)?;
        if !password::verify(current, user.password.as_deref()).await {
            self.guesses.failed(&who);
            return Err(ServiceError::invalid("current", "is not your password"));
        }
        let password = Some(password::hash(new).await);
        let changed = User { password, ..user };
        let accounts = &self.parts.accounts;
        accounts.put_user(&changed).await?;
        accounts
            .end_sessions(&changed.id, Some(&session.hash()))
            .await?;
        Ok(())
    }

    /// What an invitation is for, to show it before it is accepted.
    pub async fn invitation_of(
        &self,
        token: &Token,
        peer: Peer,
    ) -> Result<(WorkspaceId, Invitation)> {
        match self.opened(token, TokenKind::Invitation, peer).await? {
            Opens::Invitation {
                workspace,
                id,
                body,
            } => Ok((workspace, decode(&id, &body)?)),
            _ => Err(ServiceError::Unauthenticated(NO_SUCH_LINK)),
        }
    }

    /// By somebody new, or by who has the invited address and proves it with their password.
    pub async fn accept_invitation(
        &self,
        token: &Token,
        newcomer: &Newcomer,
        peer: Peer,
    ) -> Result<SignedIn> {
        let opens = self.opened(token, TokenKind::Invitation, peer).await?;
        let Opens::Invitation {
            workspace,
            id,
            body,
        } = opens
        else {
            return Err(ServiceError::Unauthenticated(NO_SUCH_LINK));
        };
        let invitation: Invitation = decode(&id, &body)?;
        let known = self.parts.accounts.user_by_email(&invitation.email).await?;
        let signed_in = if let Some(user) = known {
            self.sign_in(&user.email, &newcomer.password, peer).await?
        } else {
            newcomer.check()?;
            let user = self.new_user(invitation.email.clone(), newcomer).await?;
            self.parts.accounts.put_user(&user).await?;
            self.start_session(user).await?
        };
        self.redeem(&signed_in.user, workspace, &id, &invitation)
            .await?;
        Ok(signed_in)
    }

    /// Another workspace, owned by the user.
    pub async fn create_workspace(&self, user: &User, workspace: WorkspaceId) -> Result<()> {
        let taken = self
            .parts
            .store
            .resources(&workspace, ResourceKind::Member, "", 1);
        let monitors = self.parts.store.monitors(&workspace);
        if !taken.await?.is_empty() || !monitors.await?.monitors.is_empty() {
            return Err(ServiceError::Exists {
                what: "workspace",
                id: workspace.to_string(),
            });
        }
        self.join(user, workspace).await
    }

    /// The invitation becomes a membership, at once or not at all: of two who follow one link, one is the first.
    pub(crate) async fn redeem(
        &self,
        user: &User,
        workspace: WorkspaceId,
        id: &str,
        invitation: &Invitation,
    ) -> Result<()> {
        let mut change = Change::new(workspace, Some(actor(user)));
        change.removes.push(Remove {
            kind: ResourceKind::Invitation,
            id: id.to_owned(),
            expected: Expected::Version(1),
        });
        let member = Member {
            email: user.email.clone(),
            name: user.name.clone(),
            role: invitation.role,
            only: invitation.only.clone(),
        };
        change
            .puts
            .push(put(&user.id, &member).expecting(Expected::Nothing));
        let joined = self.parts.store.change(change).await;
        joined.map_err(|error| match ServiceError::from(error) {
            ServiceError::Changed => {
                let message = "you are a member already, or the invitation was taken back";
                ServiceError::Refused(message.to_owned())
            }
            other => other,
        })
    }

    /// As an owner.
    async fn join(&self, user: &User, workspace: WorkspaceId) -> Result<()> {
        let member = Member {
            email: user.email.clone(),
            name: user.name.clone(),
            role: Role::Owner,
            only: None,
        };
        let mut change = Change::new(workspace, Some(actor(user)));
        change.puts.push(put(&user.id, &member));
        self.parts.store.change(change).await?;
        Ok(())
    }

    async fn new_user(&self, email: String, newcomer: &Newcomer) -> Result<User> {
        Ok(User {
            id: Uuid::new_v4().to_string(),
            email,
            name: newcomer.name.clone(),
            password: Some(password::hash(&newcomer.password).await),
            created_at: self.now(),
        })
    }

    pub(crate) async fn start_session(&self, user: User) -> Result<SignedIn> {
        let session = Token::generate(TokenKind::Session);
        let credential = session.credential(Some(self.now() + SESSION));
        let holder = Holder::User(user.id.clone());
        let accounts = &self.parts.accounts;
        accounts
            .put_credential(&credential, &holder, self.now())
            .await?;
        Ok(SignedIn { user, session })
    }

    /// What a link opens that stands still.
    pub(crate) async fn opened(&self, token: &Token, kind: TokenKind, peer: Peer) -> Result<Opens> {
        let peer = peer.map(|peer| format!("link {peer}")).unwrap_or_default();
        self.guesses.admit(&[&peer])?;
        let found = if token.is(kind) {
            self.valid(token).await?
        } else {
            None
        };
        found.map(|found| found.opens).ok_or_else(|| {
            self.guesses.failed(&[&peer]);
            ServiceError::Unauthenticated(NO_SUCH_LINK)
        })
    }

    async fn use_up(&self, token: &Token) -> Result<()> {
        let first = self.parts.accounts.remove_credential(&token.hash()).await?;
        first
            .then_some(())
            .ok_or(ServiceError::Unauthenticated(NO_SUCH_LINK))
    }
}

fn checked_email(email: &str) -> Result<String> {
    let email = names::email("email", email);
    email.map_err(|problem| ServiceError::Invalid(vec![problem]))
}

pub(crate) fn actor(user: &User) -> Actor {
    Actor {
        kind: ActorKind::User,
        id: user.id.clone(),
        name: user.email.clone(),
    }
}
