//! What can go wrong, by what the caller can do about it.

use std::time::Duration;

use serde::Serialize;
use sonde_core::{MonitorId, Region, Scope};
use sonde_queue::QueueError;
use sonde_results::ResultsError;
use sonde_store::{PictureError, StoreError};

/// One thing that is wrong with what was sent, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// As in `monitors.shop.expect[2]`; empty for the whole.
    pub path: String,
    pub message: String,
}

impl FieldProblem {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    #[error("{what} `{id}` not found")]
    NotFound { what: &'static str, id: String },
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("this takes the scope `{0}`")]
    Forbidden(Scope),
    #[error("this is limited to other monitors")]
    Limited,
    /// Refused whatever the scopes.
    #[error("{0}")]
    Refused(String),
    #[error("{}", one_or_all(.0))]
    Invalid(Vec<FieldProblem>),
    #[error("{what} `{id}` is there already")]
    Exists { what: &'static str, id: String },
    /// What is there is not what the caller expected to change.
    #[error("it was changed meanwhile: get it again, then decide")]
    Changed,
    /// A plan that was shown is not the one that would be applied.
    #[error("the workspace or the file changed since the plan was made: plan again")]
    PlanChanged,
    #[error("`{id}` is kept in the file {file}: change it there")]
    ManagedByFile { id: String, file: String },
    #[error("too many attempts: try again in {} s", .retry_after.as_secs().max(1))]
    TooMany { retry_after: Duration },
    #[error("no checker takes checks in {}", names(.0))]
    NoSuchRegion(Vec<Region>),
    #[error("cannot reach the configuration")]
    Store(#[source] StoreError),
    #[error("cannot read pictures")]
    Pictures(#[from] PictureError),
    #[error("cannot read results")]
    Results(#[from] ResultsError),
    #[error("cannot ask for a check")]
    Queue(#[from] QueueError),
    #[error("cannot pass on what was told: try again")]
    Unheard(#[source] QueueError),
    /// Of an identity provider.
    #[error("{message}")]
    Provider {
        message: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

impl ServiceError {
    pub(crate) fn monitor_not_found(id: &MonitorId) -> Self {
        Self::NotFound {
            what: "monitor",
            id: id.to_string(),
        }
    }

    pub(crate) fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem::new(path, message)])
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Changed,
            other => Self::Store(other),
        }
    }
}

/// What was found, or nothing where something is wrong with it, which is put to the other problems.
pub(crate) fn noted<T>(found: Result<T>, problems: &mut Vec<FieldProblem>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ServiceError::Invalid(more)) => {
            problems.extend(more);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Refuses what something is wrong with.
pub(crate) fn refuse_any(problems: Vec<FieldProblem>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ServiceError::Invalid(problems))
}

/// Of an id that is taken.
pub(crate) fn taken(what: &'static str, id: &str) -> FieldProblem {
    let id = id.to_owned();
    FieldProblem::new("id", ServiceError::Exists { what, id }.to_string())
}

fn one_or_all(problems: &[FieldProblem]) -> String {
    match problems {
        [one] if one.path.is_empty() => one.message.clone(),
        [one] => format!("{}: {}", one.path, one.message),
        all => format!("{} things are wrong with it", all.len()),
    }
}

fn names(regions: &[Region]) -> String {
    let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
    names.join(", ")
}
