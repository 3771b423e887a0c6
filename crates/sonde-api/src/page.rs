//! Listings in parts.

use serde::Deserialize;
use sonde_service::PageQuery;
use utoipa::IntoParams;

use crate::problem::ApiError;

pub(crate) const DEFAULT_LIMIT: u32 = 100;
pub(crate) const MAX_LIMIT: u32 = 1000;

/// Which part of a listing.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    cursor: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

impl PageParameters {
    pub(crate) fn query(self) -> Result<PageQuery, ApiError> {
        Ok(PageQuery {
            limit: limit(self.limit)?,
            after: self.cursor,
        })
    }
}

pub(crate) fn limit(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::Parameter {
        field: "limit".to_owned(),
        message: format!("must be 1 to {MAX_LIMIT}, got {limit}"),
    })
}
