//! The last day of every monitor, read at most once a minute however many look at the page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{MonitorId, WorkspaceId};
use sonde_results::Bucket;
use sonde_service::Access;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::sparkline::{DAY, STEP};

/// A bar stands for half an hour: a minute's delay does not show.
const KEPT: Duration = Duration::from_mins(1);
/// A young history changes visibly with every check.
const KEPT_WHILE_YOUNG: Duration = Duration::from_secs(4);
/// Checks of the day up to which a history is young, and quick to read.
const YOUNG: u64 = 10_000;

pub(crate) type Buckets = HashMap<MonitorId, Vec<Bucket>>;

/// The histories as they were read last; whoever finds theirs too old reads it, and the others wait for that.
#[derive(Default)]
pub(crate) struct History(Mutex<HashMap<Key, (Instant, Arc<Buckets>)>>);

/// Whose history: of a workspace, and of which of its monitors.
type Key = (WorkspaceId, Option<BTreeSet<MonitorId>>);

impl History {
    pub(crate) async fn get(&self, access: &Access) -> sonde_service::Result<Arc<Buckets>> {
        let key = (access.workspace().clone(), access.grant().only.clone());
        let mut kept = self.0.lock().await;
        kept.retain(|_, (read_at, buckets)| read_at.elapsed() < keep_for(buckets));
        if let Some((_, buckets)) = kept.get(&key) {
            return Ok(Arc::clone(buckets));
        }
        let buckets = Arc::new(access.history(DAY, STEP).await?);
        kept.insert(key, (Instant::now(), Arc::clone(&buckets)));
        Ok(buckets)
    }
}

fn keep_for(buckets: &Buckets) -> Duration {
    let checks = |bucket: &Bucket| bucket.ok + bucket.degraded + bucket.failed + bucket.missed;
    let total: u64 = buckets.values().flatten().map(checks).sum();
    if total < YOUNG {
        KEPT_WHILE_YOUNG
    } else {
        KEPT
    }
}
