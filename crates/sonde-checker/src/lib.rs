//! The checker: takes tasks from its region's queues, probes, publishes results, and only then acknowledges.
//!
//! It reads no database and keeps nothing: it can be killed and started anywhere.

mod batch;
mod clock;
mod consume;
mod doubt;
mod metrics;
mod run;
mod shared;
mod tasks;
#[cfg(test)]
mod tests;
mod vitals;
mod watch;
mod worker;

pub use metrics::CheckerMetrics;
pub use run::{Checker, CheckerError, CheckerOptions, CheckerParts};
pub use tasks::{TaskError, TaskHandle};
