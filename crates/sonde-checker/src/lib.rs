//! The checker: takes tasks from its region's queues, probes, publishes results, and only then acknowledges.
//!
//! It reads no database and keeps nothing: it can be killed and started anywhere.

mod batch;
mod consume;
mod metrics;

pub use consume::{Checker, CheckerError};
pub use metrics::CheckerMetrics;
