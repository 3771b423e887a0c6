//! The fleet: which regions there are, who checks in them, and what waits for them and for the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use sonde_core::{Balance, DispatchGap, QueueSettings, Region, Scope};
use sonde_queue::fleet::{self, CheckerStatus, Heartbeat};
use sonde_queue::{Announcement, Bus, Queue, QueueError, QueueName, Topic};
use sonde_results::TimeRange;
use tokio::time::{Instant, timeout_at};

use crate::Result;
use crate::access::Access;

/// How long checkers have to answer.
const ROLL_CALL: Duration = Duration::from_secs(1);

/// All that answered, and all that should have.
#[derive(Debug, Serialize)]
pub struct Fleet {
    pub regions: Vec<RegionView>,
    pub backlog: Backlog,
}

/// Messages that wait to be stored. Absent when a queue is not declared.
#[derive(Debug, Serialize)]
pub struct Backlog {
    /// Batches of results.
    pub results: Option<u64>,
    /// Tasks that nobody executed.
    pub dead: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct RegionView {
    pub region: Region,
    /// Sorted by id.
    pub checkers: Vec<CheckerStatus>,
    /// Absent when a queue of the region is not declared.
    pub queues: Option<Waiting>,
}

/// Of several queues.
#[derive(Debug, Default, Serialize)]
pub struct Waiting {
    pub ready: u64,
    pub consumers: u32,
}

impl Access {
    /// Asks every checker how it is.
    pub async fn fleet(&self) -> Result<Fleet> {
        let permit = self.whole(Scope::FleetRead)?;
        let expected = permit.store().regions().await?;
        let parts = &self.service.parts;
        let (queue, bus) = (&*parts.queue, &*parts.bus);
        Ok(Fleet::gather(queue, bus, &parts.queues, expected, ROLL_CALL).await?)
    }

    /// What was scheduled against what came of it, over all workspaces.
    pub async fn ledger(&self, range: TimeRange) -> Result<(Vec<Balance>, Vec<DispatchGap>)> {
        let results = self.whole(Scope::FleetRead)?.results();
        Ok((results.balances(range).await?, results.gaps(range).await?))
    }
}

impl Fleet {
    pub async fn gather(
        queue: &dyn Queue,
        bus: &dyn Bus,
        settings: &QueueSettings,
        expected: Vec<Region>,
        wait: Duration,
    ) -> Result<Self, QueueError> {
        let mut by_region: BTreeMap<Region, Vec<CheckerStatus>> = BTreeMap::new();
        for region in expected {
            by_region.entry(region).or_default();
        }
        for checker in roll_call(bus, wait).await? {
            let checkers = by_region.entry(checker.region.clone()).or_default();
            checkers.push(checker);
        }
        let mut regions = Vec::new();
        for (region, checkers) in by_region {
            regions.push(RegionView {
                queues: waiting(queue, of_region(settings, &region)).await?,
                region,
                checkers,
            });
        }
        let partitions = (0..settings.partitions).map(|partition| QueueName::Store { partition });
        let results = waiting(queue, partitions).await?;
        let dead = waiting(queue, [QueueName::Dead]).await?;
        let backlog = Backlog {
            results: results.map(|waiting| waiting.ready),
            dead: dead.map(|waiting| waiting.ready),
        };
        Ok(Self { regions, backlog })
    }
}

/// Who answers within `wait`, sorted by id.
async fn roll_call(bus: &dyn Bus, wait: Duration) -> Result<Vec<CheckerStatus>, QueueError> {
    let mut listener = bus.listen(&[Topic::Heartbeat]).await?;
    bus.announce(Announcement {
        topic: Topic::RollCall,
        payload: Vec::new(),
    })
    .await?;
    let until = Instant::now() + wait;
    let mut checkers = BTreeMap::new();
    while let Ok(heard) = timeout_at(until, listener.next()).await {
        match fleet::decode::<Heartbeat>(&heard?.payload) {
            Ok(Heartbeat { status, .. }) => drop(checkers.insert(status.id.clone(), status)),
            Err(error) => {
                tracing::warn!(
                    error = sonde_core::chain(&error),
                    "a heartbeat is unreadable"
                );
            }
        }
    }
    Ok(checkers.into_values().collect())
}

/// The regions that answer within `wait`.
pub async fn regions_heard(bus: &dyn Bus, wait: Duration) -> Result<BTreeSet<Region>, QueueError> {
    let checkers = roll_call(bus, wait).await?;
    Ok(checkers.into_iter().map(|checker| checker.region).collect())
}

fn of_region(settings: &QueueSettings, region: &Region) -> impl Iterator<Item = QueueName> {
    let classes = settings.frequencies.iter().map(|class| QueueName::Checks {
        frequency: class.name.clone(),
        region: region.clone(),
    });
    let now = QueueName::Now {
        region: region.clone(),
    };
    classes.chain([now])
}

/// Over all of these queues; none when one is not declared.
async fn waiting(
    queue: &dyn Queue,
    names: impl IntoIterator<Item = QueueName>,
) -> Result<Option<Waiting>, QueueError> {
    let mut waiting = Waiting::default();
    for name in names {
        match queue.depth(&name).await {
            Ok(depth) => {
                waiting.ready += depth.ready;
                waiting.consumers += depth.consumers;
            }
            Err(QueueError::NotDeclared(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(waiting))
}
