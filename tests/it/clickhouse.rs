//! The suite of the results stores against the real engine, and what is special to this backend.

use std::ops::Deref;
use std::time::Duration;

use sonde_results::clickhouse::{ClickhouseResults, Options};
use sonde_tests::services::{self, Clickhouse};

/// A store in a database of its own.
pub(crate) struct Fresh {
    pub(crate) results: ClickhouseResults,
    pub(crate) database: Clickhouse,
}

impl Deref for Fresh {
    type Target = ClickhouseResults;
    fn deref(&self) -> &ClickhouseResults {
        &self.results
    }
}

/// Samples are a year old: they must not be taken for expired.
pub(crate) fn options(url: &str) -> Options {
    let mut options = Options::from_url(url).unwrap();
    options.retention = Duration::from_hours(10 * 365 * 24);
    options.rollup_retention = options.retention;
    options
}

pub(crate) async fn fresh(name: &str) -> Option<Fresh> {
    let database = services::clickhouse(name).await?;
    let results = ClickhouseResults::new(options(&database.url)).unwrap();
    results.migrate().await.unwrap();
    Some(Fresh { results, database })
}

sonde_results::results_conformance!(clickhouse, crate::clickhouse::fresh("results"));
