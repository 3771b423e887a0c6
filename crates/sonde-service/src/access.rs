//! Who asks, for which workspace, and what they may. Everything that belongs to a workspace is reached through an
//! [`Access`], and the stores through a [`Permit`] that names the scope: nothing can be read or changed without saying
//! which right that takes.

use std::collections::BTreeSet;

use serde::Serialize;
use sonde_core::{MonitorId, Role, Scope, WorkspaceId};
use sonde_results::Results;
use sonde_store::{Actor, ActorKind, Change, ConfigStore, User};

use crate::{Result, Service, ServiceError};

/// One caller in one workspace.
#[derive(Clone)]
pub struct Access {
    pub(crate) service: Service,
    workspace: WorkspaceId,
    principal: Principal,
    grant: Grant,
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Whoever is on this machine, where nobody has to sign in.
    Local,
    User(User),
    ApiKey {
        id: String,
        name: String,
    },
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    pub scopes: BTreeSet<Scope>,
    /// Only these monitors, and nothing that belongs to the whole workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<MonitorId>>,
    /// The highest role that the caller may give to others or take from them.
    #[serde(skip)]
    pub rank: Role,
}

impl Grant {
    pub(crate) fn of_role(role: Role, only: Option<&[MonitorId]>) -> Self {
        let scopes = Scope::ALL.into_iter().filter(|scope| role.allows(*scope));
        Self {
            scopes: scopes.collect(),
            only: only.map(|only| only.iter().cloned().collect()),
            rank: role,
        }
    }

    /// Owners are made by owners, who are people.
    pub(crate) fn of_key(scopes: &[Scope], only: Option<&[MonitorId]>) -> Self {
        Self {
            scopes: scopes.iter().copied().collect(),
            only: only.map(|only| only.iter().cloned().collect()),
            rank: Role::Admin,
        }
    }

    /// Whether somebody with this grant may give `other` away.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let narrower = match (&self.only, &other.only) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.is_subset(own),
        };
        narrower && other.scopes.is_subset(&self.scopes)
    }
}

impl Access {
    pub(crate) fn new(
        service: Service,
        workspace: WorkspaceId,
        principal: Principal,
        grant: Grant,
    ) -> Self {
        Self {
            service,
            workspace,
            principal,
            grant,
        }
    }

    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// For what belongs to the workspace as a whole.
    pub(crate) fn whole(&self, scope: Scope) -> Result<Permit<'_>> {
        let permit = self.visible(scope)?;
        match &self.grant.only {
            None => Ok(permit),
            Some(_) => Err(ServiceError::Limited),
        }
    }

    /// For one monitor.
    pub(crate) fn on(&self, scope: Scope, monitor: &MonitorId) -> Result<Permit<'_>> {
        let permit = self.visible(scope)?;
        if permit.sees(monitor) {
            Ok(permit)
        } else {
            Err(ServiceError::Limited)
        }
    }

    /// For what of several monitors the caller may see: see [`Permit::sees`].
    pub(crate) fn visible(&self, scope: Scope) -> Result<Permit<'_>> {
        if self.grant.scopes.contains(&scope) {
            Ok(Permit { access: self })
        } else {
            Err(ServiceError::Forbidden(scope))
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        let (kind, id, name) = match &self.principal {
            Principal::Local => (ActorKind::Operator, "local", "this machine"),
            Principal::User(user) => (ActorKind::User, user.id.as_str(), user.email.as_str()),
            Principal::ApiKey { id, name } => (ActorKind::ApiKey, id.as_str(), name.as_str()),
        };
        Actor {
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A right that was looked at.
#[derive(Clone, Copy)]
pub(crate) struct Permit<'a> {
    access: &'a Access,
}

impl<'a> Permit<'a> {
    pub(crate) fn workspace(self) -> &'a WorkspaceId {
        &self.access.workspace
    }

    pub(crate) fn store(self) -> &'a dyn ConfigStore {
        &*self.access.service.parts.store
    }

    pub(crate) fn results(self) -> &'a dyn Results {
        &*self.access.service.parts.results
    }

    /// Whether a monitor is among those that the caller is limited to.
    pub(crate) fn sees(self, monitor: &MonitorId) -> bool {
        let only = self.access.grant.only.as_ref();
        only.is_none_or(|only| only.contains(monitor))
    }

    /// What the caller is limited to, if to anything.
    pub(crate) fn only(self) -> Option<&'a BTreeSet<MonitorId>> {
        self.access.grant.only.as_ref()
    }

    /// An empty change in the caller's name.
    pub(crate) fn change(self) -> Change {
        Change::new(self.access.workspace.clone(), Some(self.access.actor()))
    }

    /// Makes a change, and tells everybody who keeps a copy.
    pub(crate) async fn commit(self, change: Change) -> Result<()> {
        self.store().change(change).await?;
        self.access.service.tell_of_change().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MonitorId {
        text.parse().unwrap()
    }

    #[test]
    fn nobody_gives_away_more_than_they_have() {
        let admin = Grant::of_role(Role::Admin, None);
        let editor = Grant::of_role(Role::Editor, None);
        let limited = Grant::of_role(Role::Editor, Some(&[id("shop")]));
        assert!(admin.covers(&editor) && admin.covers(&limited) && admin.covers(&admin));
        assert!(!editor.covers(&admin) && !limited.covers(&editor));
        assert!(!limited.covers(&Grant::of_key(
            &[Scope::MonitorsRead],
            Some(&[id("shop"), id("other")])
        )));
        assert!(limited.covers(&Grant::of_key(&[Scope::MonitorsRead], Some(&[id("shop")]))));
    }
}
