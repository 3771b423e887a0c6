//! The dispatcher: turns monitors and time into tasks, one per monitor, region and slot, and accounts for each.
//!
//! `plan` decides, without IO; `run` is the thin loop around it; `journal` is what survives a restart.

mod journal;
mod metrics;
mod plan;
mod run;
mod wheel;

pub use journal::{FileJournal, Journal, JournalError};
pub use metrics::DispatcherMetrics;
pub use plan::{Due, Plan, Schedule};
pub use run::{Dispatcher, DispatcherError};
