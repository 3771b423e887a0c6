//! Resources as typed values: what a workspace has beside monitors.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sonde_store::{Expected, Meta, Put, Remove, Resource, ResourceKind, StoreError, Stored};

use crate::access::Permit;
use crate::{Result, ServiceError};

/// A kind of resource: how its body is written down.
pub(crate) trait Body: Serialize + DeserializeOwned {
    const KIND: ResourceKind;
    /// As people call it.
    const WHAT: &'static str;
}

/// A resource with what the store knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<T> {
    pub id: String,
    pub value: T,
    pub meta: Meta,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next one begins; absent at the end.
    pub next: Option<String>,
}

/// Where a listing begins, and how much of it is asked for.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    pub after: Option<String>,
    pub limit: u32,
}

impl<T> Page<T> {
    /// Of `limit` + 1 items that were asked for.
    pub(crate) fn of(mut items: Vec<T>, limit: u32, place: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Self { items, next }
    }
}

impl Permit<'_> {
    pub(crate) async fn entries<T: Body>(self, query: &PageQuery) -> Result<Page<Entry<T>>> {
        let after = query.after.as_deref().unwrap_or_default();
        let limit = query.limit.saturating_add(1);
        let found = self
            .store()
            .resources(self.workspace(), T::KIND, after, limit)
            .await?;
        let found = found.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Page::of(found, query.limit, |entry: &Entry<T>| {
            entry.id.clone()
        }))
    }

    pub(crate) async fn entry<T: Body>(self, id: &str) -> Result<Entry<T>> {
        let found = self.store().resource(self.workspace(), T::KIND, id).await?;
        found
            .map(entry)
            .transpose()?
            .ok_or_else(|| not_found::<T>(id))
    }

    /// `why` is told when there are as many as a workspace may have.
    pub(crate) async fn refuse_more_than<T: Body>(self, most: u32, why: &str) -> Result<()> {
        let there = self.store().resources(self.workspace(), T::KIND, "", most);
        if there.await?.len() < usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(());
        }
        Err(ServiceError::Refused(why.to_owned()))
    }

    pub(crate) async fn remove<T: Body>(self, id: &str, expected: Expected) -> Result<()> {
        let mut change = self.change();
        change.removes.push(Remove {
            kind: T::KIND,
            id: id.to_owned(),
            expected,
        });
        self.commit(change).await
    }
}

pub(crate) fn not_found<T: Body>(id: &str) -> ServiceError {
    ServiceError::NotFound {
        what: T::WHAT,
        id: id.to_owned(),
    }
}

/// What is kept in a file is changed there.
pub(crate) fn refuse_managed(id: &str, meta: &Meta) -> Result<()> {
    match &meta.managed_by {
        None => Ok(()),
        Some(file) => Err(ServiceError::ManagedByFile {
            id: id.to_owned(),
            file: file.clone(),
        }),
    }
}

pub(crate) fn put<T: Body>(id: &str, value: &T) -> Put {
    Put::other(T::KIND, id, encode(value))
}

pub(crate) fn encode<T: Body>(value: &T) -> String {
    serde_json::to_string(value).expect("bodies have only string keys")
}

pub(crate) fn decode<T: Body>(id: &str, body: &str) -> Result<T> {
    serde_json::from_str(body).map_err(|source| {
        ServiceError::Store(StoreError::Corrupt {
            what: T::WHAT,
            id: id.to_owned(),
            source: source.into(),
        })
    })
}

fn entry<T: Body>(stored: Stored<Resource>) -> Result<Entry<T>> {
    let Resource { id, body } = stored.value;
    Ok(Entry {
        value: decode(&id, &body)?,
        id,
        meta: stored.meta,
    })
}
