//! Checks on demand: asked for through the same queues, answered by who executes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sonde_core::{Check, CheckKey, CheckResult, Kind, Monitor, MonitorId, Region, RunId, Scope};
use sonde_queue::{Listener, Outgoing, QueueError, ResultsMessage, Route, TaskMessage, Topic};
use tokio::time::{Instant, timeout_at};

use crate::access::Access;
use crate::{FieldProblem, Result, Service, ServiceError};

/// Monitors asked for at once: more would wait in the queue until their tasks expire.
const GROUP: usize = 50;
/// Beyond the checks' own deadlines: queueing and batching.
const GRACE: Duration = Duration::from_secs(5);
/// Regions of one run; there are fewer places in the world.
const MOST_REGIONS: usize = 100;

/// Checks that were asked for; dropping it stops the waiting, not the checks.
pub struct Run {
    pub id: RunId,
    service: Service,
    waiting: BTreeMap<(MonitorId, Region), CheckKey>,
    listener: Box<dyn Listener>,
    until: Instant,
    /// Heard together with one that was given out.
    heard: Vec<CheckResult>,
    gave_up: bool,
}

impl Access {
    /// Runs a monitor now, in its own regions or in these.
    pub async fn run_monitor(&self, id: &MonitorId, regions: Option<&[Region]>) -> Result<Run> {
        let permit = self.on(Scope::ChecksRun, id)?;
        let found = permit.store().monitor(permit.workspace(), id).await?;
        let mut monitor = found
            .ok_or_else(|| ServiceError::monitor_not_found(id))?
            .value;
        refuse_heartbeat(&monitor)?;
        if let Some(regions) = regions {
            monitor.regions = checked_regions(regions)?;
        }
        self.service.ask(vec![monitor]).await
    }

    /// Checks a target that is no monitor; `config` is as in `sonde.yaml`. Its rows stand under `id`.
    pub async fn check_now(
        &self,
        id: &MonitorId,
        config: Map<String, Value>,
        regions: Option<&[Region]>,
    ) -> Result<Run> {
        let permit = self.whole(Scope::ChecksRun)?;
        let mut config = config;
        if let Some(regions) = regions {
            let regions = checked_regions(regions)?;
            config.insert("regions".to_owned(), serde_json::json!(regions));
        }
        let monitor = self.read_one(permit, id, config).await?;
        refuse_heartbeat(&monitor)?;
        self.refuse_private_targets(&[&monitor], "").await?;
        self.service.ask(vec![monitor]).await
    }

    /// Checks once what a monitor is to become, from the first of its regions. The row stands under `aside`, for it says
    /// nothing of what the monitor is; masked secrets are those that are stored.
    pub async fn try_monitor(
        &self,
        id: &MonitorId,
        config: Map<String, Value>,
        aside: &MonitorId,
    ) -> Result<Run> {
        self.on(Scope::ChecksRun, id)?;
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let before = permit.store().monitor(permit.workspace(), id).await?;
        let before = before.map(|before| before.value);
        let mut monitor = self.sound(permit, id, config, before.as_ref()).await?;
        refuse_heartbeat(&monitor)?;
        monitor.id = aside.clone();
        monitor.regions.truncate(1);
        self.service.ask(vec![monitor]).await
    }

    /// Runs these monitors of the workspace once in each of their regions, in groups, and waits for what comes of it.
    /// What has not answered in time is left out.
    pub async fn run_all(&self, monitors: &[Monitor]) -> Result<Vec<CheckResult>> {
        let permit = self.visible(Scope::ChecksRun)?;
        let ours = monitors.iter().filter(|one| permit.sees(&one.id));
        let ours: Vec<Monitor> = ours.cloned().collect();
        let mut results = Vec::new();
        for group in ours.chunks(GROUP) {
            let mut run = self.service.ask(group.to_vec()).await?;
            while let Some(result) = run.next().await? {
                results.push(result);
            }
        }
        Ok(results)
    }
}

