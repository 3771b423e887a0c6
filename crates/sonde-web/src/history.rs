//! The last day of every monitor, read once a minute however many look at the page.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{MonitorId, WorkspaceId};
use sonde_results::{Bucket, Summary};
use sonde_service::Access;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chart::strip::{DAY, STEP};

/// A bar stands for half an hour: a minute's delay does not show.
const KEPT: Duration = Duration::from_mins(1);
/// A young history changes visibly with every check.
const KEPT_WHILE_YOUNG: Duration = Duration::from_secs(4);
/// Checks of the day up to which a history is young, and quick to read.
const YOUNG: u64 = 10_000;
/// For so much longer it is shown while it is read anew, so that who looks all the time never waits.
const SHOWN_WHILE_READ: Duration = Duration::from_mins(1);

pub(crate) type Buckets = HashMap<MonitorId, Vec<Bucket>>;
pub(crate) type Summaries = HashMap<MonitorId, Summary>;

/// The histories as they were read last; whoever finds theirs far too old reads it, and the others wait for that.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    kept: HashMap<Key, Kept>,
    /// Readings that nobody waits for; each ends by itself, and what fails is read by who asks later.
    readings: JoinSet<()>,
}

/// Whose history: of a workspace, and of which of its monitors.
type Key = (WorkspaceId, Option<BTreeSet<MonitorId>>);

struct Kept {
    read_at: Instant,
    is_read_anew: bool,
    buckets: Arc<Buckets>,
    summaries: Arc<Summaries>,
}

impl History {
    pub(crate) async fn get(
        &self,
        access: &Access,
    ) -> sonde_service::Result<(Arc<Buckets>, Arc<Summaries>)> {
        let key = (access.workspace().clone(), access.grant().only.clone());
        let mut state = self.0.lock().await;
        let State { kept, readings } = &mut *state;
        while readings.try_join_next().is_some() {}
        kept.retain(|_, it| it.read_at.elapsed() < it.shown_for());
        if let Some(it) = kept.get_mut(&key) {
            if it.read_at.elapsed() >= KEPT && !it.is_read_anew {
                it.is_read_anew = true;
                readings.spawn(self.clone().read_anew(key, access.clone()));
            }
            return Ok((Arc::clone(&it.buckets), Arc::clone(&it.summaries)));
        }
        let it = kept.entry(key).insert_entry(Kept::read(access).await?);
        Ok((
            Arc::clone(&it.get().buckets),
            Arc::clone(&it.get().summaries),
        ))
    }

    async fn read_anew(self, key: Key, access: Access) {
        match Kept::read(&access).await {
            Ok(read) => {
                self.0.lock().await.kept.insert(key, read);
            }
            Err(error) => {
                let error = sonde_core::chain(&error);
                tracing::warn!(error, "cannot read the last day: the one before is shown");
            }
        }
    }
}

impl Kept {
    async fn read(access: &Access) -> sonde_service::Result<Self> {
        let (buckets, summaries) = tokio::try_join!(
            access.history(DAY, STEP),
            access.summaries(access.last(DAY))
        )?;
        Ok(Self {
            read_at: Instant::now(),
            is_read_anew: false,
            buckets: Arc::new(buckets),
            summaries: Arc::new(summaries),
        })
    }

    fn shown_for(&self) -> Duration {
        let checks = |bucket: &Bucket| bucket.ok + bucket.degraded + bucket.failed + bucket.missed;
        let total: u64 = self.buckets.values().flatten().map(checks).sum();
        if total < YOUNG {
            KEPT_WHILE_YOUNG
        } else {
            KEPT + SHOWN_WHILE_READ
        }
    }
}
