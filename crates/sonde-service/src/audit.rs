//! Who changed what, newest first.

use sonde_core::Scope;
use sonde_store::{AuditEntry, AuditQuery};

use crate::Result;
use crate::access::Access;
use crate::entries::Page;

impl Access {
    pub async fn audit(&self, query: AuditQuery) -> Result<Page<AuditEntry>> {
        let permit = self.whole(Scope::AuditRead)?;
        let limit = query.limit;
        let query = AuditQuery {
            limit: limit.saturating_add(1),
            ..query
        };
        let found = permit.store().audit(permit.workspace(), &query).await?;
        Ok(Page::of(found, limit, |entry: &AuditEntry| {
            entry.number.to_string()
        }))
    }
}
