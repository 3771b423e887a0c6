//! Which slots are in a maintenance window. It is asked of every task, so no rule is followed then: the windows of two days
//! around the slot are kept as intervals, and found by bisection. A workspace without maintenance costs one look.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::MaintenanceChange;
use sonde_core::{
    MaintainedMonitors, Maintenance, MaintenanceWindow, Monitor, MonitorId, Timestamp, WorkspaceId,
};

/// To both sides of a slot: what is caught up with after an outage is at most so old, but for very long intervals.
const KEPT: Duration = Duration::from_hours(24);

/// The maintenance of all workspaces.
#[derive(Debug, Default)]
pub struct Calendar {
    workspaces: HashMap<WorkspaceId, Workspace>,
}

#[derive(Debug, Default)]
struct Workspace {
    entries: HashMap<String, Entry>,
    /// None after a change.
    timetable: Option<Timetable>,
}

#[derive(Debug)]
struct Entry {
    maintenance: Maintenance,
    /// Its windows, in the time that they were looked for.
    windows: Option<(MaintenanceWindow, Intervals)>,
}

/// Where to look for what concerns a monitor.
#[derive(Debug)]
struct Timetable {
    /// It knows nothing of other times.
    kept: MaintenanceWindow,
    all: Intervals,
    others: Vec<Intervals>,
    /// Places in `others`.
    of_monitors: HashMap<MonitorId, Vec<usize>>,
    of_tags: HashMap<String, Vec<usize>>,
}

/// Ascending, and none touches another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Intervals(Vec<MaintenanceWindow>);

impl Calendar {
    /// Follows the configuration; with `complete`, what is not in `changes` does not exist. What is unreadable is left out.
    pub fn apply(&mut self, changes: Vec<MaintenanceChange>, complete: bool) {
        if complete {
            self.workspaces.clear();
        }
        let mut touched = HashSet::new();
        for MaintenanceChange {
            workspace,
            id,
            body,
        } in changes
        {
            let maintenance = body.and_then(|body| read(&workspace, &id, &body));
            let all = self.workspaces.entry(workspace.clone()).or_default();
            all.timetable = None;
            match maintenance {
                Some(maintenance) => {
                    let windows = None;
                    all.entries.insert(
                        id,
                        Entry {
                            maintenance,
                            windows,
                        },
                    );
                }
                None => {
                    all.entries.remove(&id);
                }
            }
            touched.insert(workspace);
        }
        for workspace in touched {
            let all = self.workspaces.get(&workspace);
            if all.is_some_and(|all| all.entries.is_empty()) {
                self.workspaces.remove(&workspace);
            }
        }
    }

    /// Whether the outcome of a monitor's slot is not to count.
    pub fn covers(&mut self, monitor: &Monitor, slot: Timestamp) -> bool {
        let Some(workspace) = self.workspaces.get_mut(&monitor.workspace) else {
            return false;
        };
        workspace.timetable(slot).covers(monitor, slot)
    }
}

fn read(workspace: &WorkspaceId, id: &str, body: &str) -> Option<Maintenance> {
    let read = Maintenance::from_json(body);
    read.inspect_err(|error| {
        tracing::error!(
            %error,
            workspace.id = %workspace,
            maintenance.id = id,
            "maintenance is unreadable and left out"
        );
    })
    .ok()
}

impl Workspace {
    fn timetable(&mut self, slot: Timestamp) -> &Timetable {
        let known = self.timetable.take();
        let known = known.filter(|known| known.kept.contains(slot));
        let timetable = known.unwrap_or_else(|| {
            let kept = self.kept(slot);
            for entry in self.entries.values_mut() {
                entry.look_ahead(kept);
            }
            Timetable::new(self.entries.values(), kept)
        });
        self.timetable.insert(timetable)
    }

    /// The time that its windows were looked for, so that a change makes nobody look again for those of others.
    fn kept(&self, slot: Timestamp) -> MaintenanceWindow {
        let mut looked_for = self
            .entries
            .values()
            .filter_map(|entry| entry.windows.as_ref());
        let known = looked_for.find(|(kept, _)| kept.contains(slot));
        known.map_or(
            MaintenanceWindow {
                from: slot - KEPT,
                to: slot + KEPT,
            },
            |(kept, _)| *kept,
        )
    }
}

impl Entry {
    fn look_ahead(&mut self, kept: MaintenanceWindow) {
        if self.windows.as_ref().is_none_or(|(of, _)| *of != kept) {
            let windows = self.maintenance.windows(kept.from, kept.to);
            self.windows = Some((kept, Intervals::of(windows.collect())));
        }
    }
}

impl Timetable {
    fn new<'a>(entries: impl Iterator<Item = &'a Entry>, kept: MaintenanceWindow) -> Self {
        let mut all = Vec::new();
        let mut others = Vec::new();
        let (mut of_monitors, mut of_tags) = (HashMap::new(), HashMap::new());
        for entry in entries {
            let windows = entry.windows.as_ref().map(|(_, windows)| windows);
            let Some(windows) = windows.filter(|windows| !windows.0.is_empty()) else {
                continue;
            };
            let place = others.len();
            match entry.maintenance.monitors() {
                MaintainedMonitors::All => {
                    all.extend_from_slice(&windows.0);
                    continue;
                }
                MaintainedMonitors::Ids(ids) => {
                    for id in ids {
                        let places: &mut Vec<_> = of_monitors.entry(id.clone()).or_default();
                        places.push(place);
                    }
                }
                MaintainedMonitors::Tags(tags) => {
                    for tag in tags {
                        let places: &mut Vec<_> = of_tags.entry(tag.clone()).or_default();
                        places.push(place);
                    }
                }
            }
            others.push(windows.clone());
        }
        Self {
            kept,
            all: Intervals::of(all),
            others,
            of_monitors,
            of_tags,
        }
    }

    fn covers(&self, monitor: &Monitor, slot: Timestamp) -> bool {
        if self.all.contain(slot) {
            return true;
        }
        let own = self.of_monitors.get(&monitor.id);
        let tagged = monitor.tags.iter().filter_map(|tag| self.of_tags.get(tag));
        let mut places = own.into_iter().chain(tagged).flatten();
        places.any(|place| self.others[*place].contain(slot))
    }
}

impl Intervals {
    fn of(mut windows: Vec<MaintenanceWindow>) -> Self {
        windows.sort();
        let mut merged: Vec<MaintenanceWindow> = Vec::new();
        for window in windows {
            match merged.last_mut() {
                Some(last) if window.from <= last.to => last.to = last.to.max(window.to),
                _ => merged.push(window),
            }
        }
        Self(merged)
    }

    fn contain(&self, at: Timestamp) -> bool {
        let later = self.0.partition_point(|window| window.from <= at);
        let last = later.checked_sub(1).map(|place| self.0[place]);
        last.is_some_and(|window| window.contains(at))
    }
}

#[cfg(test)]
mod tests;
