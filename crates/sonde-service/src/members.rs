//! Members of a workspace, and invitations to become one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Role, Scope, Timestamp};
use sonde_store::{Change, Expected, Remove, ResourceKind};
use uuid::Uuid;

use crate::access::{Access, Grant, Permit};
use crate::entries::{Body, Entry, Page, PageQuery, put};
use crate::token::{Token, TokenKind};
use crate::{Result, ServiceError, names};

/// How long an invitation stands.
const INVITED_FOR: Duration = Duration::from_hours(7 * 24);
/// A workspace with more owners than this is none that could lose its last one by a race.
const OWNERS_LOOKED_AT: u32 = 1000;

/// A person in a workspace; the id of the resource is the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub email: String,
    pub name: String,
    pub role: Role,
    /// Only these monitors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<MonitorId>>,
}

impl Body for Member {
    const KIND: ResourceKind = ResourceKind::Member;
    const WHAT: &'static str = "member";
}

impl Member {
    pub(crate) fn grant(&self) -> Grant {
        Grant::of_role(self.role, self.only.as_deref())
    }
}

/// Somebody who may become a member by following a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub email: String,
    pub role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<MonitorId>>,
    pub expires_at: Timestamp,
    pub invited_by: String,
}

impl Body for Invitation {
    const KIND: ResourceKind = ResourceKind::Invitation;
    const WHAT: &'static str = "invitation";
}

/// What a member is to be; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct MemberChange {
    pub role: Option<Role>,
    pub only: LimitChange,
}

/// What becomes of the monitors that a member is limited to.
#[derive(Debug, Clone, Default)]
pub enum LimitChange {
    #[default]
    Stays,
    /// None: no limit any more.
    Becomes(Option<Vec<MonitorId>>),
}

impl Access {
    pub async fn members(&self, query: &PageQuery) -> Result<Page<Entry<Member>>> {
        self.whole(Scope::MembersRead)?.entries(query).await
    }

    pub async fn member(&self, id: &str) -> Result<Entry<Member>> {
        self.whole(Scope::MembersRead)?.entry(id).await
    }

    pub async fn change_member(
        &self,
        id: &str,
        wanted: MemberChange,
        expected: Expected,
    ) -> Result<Entry<Member>> {
        let permit = self.whole(Scope::MembersWrite)?;
        let before = permit.entry::<Member>(id).await?;
        let mut member = before.value.clone();
        member.role = wanted.role.unwrap_or(member.role);
        if let LimitChange::Becomes(only) = wanted.only {
            member.only = only;
        }
        self.outranks(before.value.role)?;
        self.gives(member.role, member.only.as_deref())?;
        let expected = match expected {
            Expected::Anything => Expected::Version(before.meta.version),
            other => other,
        };
        let mut change = permit.change();
        change.puts.push(put(id, &member).expecting(expected));
        if before.value.is_full_owner() && !member.is_full_owner() {
            keep_an_owner(permit, id, &mut change).await?;
        }
        permit.commit(change).await?;
        permit.entry(id).await
    }

    pub async fn remove_member(&self, id: &str) -> Result<()> {
        let permit = self.whole(Scope::MembersWrite)?;
        let before = permit.entry::<Member>(id).await?;
        self.outranks(before.value.role)?;
        let mut change = permit.change();
        change.removes.push(Remove {
            kind: ResourceKind::Member,
            id: id.to_owned(),
            expected: Expected::Version(before.meta.version),
        });
        if before.value.is_full_owner() {
            keep_an_owner(permit, id, &mut change).await?;
        }
        permit.commit(change).await
    }

    pub async fn invitations(&self, query: &PageQuery) -> Result<Page<Entry<Invitation>>> {
        self.whole(Scope::MembersRead)?.entries(query).await
    }

    pub async fn invitation(&self, id: &str) -> Result<Entry<Invitation>> {
        self.whole(Scope::MembersRead)?.entry(id).await
    }

    /// The token makes the link, which is told here and never again.
    /// Whether an invitation would be made. Nothing is written.
    pub fn check_invitation(
        &self,
        email: &str,
        role: Role,
        only: Option<&[MonitorId]>,
    ) -> Result<()> {
        self.whole(Scope::MembersWrite)?;
        let email = names::email("email", email);
        email.map_err(|problem| ServiceError::Invalid(vec![problem]))?;
        self.gives(role, only)
    }

    pub async fn invite(
        &self,
        email: &str,
        role: Role,
        only: Option<Vec<MonitorId>>,
    ) -> Result<(Entry<Invitation>, Token)> {
        let permit = self.whole(Scope::MembersWrite)?;
        let email = names::email("email", email);
        let email = email.map_err(|problem| ServiceError::Invalid(vec![problem]))?;
        self.gives(role, only.as_deref())?;
        let invitation = Invitation {
            email,
            role,
            only,
            expires_at: self.service.now() + INVITED_FOR,
            invited_by: self.actor().name,
        };
        let id = Uuid::new_v4().to_string();
        let token = Token::generate(TokenKind::Invitation);
        let mut put = put(&id, &invitation).expecting(Expected::Nothing);
        put.credential = Some(token.credential(Some(invitation.expires_at)));
        let mut change = permit.change();
        change.puts.push(put);
        permit.commit(change).await?;
        Ok((permit.entry(&id).await?, token))
    }

    pub async fn remove_invitation(&self, id: &str) -> Result<()> {
        let permit = self.whole(Scope::MembersWrite)?;
        let found = permit.entry::<Invitation>(id).await?;
        let expected = Expected::Version(found.meta.version);
        permit.remove::<Invitation>(id, expected).await
    }

    fn outranks(&self, role: Role) -> Result<()> {
        if role <= self.grant().rank {
            return Ok(());
        }
        Err(ServiceError::Refused(format!(
            "only an {role} changes an {role}"
        )))
    }

    fn gives(&self, role: Role, only: Option<&[MonitorId]>) -> Result<()> {
        if role == Role::Owner && only.is_some() {
            let message = "an owner has the whole workspace: choose another role, or no limit";
            return Err(ServiceError::invalid("only", message));
        }
        if only.is_some_and(<[_]>::is_empty) {
            let message = "name at least one monitor, or leave it out for all of them";
            return Err(ServiceError::invalid("only", message));
        }
        if role > self.grant().rank {
            let message = format!("only an {role} makes another {role}");
            return Err(ServiceError::Refused(message));
        }
        Ok(())
    }
}

impl Member {
    fn is_full_owner(&self) -> bool {
        self.role == Role::Owner && self.only.is_none()
    }
}

/// Makes the change depend on another owner who is there and stays as they are: of two who go at once, one is refused.
async fn keep_an_owner(permit: Permit<'_>, but: &str, change: &mut Change) -> Result<()> {
    let query = PageQuery {
        after: None,
        limit: OWNERS_LOOKED_AT,
    };
    let members = permit.entries::<Member>(&query).await?.items;
    let mut others = members.into_iter().filter(|member| member.id != but);
    let other = others.find(|member| member.value.is_full_owner());
    let other = other.ok_or_else(|| {
        ServiceError::Refused(
            "a workspace keeps at least one owner: make another one first".to_owned(),
        )
    })?;
    let same = put(&other.id, &other.value).expecting(Expected::Version(other.meta.version));
    change.puts.push(same);
    Ok(())
}
