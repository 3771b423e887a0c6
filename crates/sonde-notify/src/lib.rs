//! What is said of an incident or of a period, and how each channel wants to hear it: a notice in, a request, a mail or a command out.
//!
//! Pure: nothing is sent here, no clock is read. Whoever sends a message keeps its notice until it was accepted, and makes
//! the message anew for each attempt.

mod channel;
pub mod channels;
mod config;
mod hours;
mod message;
mod notice;
mod report;
mod secret;
mod text;
mod validation;
mod words;

pub use channel::Channel;
pub use config::ChannelConfig;
pub use hours::{Hours, Outside, Turn};
pub use message::{Accepted, Command, HttpRequest, Mail, Message, Method};
pub use notice::{IncidentNotice, Line, Notice, NoticeEvent, RegionNotice, Severity};
pub use report::{Figures, MonitorFigures, PeriodReport, ReportEvent, ReportNotice};
pub use secret::{Secret, SecretUrl};
pub use validation::ChannelProblem;

#[cfg(test)]
mod tests;
