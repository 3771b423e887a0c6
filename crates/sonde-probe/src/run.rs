//! One execution of a check: attempts with retries inside the deadline, then the result.

use sonde_core::{Check, CheckResult, Clock};

use crate::environment::{Environment, EnvironmentError, Settings};

/// Executes checks. Cheap to clone; safe to use from many tasks.
#[derive(Debug, Clone)]
pub struct Prober {
    environment: std::sync::Arc<Environment>,
}

impl Prober {
    pub fn new(settings: Settings) -> Result<Self, EnvironmentError> {
        todo!()
    }

    /// Runs `check` to its end, at the latest at its deadline. Never fails: whatever happens is in the result.
    pub async fn run(&self, check: &Check, clock: &dyn Clock) -> CheckResult {
        todo!()
    }
}
