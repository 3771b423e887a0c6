//! Harness of the integration tests: targets that misbehave on purpose, certificates that are wrong on purpose,
//! checks of them, and a runner for the `sonde` binary.
//!
//! Everything is on loopback and ends with the value that started it. A stub that cannot start panics: there is
//! nothing that a test could do about it.

pub mod api;
pub mod browser;
pub mod certificates;
pub mod checks;
pub mod fleet;
pub mod hook;
pub mod http;
pub mod pages;
pub mod promtool;
pub mod services;
pub mod sonde;
pub mod stub;
mod wait;

pub use wait::wait_until;
