//! Requests that can be repeated: what was answered to one is kept for a day.

use std::time::Duration;

use ring::digest::{Context, SHA256};
use sonde_store::{Claim, RequestKey};

use crate::Result;
use crate::access::{Access, Principal};
use crate::token::hex;

/// A request that was begun this long ago was never finished: its process is gone.
const ABANDONED: Duration = Duration::from_mins(2);

/// Of all parts, each with its length.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref())
}

impl Access {
    /// Whether a request is to be done, or was.
    pub async fn claim_request(&self, key: &str, fingerprint: &str) -> Result<Claim> {
        let (now, actor) = (self.service.now(), self.actor_key());
        let key = RequestKey { actor: &actor, key };
        let accounts = &self.service.parts.accounts;
        let abandoned = now - ABANDONED;
        let claim = accounts.claim_request(self.workspace(), key, fingerprint, now, abandoned);
        Ok(claim.await?)
    }

    pub async fn finish_request(&self, key: &str, status: u16, body: &str) -> Result<()> {
        let actor = self.actor_key();
        let key = RequestKey { actor: &actor, key };
        let accounts = &self.service.parts.accounts;
        accounts
            .finish_request(self.workspace(), key, status, body)
            .await?;
        Ok(())
    }

    pub async fn release_request(&self, key: &str) -> Result<()> {
        let actor = self.actor_key();
        let key = RequestKey { actor: &actor, key };
        let accounts = &self.service.parts.accounts;
        accounts.release_request(self.workspace(), key).await?;
        Ok(())
    }

    /// Keys of different callers have nothing to do with each other.
    fn actor_key(&self) -> String {
        match self.principal() {
            Principal::Local => "local".to_owned(),
            Principal::User(user) => format!("user/{}", user.id),
            Principal::ApiKey { id, .. } => format!("key/{id}"),
        }
    }
}
