//! From results to transitions of incidents: pure, and the same for every order in which results come in time.

mod beat;
mod expiry;
mod monitor;
mod region;

pub use expiry::{Expiring, Expiry, Shown};
pub(crate) use monitor::patience;
pub use monitor::{KeptState, MonitorState, OpenIncident, Quiet, RegionView, Transition};
pub use region::Verdict;
