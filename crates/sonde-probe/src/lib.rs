//! The network: executes a check on a fresh connection, times its phases, judges what came back.
//!
//! One file per kind. Every address goes through [`Egress`]; every attempt is bounded by one deadline.

mod dial;
mod dialler;
mod dialogue;
mod dns;
mod domain;
mod egress;
mod environment;
mod exec;
mod http;
mod icmp;
mod judge;
mod observe;
mod redact;
mod resolver;
mod retry;
mod run;
mod targets;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;
mod tls_kind;

pub use dialler::{DialError, Dialler};
pub use egress::Egress;
pub use environment::{Environment, EnvironmentError, Settings};
pub use run::Prober;
pub use targets::Targets;
