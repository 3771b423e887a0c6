//! The queues of the regions that the configuration names, as it comes to name them: declared where this process may, and
//! else looked at. What fails is tried again; dispatch waits for the first try at most, and not for long.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::Region;
use sonde_queue::QueueError;
use sonde_store::Changes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::topology::Queues;
use crate::roles::{Roles, Stage};

/// Between two tries of what failed: often only a person can repair it.
const RETRY: Duration = Duration::from_secs(5);
/// That a region's queues cannot be seen to is news so often.
const NEWS: Duration = Duration::from_mins(1);
/// How long monitors of a new region wait for its queues: what is dispatched without them is missed. 30 regions take 45 s
/// where the broker is 60 ms away.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Never loses one: what a region that nobody names any more has in its queues is still to be executed.
type Names = BTreeSet<Region>;

/// Whoever reads the configuration tells it here.
pub(super) struct Regions {
    named: watch::Sender<Names>,
    /// How many of them have been tried.
    tried: watch::Receiver<usize>,
    is_awaited: bool,
}

impl Regions {
    /// Starts to look after the queues of what will be told.
    pub(super) fn start(queues: Queues, roles: &mut Roles) -> Self {
        let (named, to_do) = watch::channel(Names::new());
        let (tried, is_tried) = watch::channel(0);
        let is_awaited = queues.may_declare;
        let queues = Arc::new(queues);
        roles.spawn(Stage::Inflow, "queues of regions", |stop| async move {
            let keeping = keep(to_do, tried, |region| {
                let queues = Arc::clone(&queues);
                async move { queues.see_to(&region).await }
            });
            stop.run_until_cancelled(keeping).await;
            Ok(())
        });
        Self {
            named,
            tried: is_tried,
            is_awaited,
        }
    }

    /// To be told before the changes take effect: where queues are declared, those of new regions are, or were tried to
    /// be, when it returns.
    pub(super) async fn learn(&mut self, changes: &Changes) {
        let is_news = self.named.send_if_modified(|known| {
            let before = known.len();
            known.extend(changes.regions.iter().cloned());
            known.len() > before
        });
        if !is_news || !self.is_awaited {
            return;
        }
        let all = self.named.borrow().len();
        let tried = self.tried.wait_for(|tried| *tried >= all);
        if timeout(LONGEST_WAIT, tried).await.is_err() {
            tracing::warn!(
                "the queues of new regions take long: checks there are missed until they are declared"
            );
        }
    }
}

/// Tries every new region once, then those that failed again and again. Never ends.
async fn keep<F>(
    mut named: watch::Receiver<Names>,
    tried: watch::Sender<usize>,
    attempt: impl Fn(Region) -> F,
) where
    F: Future<Output = Result<(), QueueError>>,
{
    let mut done = Names::new();
    let mut told: HashMap<Region, Instant> = HashMap::new();
    loop {
        let regions = named.borrow_and_update().clone();
        for region in &regions {
            if done.contains(region) {
                continue;
            }
            match attempt(region.clone()).await {
                Ok(()) => drop(done.insert(region.clone())),
                Err(error) if told.get(region).is_none_or(|told| told.elapsed() >= NEWS) => {
                    told.insert(region.clone(), Instant::now());
                    tracing::error!(
                        %region,
                        error = sonde_core::chain(&error),
                        "cannot see to the queues of a region: trying again"
                    );
                }
                Err(_) => {}
            }
        }
        tried.send_replace(regions.len());
        let changed = if done.len() < regions.len() {
            let changed = timeout(RETRY, named.changed()).await;
            changed.unwrap_or(Ok(()))
        } else {
            named.changed().await
        };
        if changed.is_err() {
            // Nobody reads the configuration any more, which ends the process elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tokio::task::JoinSet;

    use super::*;

    /// Regions whose queues cannot be declared, and all that were tried.
    #[derive(Default)]
    struct Broker {
        refused: Vec<&'static str>,
        hangs: Vec<&'static str>,
        tried: Vec<String>,
    }

    struct Scene {
        broker: Arc<Mutex<Broker>>,
        regions: Regions,
        _keeper: JoinSet<()>,
    }

    impl Scene {
        fn new(is_awaited: bool) -> Self {
            let broker = Arc::new(Mutex::new(Broker::default()));
            let (named, to_do) = watch::channel(Names::new());
            let (tried, is_tried) = watch::channel(0);
            let mut keeper = JoinSet::new();
            let asked = Arc::clone(&broker);
            keeper.spawn(keep(to_do, tried, move |region| {
                let hangs = look(&asked, |broker| {
                    broker.tried.push(region.to_string());
                    broker.hangs.contains(&region.as_str())
                });
                let refused = look(&asked, |broker| broker.refused.contains(&region.as_str()));
                async move {
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    let what = format!("queue checks.1m.{region}");
                    let text = "other arguments".to_owned();
                    (!refused)
                        .then_some(())
                        .ok_or(QueueError::Conflict { what, text })
                }
            }));
            let regions = Regions {
                named,
                tried: is_tried,
                is_awaited,
            };
            Self {
                broker,
                regions,
                _keeper: keeper,
            }
        }

        async fn learn(&mut self, regions: &[&str]) {
            let changes = Changes {
                regions: regions.iter().map(|it| Region::new(it).unwrap()).collect(),
                ..Changes::default()
            };
            self.regions.learn(&changes).await;
        }

        fn tried(&self) -> Vec<String> {
            look(&self.broker, |broker| std::mem::take(&mut broker.tried))
        }
    }

    fn look<T>(broker: &Mutex<Broker>, look: impl FnOnce(&mut Broker) -> T) -> T {
        look(&mut broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_new_is_declared_and_before_anybody_dispatches() {
        let mut scene = Scene::new(true);
        scene.learn(&["fra", "iad"]).await;
        assert_eq!(scene.tried(), ["fra", "iad"]);
        scene.learn(&["fra"]).await;
        scene.learn(&["fra", "syd"]).await;
        assert_eq!(scene.tried(), ["syd"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_holds_up_nobody_and_is_tried_again() {
        let mut scene = Scene::new(true);
        look(&scene.broker, |broker| broker.refused.push("fra"));
        let begin = Instant::now();
        scene.learn(&["fra", "iad"]).await;
        assert_eq!((scene.tried().len(), begin.elapsed()), (2, Duration::ZERO));
        tokio::time::sleep(RETRY * 5 / 2).await;
        assert_eq!(scene.tried(), ["fra", "fra"]);
        look(&scene.broker, |broker| broker.refused.clear());
        tokio::time::sleep(RETRY * 3).await;
        assert_eq!(scene.tried(), ["fra"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_hangs_is_not_waited_for_long_or_not_at_all() {
        for (is_awaited, waited) in [(true, LONGEST_WAIT), (false, Duration::ZERO)] {
            let mut scene = Scene::new(is_awaited);
            look(&scene.broker, |broker| broker.hangs.push("fra"));
            let begin = Instant::now();
            scene.learn(&["fra"]).await;
            assert_eq!(begin.elapsed(), waited);
        }
    }
}
