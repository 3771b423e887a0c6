//! From outcomes to incidents to people: `decide` is pure, the engine asks it about all monitors, the alerter writes down
//! what came of that, and the courier tells it. The reporter adds up periods.

pub mod decide;
mod deliver;
mod engine;
mod intake;
mod lateness;
mod leading;
mod mail;
mod metrics;
mod notices;
mod report;
mod routes;
mod run;
mod send;

pub use deliver::Courier;
pub use engine::{Decision, Engine, Key};
pub use mail::{Mailer, MailerError};
pub use metrics::AlerterMetrics;
pub use report::Reporter;
pub use routes::{Route, Routes};
pub use run::{Alerter, AlerterError};
pub use send::{SendError, Sender};
