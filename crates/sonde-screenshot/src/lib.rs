//! Pictures of pages that are down: which incident wants one, a browser that takes it within limits, and the guard that it
//! goes through. It decides nothing about incidents.

mod browser;
mod proxy;
mod run;

pub use browser::{Browser, ShotError};
pub use run::Screenshotter;
