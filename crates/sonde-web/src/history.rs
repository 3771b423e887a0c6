//! The last day of every monitor, read at most once a minute however many look at the page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{MonitorId, WorkspaceId};
use sonde_results::{Bucket, Summary};
use sonde_service::Access;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::chart::strip::{DAY, STEP};

/// A bar stands for half an hour: a minute's delay does not show.
const KEPT: Duration = Duration::from_mins(1);
/// A young history changes visibly with every check.
const KEPT_WHILE_YOUNG: Duration = Duration::from_secs(4);
/// Checks of the day up to which a history is young, and quick to read.
const YOUNG: u64 = 10_000;

pub(crate) type Buckets = HashMap<MonitorId, Vec<Bucket>>;
pub(crate) type Summaries = HashMap<MonitorId, Summary>;

/// The histories as they were read last; whoever finds theirs too old reads it, and the others wait for that.
#[derive(Default)]
pub(crate) struct History(Mutex<HashMap<Key, Kept>>);

/// Whose history: of a workspace, and of which of its monitors.
type Key = (WorkspaceId, Option<BTreeSet<MonitorId>>);

struct Kept {
    read_at: Instant,
    buckets: Arc<Buckets>,
    summaries: Arc<Summaries>,
}

impl History {
    pub(crate) async fn get(
        &self,
        access: &Access,
    ) -> sonde_service::Result<(Arc<Buckets>, Arc<Summaries>)> {
        let key = (access.workspace().clone(), access.grant().only.clone());
        let mut all = self.0.lock().await;
        all.retain(|_, kept| kept.read_at.elapsed() < keep_for(&kept.buckets));
        if let Some(kept) = all.get(&key) {
            return Ok((Arc::clone(&kept.buckets), Arc::clone(&kept.summaries)));
        }
        let (buckets, summaries) = tokio::try_join!(
            access.history(DAY, STEP),
            access.summaries(access.last(DAY))
        )?;
        let kept = Kept {
            read_at: Instant::now(),
            buckets: Arc::new(buckets),
            summaries: Arc::new(summaries),
        };
        let read = (Arc::clone(&kept.buckets), Arc::clone(&kept.summaries));
        all.insert(key, kept);
        Ok(read)
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
