//! Tests across crates, and of the repository itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows test functions, but not that their helpers may panic too"
)]

mod infra;
mod stubs;
mod tidy;
