//! One task: read, executed, doubted.

use std::sync::Arc;

use sonde_core::{Check, CheckResult};
use sonde_probe::Prober;
use sonde_queue::{MessageError, SealingKeys, TaskMessage};
use tokio::time::Instant;

use crate::shared::{Busy, Shared};

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) prober: Prober,
    pub(crate) keys: SealingKeys,
}

impl Worker {
    pub(crate) fn read(&self, payload: &[u8]) -> Result<Check, MessageError> {
        TaskMessage::decode(payload, &self.keys).inspect_err(|_| {
            self.shared.metrics.vitals.unreadable.inc();
        })
    }

    /// Never fails: whatever happens is in the result. A task that comes too late is missed there.
    pub(crate) async fn execute(&self, check: &Check) -> CheckResult {
        let _busy: Busy<'_> = self.shared.begin();
        let start = Instant::now();
        let mut result = self.prober.run(check, &*self.shared.clock).await;
        self.shared.finish(&mut result, start);
        result
    }
}
