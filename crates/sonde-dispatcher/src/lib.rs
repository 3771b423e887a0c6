//! The dispatcher: turns monitors and time into tasks, one per monitor, region and slot, and accounts for each.
//!
//! `plan` decides, without IO. On one machine `run` is the thin loop around it, and `journal` is what survives a restart;
//! in a fleet `fleet` is the loop of whoever leads, and the broker remembers.

mod fleet;
mod journal;
mod metrics;
mod plan;
mod run;
mod wheel;

pub use fleet::FleetDispatcher;
pub use journal::{FileJournal, Journal, JournalError};
pub use metrics::{DispatcherMetrics, FleetMetrics};
pub use plan::{Due, Plan, Schedule};
pub use run::{Dispatcher, DispatcherError};