fn refuse_heartbeat(monitor: &Monitor) -> Result<()> {
    if monitor.spec.heartbeat().is_none() {
        return Ok(());
    }
    let message = "a heartbeat tells by itself: there is nothing to check";
    Err(ServiceError::invalid(Kind::Heartbeat.as_str(), message))
}

fn checked_regions(regions: &[Region]) -> Result<Vec<Region>> {
    if regions.is_empty() || regions.len() > MOST_REGIONS {
        let message = format!("name 1 to {MOST_REGIONS} regions");
        return Err(ServiceError::Invalid(vec![FieldProblem::new(
            "regions", message,
        )]));
    }
    let mut seen = BTreeSet::new();
    let distinct = regions.iter().filter(|region| seen.insert(*region));
    Ok(distinct.cloned().collect())
}

impl Service {
    async fn ask(&self, monitors: Vec<Monitor>) -> Result<Run> {
        let parts = &self.parts;
        let (run_id, now) = (RunId::random(), self.now());
        // Before asking: an answer may come before the confirmation of the question.
        let listener = parts.bus.listen(&[Topic::Run { run_id }]).await?;
        let mut checks = Vec::new();
        for monitor in monitors.into_iter().map(Arc::new) {
            for region in &monitor.regions {
                let monitor = Arc::clone(&monitor);
                let check = Check::on_demand(monitor, region.clone(), &parts.queues, run_id, now);
                checks.push(check);
            }
        }
        let messages = checks.iter().map(|check| Outgoing {
            route: Route::Now {
                region: check.region.clone(),
            },
            payload: TaskMessage::encode(check, &parts.task_keys),
        });
        match parts.queue.publish(messages.collect()).await {
            Ok(()) => {}
            Err(QueueError::Unroutable { indexes, .. }) => {
                let nowhere = indexes.iter().filter_map(|&index| checks.get(index));
                let nowhere: BTreeSet<Region> = nowhere.map(|check| check.region.clone()).collect();
                return Err(ServiceError::NoSuchRegion(nowhere.into_iter().collect()));
            }
            Err(error) => return Err(error.into()),
        }
        let longest = checks.iter().map(|check| check.deadline.since(now)).max();
        let place = |check: &Check| {
            let place = (check.monitor.id.clone(), check.region.clone());
            (place, check.key())
        };
        Ok(Run {
            id: run_id,
            service: self.clone(),
            waiting: checks.iter().map(place).collect(),
            listener,
            until: Instant::now() + longest.unwrap_or_default() + GRACE,
            heard: Vec::new(),
            gave_up: false,
        })
    }
}

impl Run {
    /// The next result, as it comes; none when all have answered or time is over. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<CheckResult>> {
        loop {
            if let Some(result) = self.heard.pop() {
                return Ok(Some(result));
            }
            if self.waiting.is_empty() || self.gave_up {
                return Ok(None);
            }
            match timeout_at(self.until, self.listener.next()).await {
                Ok(announcement) => self.hear(&announcement?.payload),
                // Announcements may be lost; rows are not.
                Err(_) => self.look().await?,
            }
        }
    }

    fn hear(&mut self, payload: &[u8]) {
        match ResultsMessage::decode(payload) {
            Ok(message) => {
                for result in message.results {
                    let place = (result.monitor.clone(), result.region.clone());
                    if result.run_id == self.id && self.waiting.remove(&place).is_some() {
                        self.heard.push(result);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = sonde_core::chain(&error), "an answer is unreadable");
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        for (place, key) in self.waiting.clone() {
            if let Some(result) = self.service.parts.results.find(&key).await? {
                self.waiting.remove(&place);
                self.heard.push(result);
            }
        }
        self.gave_up = true;
        Ok(())
    }

    /// Which regions have not answered yet, or not at all after the end.
    pub fn unanswered(&self) -> BTreeSet<Region> {
        self.waiting
            .keys()
            .map(|(_, region)| region.clone())
            .collect()
    }
}
