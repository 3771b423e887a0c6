//! Regions, as each workspace sees them: one that nothing is heard of has an incident of its own, and those of its
//! monitors that nothing is known of because of that have none.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sonde_core::{IncidentCause, Monitor, MonitorId, Region, Timestamp, WorkspaceId};
use sonde_notify::IncidentNotice;
use sonde_store::KeptAlert;

use super::Key;
use crate::decide::{KeptState, OpenIncident, Transition, patience};

/// Between two looks at all of them.
const LOOK: Duration = Duration::from_millis(500);
/// Of a single monitor its own incident says as much.
const FEWEST: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Places {
    all: HashMap<(WorkspaceId, Region), Place>,
    /// When they were last looked through.
    looked: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Place {
    /// How many monitors have to be heard of within which time.
    patience: BTreeMap<Duration, usize>,
    /// The newest slot that said something of any target, or since when somebody listens.
    heard: Timestamp,
    incident: Option<OpenIncident>,
    version: u64,
}

/// What became of a region.
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) version: u64,
    pub(super) kept: Option<KeptState>,
    pub(super) transition: Transition,
}

impl Places {
    pub(super) fn add(&mut self, monitor: &Monitor, now: Timestamp) {
        for region in places_of(monitor) {
            let key = (monitor.workspace.clone(), region.clone());
            let place = self.all.entry(key).or_insert_with(|| Place::new(now));
            if place.patience.is_empty() {
                place.heard = now;
            }
            *place.patience.entry(patience(monitor)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, monitor: &Monitor) {
        for region in places_of(monitor) {
            let key = (monitor.workspace.clone(), region.clone());
            let Some(place) = self.all.get_mut(&key) else {
                continue;
            };
            if let Some(count) = place.patience.get_mut(&patience(monitor)) {
                *count -= 1;
            }
            place.patience.retain(|_, count| *count > 0);
            if place.patience.is_empty() && place.version == 0 {
                self.all.remove(&key);
            }
        }
    }

    /// As it was kept; false where that is no region's.
    pub(super) fn restore(&mut self, key: &Key, version: u64, body: &str, now: Timestamp) -> bool {
        let Some(region) = key.1.as_region() else {
            return false;
        };
        let kept: Option<KeptState> = serde_json::from_str(body).ok();
        let key = (key.0.clone(), region);
        let place = self.all.entry(key).or_insert_with(|| Place::new(now));
        place.version = version;
        place.incident = kept.and_then(|kept| kept.incident);
        if place.incident.is_some() {
            // Silent until something is heard.
            place.heard = Timestamp::UNIX_EPOCH;
        }
        true
    }

    /// Takes over what somebody else wrote down meanwhile.
    pub(super) fn catch_up(&mut self, key: &Key, kept: &KeptAlert, now: Timestamp) {
        let Some(region) = key.1.as_region() else {
            return;
        };
        let place = self.all.get(&(key.0.clone(), region));
        if place.is_some_and(|place| place.version < kept.version) {
            self.restore(key, kept.version, &kept.body, now);
        }
    }

    /// Silence before `now` says nothing.
    pub(super) fn excuse(&mut self, now: Timestamp) {
        for place in self.all.values_mut().filter(|it| it.incident.is_none()) {
            place.heard = place.heard.max(now);
        }
    }

    pub(super) fn hear(&mut self, workspace: &WorkspaceId, region: &Region, slot: Timestamp) {
        if let Some(place) = self.all.get_mut(&(workspace.clone(), region.clone())) {
            place.heard = place.heard.max(slot);
        }
    }

    /// Other regions in which monitors of the workspace run.
    pub(super) fn beside(&self, monitor: &Monitor) -> Vec<Region> {
        let of_workspace = self.all.keys().filter(|key| key.0 == monitor.workspace);
        let regions = of_workspace.map(|(_, region)| region);
        let mut others: Vec<Region> = regions
            .filter(|region| !monitor.regions.contains(region))
            .cloned()
            .collect();
        others.sort_unstable();
        others
    }

    /// Nothing was heard of any monitor in any of these regions.
    pub(super) fn are_silent(&self, monitor: &Monitor, now: Timestamp) -> bool {
        let workspace = &monitor.workspace;
        monitor.regions.iter().all(|region| {
            let place = self.all.get(&(workspace.clone(), region.clone()));
            place.is_some_and(|place| place.is_silent(now))
        })
    }

    /// What is to be written down now; [`Self::committed`] says that it is. However many results come, they are looked through
    /// now and then only.
    pub(super) fn decide(&mut self, now: Timestamp) -> Vec<Change> {
        let just_now = |looked| now >= looked && now.since(looked) < LOOK;
        if self.looked.is_some_and(just_now) {
            return Vec::new();
        }
        self.looked = Some(now);
        let changes = self
            .all
            .iter_mut()
            .filter_map(|((workspace, region), place)| {
                let transition = place.decide(workspace, region, now)?;
                let kept = place.incident.clone().map(KeptState::of_region);
                Some(Change {
                    key: (workspace.clone(), MonitorId::of_region(region)),
                    version: place.version,
                    kept,
                    transition,
                })
            });
        changes.collect()
    }

    pub(super) fn committed(&mut self, key: &Key, kept: bool) {
        let Some(region) = key.1.as_region() else {
            return;
        };
        let key = (key.0.clone(), region);
        if let Some(place) = self.all.get_mut(&key) {
            place.version = if kept { place.version + 1 } else { 0 };
            if place.version == 0 && place.patience.is_empty() {
                self.all.remove(&key);
            }
        }
    }
}

/// Where checkers run: heartbeats come from nowhere.
fn places_of(monitor: &Monitor) -> &[Region] {
    match monitor.spec.heartbeat() {
        Some(_) => &[],
        None => &monitor.regions,
    }
}

impl Place {
    fn new(now: Timestamp) -> Self {
        Self {
            patience: BTreeMap::new(),
            heard: now,
            incident: None,
            version: 0,
        }
    }

    fn is_silent(&self, now: Timestamp) -> bool {
        let monitors: usize = self.patience.values().sum();
        let shortest = self.patience.keys().next();
        monitors >= FEWEST && shortest.is_some_and(|patience| now.since(self.heard) > *patience)
    }

    fn decide(
        &mut self,
        workspace: &WorkspaceId,
        region: &Region,
        now: Timestamp,
    ) -> Option<Transition> {
        match (self.incident.is_some(), self.is_silent(now)) {
            (false, true) => {
                let name = format!("{workspace}/@{region}/{}", self.heard.as_micros());
                let incident = OpenIncident::new(&name, IncidentCause::Unknown, now);
                self.incident = Some(incident.clone());
                Some(Transition::Opened(incident))
            }
            (true, false) => self.incident.take().map(Transition::Resolved),
            _ => None,
        }
    }
}

/// An incident of a region, for people.
pub(super) fn describe(id: &MonitorId, incident: &OpenIncident) -> IncidentNotice {
    let region = id.as_str().trim_start_matches('@');
    IncidentNotice {
        name: format!("region {region}"),
        target: format!("all checks in {region}"),
        ..crate::notices::outline(id, incident)
    }
}
