//! The last day of every monitor, read once a minute however many look at the page.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
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

/// The last day, as it was read at one time.
#[derive(Debug, Default)]
pub(crate) struct Day {
    pub(crate) buckets: HashMap<MonitorId, Vec<Bucket>>,
    pub(crate) summaries: HashMap<MonitorId, Summary>,
}

/// The days as they were read last; whoever finds theirs far too old reads it, and others of the same wait for that.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<std::sync::Mutex<HashMap<Key, Place>>>);

/// Whose day: of a workspace, and of which of its monitors.
type Key = (WorkspaceId, Option<BTreeSet<MonitorId>>);

type Place = Arc<Mutex<State>>;

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// What nobody waits for; what fails is read by who asks next.
    reading: JoinSet<()>,
}

struct Kept {
    read_at: Instant,
    shown_for: Duration,
    day: Arc<Day>,
}

impl History {
    pub(crate) async fn get(&self, access: &Access) -> sonde_service::Result<Arc<Day>> {
        let key = (access.workspace().clone(), access.grant().only.clone());
        keep(&self.place(key), Day::read(access.clone())).await
    }

    /// Where the day of `key` is kept, without what nobody looks at any more.
    fn place(&self, key: Key) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| {
            let is_shown = |state: &State| state.kept.as_ref().is_some_and(Kept::is_shown);
            Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|it| is_shown(&it))
        });
        Arc::clone(places.entry(key).or_default())
    }
}

/// `reading` is begun only where no day is kept or it is too old.
async fn keep(
    place: &Place,
    reading: impl Future<Output = sonde_service::Result<Day>> + Send + 'static,
) -> sonde_service::Result<Arc<Day>> {
    let mut state = place.lock().await;
    while state.reading.try_join_next().is_some() {}
    if let Some(kept) = state.kept.as_ref().filter(|it| it.is_shown()) {
        let (day, is_old) = (Arc::clone(&kept.day), kept.read_at.elapsed() >= KEPT);
        if is_old && state.reading.is_empty() {
            state.reading.spawn(read_anew(Arc::clone(place), reading));
        }
        return Ok(day);
    }
    let kept = state.kept.insert(Kept::now(reading.await?));
    Ok(Arc::clone(&kept.day))
}

async fn read_anew(place: Place, reading: impl Future<Output = sonde_service::Result<Day>>) {
    match reading.await {
        Ok(day) => place.lock().await.kept = Some(Kept::now(day)),
        Err(error) => {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot read the last day: the one before is shown");
        }
    }
}

impl Day {
    async fn read(access: Access) -> sonde_service::Result<Self> {
        let (buckets, summaries) = tokio::try_join!(
            access.history(DAY, STEP),
            access.summaries(access.last(DAY))
        )?;
        Ok(Self { buckets, summaries })
    }
}

impl Kept {
    fn now(day: Day) -> Self {
        let checks = |bucket: &Bucket| bucket.ok + bucket.degraded + bucket.failed + bucket.missed;
        let total: u64 = day.buckets.values().flatten().map(checks).sum();
        Self {
            read_at: Instant::now(),
            shown_for: if total < YOUNG {
                KEPT_WHILE_YOUNG
            } else {
                KEPT + SHOWN_WHILE_READ
            },
            day: Arc::new(day),
        }
    }

    fn is_shown(&self) -> bool {
        self.read_at.elapsed() < self.shown_for
    }
}

#[cfg(test)]
mod tests {
    use sonde_core::Timestamp;
    use sonde_service::ServiceError;
    use tokio::time::{advance, sleep};

    use super::*;

    fn day(ok: u64) -> Day {
        let monitor = MonitorId::new("shop").unwrap();
        let bucket = Bucket {
            monitor: monitor.clone(),
            start: Timestamp::UNIX_EPOCH,
            ok,
            degraded: 0,
            failed: 0,
            missed: 0,
            mean_us: None,
        };
        Day {
            buckets: HashMap::from([(monitor, vec![bucket])]),
            summaries: HashMap::new(),
        }
    }

    fn checks(day: &Day) -> u64 {
        day.buckets.values().flatten().map(|bucket| bucket.ok).sum()
    }

    async fn read(place: &Place, ok: u64) -> u64 {
        let reading = async move {
            sleep(Duration::from_secs(3)).await;
            Ok(day(ok))
        };
        checks(&keep(place, reading).await.unwrap())
    }

    async fn fail(place: &Place) -> sonde_service::Result<Arc<Day>> {
        let reading = async { Err(ServiceError::Changed) };
        keep(place, reading).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_is_shown_while_it_is_read_anew() {
        let place = Place::default();
        assert_eq!(read(&place, 10_000).await, 10_000);
        assert_eq!(read(&place, 10_001).await, 10_000, "it is kept");
        advance(KEPT).await;
        let started = Instant::now();
        assert_eq!(
            read(&place, 10_002).await,
            10_000,
            "it is read anew meanwhile"
        );
        assert_eq!(read(&place, 10_003).await, 10_000, "which happens once");
        assert_eq!(started.elapsed(), Duration::ZERO, "nobody waits");
        sleep(Duration::from_secs(4)).await;
        assert_eq!(read(&place, 10_004).await, 10_002);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_read_by_who_asks_next() {
        let place = Place::default();
        fail(&place).await.unwrap_err();
        assert_eq!(read(&place, 10_000).await, 10_000);
        advance(KEPT).await;
        assert_eq!(checks(&fail(&place).await.unwrap()), 10_000);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(read(&place, 10_001).await, 10_000);
        sleep(Duration::from_secs(4)).await;
        assert_eq!(read(&place, 10_002).await, 10_001);
        advance(KEPT + SHOWN_WHILE_READ).await;
        fail(&place).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_day_is_soon_too_old_and_forgotten() {
        let history = History::default();
        let key = |id: &str| (WorkspaceId::new(id).unwrap(), None);
        assert_eq!(read(&history.place(key("a")), 1).await, 1);
        assert_eq!(read(&history.place(key("b")), 2).await, 2);
        assert_eq!(read(&history.place(key("b")), 3).await, 2);
        assert_eq!(history.0.lock().unwrap().len(), 2);
        advance(KEPT_WHILE_YOUNG).await;
        assert_eq!(read(&history.place(key("b")), 4).await, 4);
        assert_eq!(history.0.lock().unwrap().len(), 1);
    }
}
