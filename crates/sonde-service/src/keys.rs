//! API keys: scopes, perhaps an end, and a secret that is shown once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sonde_core::{MonitorId, Scope, Timestamp};
use sonde_store::{Expected, ResourceKind};
use uuid::Uuid;

use crate::access::{Access, Grant};
use crate::entries::{Body, Entry, Page, PageQuery, put};
use crate::token::{Token, TokenKind};
use crate::{FieldProblem, Result, ServiceError, names};

/// What is stored of an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Only these monitors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<MonitorId>>,
    pub expires_at: Option<Timestamp>,
    /// Who made it, as people know them.
    pub created_by: String,
}

impl Body for ApiKey {
    const KIND: ResourceKind = ResourceKind::ApiKey;
    const WHAT: &'static str = "API key";
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub scopes: Vec<Scope>,
    pub only: Option<Vec<MonitorId>>,
    pub expires_at: Option<Timestamp>,
}

/// A key, and when it was last used.
#[derive(Debug, Clone)]
pub struct KeyView {
    pub key: Entry<ApiKey>,
    pub last_used_at: Option<Timestamp>,
}

impl Access {
    pub async fn keys(&self, query: &PageQuery) -> Result<Page<KeyView>> {
        let permit = self.whole(Scope::KeysRead)?;
        let page = permit.entries::<ApiKey>(query).await?;
        let used = self.service.parts.accounts.keys_used(self.workspace());
        let used: HashMap<String, Timestamp> = used.await?.into_iter().collect();
        let view = |key: Entry<ApiKey>| KeyView {
            last_used_at: used.get(&key.id).copied(),
            key,
        };
        Ok(Page {
            items: page.items.into_iter().map(view).collect(),
            next: page.next,
        })
    }

    pub async fn key(&self, id: &str) -> Result<KeyView> {
        let key = self.whole(Scope::KeysRead)?.entry(id).await?;
        let used = self.service.parts.accounts.keys_used(self.workspace());
        let used = used.await?.into_iter().find(|(of, _)| of == id);
        Ok(KeyView {
            key,
            last_used_at: used.map(|(_, at)| at),
        })
    }

    /// Whether a key would be made. Nothing is written.
    pub fn check_key(&self, new: &NewKey) -> Result<()> {
        self.whole(Scope::KeysWrite)?;
        self.refuse_wrong(new)
    }

    /// The secret is told here and never again.
    pub async fn create_key(&self, new: NewKey) -> Result<(KeyView, Token)> {
        let permit = self.whole(Scope::KeysWrite)?;
        self.refuse_wrong(&new)?;
        let id = Uuid::new_v4().to_string();
        let key = ApiKey {
            name: new.name,
            scopes: new.scopes,
            only: new.only,
            expires_at: new.expires_at,
            created_by: self.actor().name,
        };
        let token = Token::generate(TokenKind::ApiKey);
        let mut change = permit.change();
        let mut put = put(&id, &key).expecting(Expected::Nothing);
        put.credential = Some(token.credential(key.expires_at));
        change.puts.push(put);
        permit.commit(change).await?;
        let key = permit.entry(&id).await?;
        let last_used_at = None;
        Ok((KeyView { key, last_used_at }, token))
    }

    /// A new secret in the place of the old one, which opens nothing any more.
    pub async fn rotate_key(&self, id: &str) -> Result<(KeyView, Token)> {
        let permit = self.whole(Scope::KeysWrite)?;
        let key = permit.entry::<ApiKey>(id).await?;
        let grant = Grant::of_key(&key.value.scopes, key.value.only.as_deref());
        if !self.grant().covers(&grant) {
            return Err(more_than_own());
        }
        let token = Token::generate(TokenKind::ApiKey);
        let mut change = permit.change();
        // Gone and there again in one change: what opened it goes with it.
        change.removes.push(sonde_store::Remove {
            kind: ResourceKind::ApiKey,
            id: id.to_owned(),
            expected: Expected::Version(key.meta.version),
        });
        let mut put = put(id, &key.value);
        put.credential = Some(token.credential(key.value.expires_at));
        change.puts.push(put);
        permit.commit(change).await?;
        Ok((self.key(id).await?, token))
    }

    pub async fn remove_key(&self, id: &str) -> Result<()> {
        let permit = self.whole(Scope::KeysWrite)?;
        let key = permit.entry::<ApiKey>(id).await?;
        let expected = Expected::Version(key.meta.version);
        permit.remove::<ApiKey>(id, expected).await
    }

    fn refuse_wrong(&self, new: &NewKey) -> Result<()> {
        let mut problems = Vec::new();
        problems.extend(names::problem("name", &new.name));
        if new.scopes.is_empty() {
            let message = "name at least one scope, or the key opens nothing";
            problems.push(FieldProblem::new("scopes", message));
        }
        if new.expires_at.is_some_and(|at| at <= self.service.now()) {
            problems.push(FieldProblem::new("expires_at", "must be in the future"));
        }
        if !problems.is_empty() {
            return Err(ServiceError::Invalid(problems));
        }
        let grant = Grant::of_key(&new.scopes, new.only.as_deref());
        if self.grant().covers(&grant) {
            Ok(())
        } else {
            Err(more_than_own())
        }
    }
}

fn more_than_own() -> ServiceError {
    ServiceError::Refused("nobody gives away more than they may do themselves".to_owned())
}
