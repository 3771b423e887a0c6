//! All monitors: which of them have something to decide, what that leads to, and who is to be told.
//!
//! Pure: whoever runs it writes a [`Decision`] down, and tells it whether that went well. What depends on others is told
//! when it is known that these are not the cause.

mod draft;
mod expiry;
mod heartbeats;
mod places;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    CheckResult, IncidentCause, Monitor, MonitorId, Outcome, Region, Timestamp, Trigger,
    WorkspaceId,
};
use sonde_notify::IncidentNotice;
use sonde_store::{AlertChange, Calendar, Changes, IncidentEventKind, KeptAlert};

use crate::decide::{KeptState, MonitorState, OpenIncident, Quiet, Transition};
use crate::notices::{self, Fault};
use crate::routes::Routes;

use draft::Draft;
use places::Places;

/// Who a monitor is, over all workspaces.
pub type Key = (WorkspaceId, MonitorId);

/// Of monitors that depend on each other in a row only so many are put in order.
const DEEPEST: usize = 16;
/// Regions that are asked about one failure.
const WITNESSES: usize = 2;
/// Of one decision: where more fails at once, the next failures confirm it.
const MOST_ASKS: usize = 100;

#[derive(Debug, Default)]
pub struct Engine {
    watched: HashMap<Key, Watched>,
    /// Which monitors depend on one.
    children: HashMap<Key, BTreeSet<Key>>,
    /// When silence may change something, once for each monitor.
    agenda: BinaryHeap<Reverse<(Timestamp, Key)>>,
    /// What may have changed since the last decision.
    touched: HashSet<Key>,
    /// What is watched no more.
    gone: Vec<Gone>,
    places: Places,
    /// In which it decides.
    term: u64,
    /// Heartbeats that are late, of which nobody has said so.
    late: BTreeSet<Key>,
}

/// One monitor, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) state: MonitorState,
    /// What is wrong in a region, for people.
    pub(crate) faults: BTreeMap<Region, Fault>,
    version: u64,
    kept: Option<KeptState>,
    /// The slot of the failure that other regions were last asked about.
    asked: Option<Timestamp>,
}

/// A monitor that is removed or paused, and its incidents, which end.
#[derive(Debug)]
struct Gone {
    key: Key,
    version: u64,
    open: Vec<IncidentNotice>,
}

/// What is to be written down, and what it is to become once it is.
#[derive(Debug, Default)]
pub struct Decision {
    pub change: AlertChange,
    /// To be asked once it is written down.
    pub asks: Vec<Ask>,
    /// Of monitors that are still watched, and of regions.
    kept: Vec<(Key, Option<KeptState>)>,
}

/// Whether another region sees a failure, too.
#[derive(Debug, Clone)]
pub struct Ask {
    pub monitor: Arc<Monitor>,
    pub region: Region,
    pub slot: Timestamp,
}

impl Engine {
    /// With what others decided before `term`.
    pub fn restored(
        monitors: impl IntoIterator<Item = Arc<Monitor>>,
        kept: Vec<KeptAlert>,
        term: u64,
        now: Timestamp,
    ) -> Self {
        let mut engine = Self {
            term,
            ..Self::default()
        };
        let mut kept: HashMap<Key, KeptAlert> = kept
            .into_iter()
            .map(|kept| ((kept.workspace.clone(), kept.monitor.clone()), kept))
            .collect();
        for monitor in monitors {
            let kept = kept.remove(&key(&monitor));
            engine.watch(monitor, now);
            if let Some(kept) = kept {
                engine.restore(kept, now);
            }
        }
        // Of what is watched no more an incident may be open.
        for (key, kept) in kept {
            if engine.places.restore(&key, kept.version, &kept.body, now) {
                continue;
            }
            let state = serde_json::from_str::<KeptState>(&kept.body).ok();
            let (incident, expiring) = state
                .map(|state| (state.incident, state.expiring))
                .unwrap_or_default();
            let incident = incident.map(|incident| notices::outline(&key.1, &incident));
            let expiring = expiring.map(|it| notices::outline_of_expiring(&key.1, &it));
            let open = incident.into_iter().chain(expiring).collect();
            engine.gone.push(Gone {
                key,
                version: kept.version,
                open,
            });
        }
        engine
    }

    fn restore(&mut self, kept: KeptAlert, now: Timestamp) {
        let key = (kept.workspace, kept.monitor);
        let Some(watched) = self.watched.get_mut(&key) else {
            return;
        };
        watched.version = kept.version;
        match serde_json::from_str::<KeptState>(&kept.body) {
            Ok(state) => {
                watched.state = MonitorState::restored(state.clone(), now);
                watched.kept = Some(state);
            }
            Err(error) => tracing::error!(
                %error,
                workspace.id = %key.0,
                monitor.id = %key.1,
                "what was decided of a monitor is unreadable: it begins anew"
            ),
        }
        self.touched.insert(key);
    }

    /// Takes over a changed configuration.
    pub fn follow(&mut self, changes: &Changes, now: Timestamp) {
        let changed = changes.changed.iter();
        let changed: Vec<_> = changed.map(|packed| Arc::new(packed.unpack())).collect();
        if changes.complete {
            self.watch_only(&changed, now);
            return;
        }
        for (workspace, id) in &changes.removed {
            self.forget(&(workspace.clone(), id.clone()), now);
        }
        for monitor in changed {
            self.watch(monitor, now);
        }
    }

    /// Of what somebody else wrote down meanwhile: takes that over. What was observed of others stays.
    pub fn catch_up(&mut self, kept: Vec<KeptAlert>, now: Timestamp) {
        for kept in kept {
            let key = (kept.workspace.clone(), kept.monitor.clone());
            self.places.catch_up(&key, &kept, now);
            let watched = self.watched.get(&key);
            if watched.is_some_and(|watched| watched.version < kept.version) {
                self.restore(kept, now);
            }
        }
    }

    /// From now on these, and no others.
    fn watch_only(&mut self, monitors: &[Arc<Monitor>], now: Timestamp) {
        let stay: HashSet<Key> = monitors.iter().map(|monitor| key(monitor)).collect();
        let gone: Vec<Key> = self
            .watched
            .keys()
            .filter(|key| !stay.contains(*key))
            .cloned()
            .collect();
        for key in gone {
            self.forget(&key, now);
        }
        for monitor in monitors {
            self.watch(Arc::clone(monitor), now);
        }
    }

    /// A monitor that is new, or another than before; one that is paused is not watched.
    pub fn watch(&mut self, monitor: Arc<Monitor>, now: Timestamp) {
        let key = key(&monitor);
        if monitor.paused {
            self.forget(&key, now);
            return;
        }
        let before = self
            .watched
            .get(&key)
            .map(|watched| Arc::clone(&watched.monitor));
        if before.as_ref().is_some_and(|before| *before == monitor) {
            return;
        }
        self.unlink(&key, before.as_deref());
        self.places.add(&monitor, now);
        for parent in &monitor.depends_on {
            let parent = (monitor.workspace.clone(), parent.clone());
            self.children.entry(parent).or_default().insert(key.clone());
        }
        if before.is_none() {
            self.agenda.push(Reverse((now, key.clone())));
        }
        let new = || Watched::new(Arc::clone(&monitor), now);
        let watched = self.watched.entry(key.clone()).or_insert_with(new);
        watched.monitor = monitor;
        self.touched.insert(key);
    }

    fn forget(&mut self, key: &Key, now: Timestamp) {
        let Some(mut watched) = self.watched.remove(key) else {
            return;
        };
        self.unlink(key, Some(&watched.monitor));
        self.touched.remove(key);
        let incident = watched.state.take_incident();
        let incident = incident.map(|incident| notices::describe(&watched, &incident, now));
        let expiring = watched.state.take_expiring();
        let expiring = expiring.map(|it| notices::describe_expiring(&watched, &it, now));
        let open = incident.into_iter().chain(expiring).collect();
        self.gone.push(Gone {
            key: key.clone(),
            version: watched.version,
            open,
        });
    }

    fn unlink(&mut self, key: &Key, monitor: Option<&Monitor>) {
        if let Some(monitor) = monitor {
            self.places.remove(monitor);
        }
        for parent in monitor.into_iter().flat_map(|monitor| &monitor.depends_on) {
            let parent = (key.0.clone(), parent.clone());
            if let Some(children) = self.children.get_mut(&parent) {
                children.remove(key);
            }
        }
    }

    /// Takes a result into account. What was asked for in between says nothing of a row, but may confirm one of it.
    pub fn observe(&mut self, result: &CheckResult) {
        let key = (result.workspace.clone(), result.monitor.clone());
        let Some(watched) = self.watched.get_mut(&key) else {
            return;
        };
        if result.trigger != Trigger::Schedule {
            if watched.state.witness(&watched.monitor, result) {
                self.touched.insert(key);
            }
            return;
        }
        if result.outcome.is_executed() && !result.suspect {
            let (workspace, region) = (&result.workspace, &result.region);
            self.places.hear(workspace, region, result.slot);
        }
        if watched.state.observe(&watched.monitor, result) {
            watched.note(result);
            self.touched.insert(key);
        }
    }

    /// Results could not be heard until `now`: silence before it says nothing of anybody.
    pub fn excuse(&mut self, now: Timestamp) {
        for watched in self.watched.values_mut() {
            watched.state.excuse(now);
        }
        self.places.excuse(now);
    }

    /// What is to be written down now, of `most` monitors or few more; nothing of what is as it was.
    pub fn decide(
        &mut self,
        routes: &Routes,
        calendar: &mut Calendar,
        now: Timestamp,
        most: usize,
    ) -> Decision {
        self.look_for_silence(now);
        let mut draft = Draft::new(routes, calendar, self.term, now);
        for change in self.places.decide(now) {
            draft.place(change);
        }
        while draft.states() < most
            && let Some(gone) = self.gone.pop()
        {
            draft.end(gone);
        }
        let mut keys = self.parents_first();
        let mut done = HashSet::new();
        let mut next = 0;
        while let Some(key) = keys.get(next).cloned() {
            if draft.states() >= most {
                self.touched.extend(keys.drain(next..));
                break;
            }
            next += 1;
            if done.insert(key.clone()) {
                self.decide_one(&key, &mut draft);
                let children = self.children.get(&key).into_iter().flatten();
                keys.extend(children.filter(|child| self.is_quiet(child)).cloned());
            }
        }
        draft.decision
    }

    /// Not all that there is to decide was decided.
    pub fn has_more(&self) -> bool {
        !self.touched.is_empty() || !self.gone.is_empty()
    }

    /// It is written down.
    pub fn committed(&mut self, decision: Decision) {
        for (key, kept) in decision.kept {
            self.places.committed(&key, kept.is_some());
            if let Some(watched) = self.watched.get_mut(&key) {
                watched.version = kept.as_ref().map_or(0, |_| watched.version + 1);
                watched.kept = kept;
            }
        }
    }

    fn decide_one(&mut self, key: &Key, draft: &mut Draft<'_>) {
        let Some(mut watched) = self.watched.remove(key) else {
            return;
        };
        let (monitor, now) = (&watched.monitor, draft.now);
        let muted = |cause| {
            let has_no_place =
                cause == IncidentCause::Unknown && self.places.are_silent(monitor, now);
            has_no_place || draft.calendar.covers(monitor, now)
        };
        match watched.state.decide(monitor, now, muted) {
            Some(Transition::Opened(incident)) => {
                let quiet = self.why_quiet(&watched, draft.now);
                watched.state.set_quiet(quiet.clone());
                let incident = OpenIncident { quiet, ..incident };
                draft.record(&watched, IncidentEventKind::Opened, &incident);
            }
            Some(Transition::Changed(incident)) => {
                draft.record(&watched, IncidentEventKind::Changed, &incident);
            }
            Some(Transition::Resolved(incident)) => {
                draft.record(&watched, IncidentEventKind::Resolved, &incident);
            }
            None => self.reconsider(&mut watched, draft),
        }
        self.ask(&mut watched, draft);
        if let Some(expiry) = watched.state.decide_expiry(&watched.monitor, draft.now) {
            draft.record_expiry(&watched, &expiry);
        }
        if watched.is_late(draft.now) {
            self.late.insert(key.clone());
        }
        draft.keep(key, &watched);
        self.watched.insert(key.clone(), watched);
    }

    /// Lets other regions look at a first failure that only they can confirm.
    fn ask(&self, watched: &mut Watched, draft: &mut Draft<'_>) {
        let slot = watched.state.wants_witness(&watched.monitor);
        let Some(slot) = slot.filter(|_| slot != watched.asked) else {
            return;
        };
        watched.asked = Some(slot);
        let asks = &mut draft.decision.asks;
        let others = self.places.beside(&watched.monitor).into_iter();
        let more = others.take(WITNESSES.min(MOST_ASKS.saturating_sub(asks.len())));
        asks.extend(more.map(|region| Ask {
            monitor: Arc::clone(&watched.monitor),
            region,
            slot,
        }));
    }

    /// Whether what is quiet is still to be so.
    fn reconsider(&self, watched: &mut Watched, draft: &mut Draft<'_>) {
        let Some(incident) = watched.state.incident().cloned() else {
            return;
        };
        let now = draft.now;
        let quiet = match &incident.quiet {
            None => return,
            Some(Quiet::Until(until) | Quiet::Recovering(until)) if now >= *until => None,
            Some(Quiet::Until(until)) => match self.why_quiet(watched, now) {
                Some(Quiet::Until(_)) => Some(Quiet::Until(*until)),
                other => other,
            },
            Some(Quiet::CausedBy(_) | Quiet::Recovering(_)) => {
                let until = match incident.quiet {
                    Some(Quiet::Recovering(until)) => until,
                    _ => now + time_to_tell(&watched.monitor),
                };
                let parent = self.cause_among_parents(watched);
                Some(parent.map_or(Quiet::Recovering(until), Quiet::CausedBy))
            }
        };
        if quiet == incident.quiet {
            return;
        }
        watched.state.set_quiet(quiet.clone());
        let changed = OpenIncident { quiet, ..incident };
        match changed.quiet {
            None => draft.tell(watched, &changed),
            Some(Quiet::CausedBy(_)) => draft.record(watched, IncidentEventKind::Changed, &changed),
            Some(Quiet::Until(_) | Quiet::Recovering(_)) => {}
        }
    }

    /// Of what has just failed: whether it is, or may be, because of what it depends on.
    fn why_quiet(&self, watched: &Watched, now: Timestamp) -> Option<Quiet> {
        if let Some(parent) = self.cause_among_parents(watched) {
            return Some(Quiet::CausedBy(parent));
        }
        let since = watched
            .faults
            .values()
            .map(|fault| fault.since)
            .min()
            .unwrap_or(now);
        let doubtful = watched.parents(&self.watched).filter(|parent| {
            parent.state.incident().is_none() && parent.state.is_in_doubt(&parent.monitor, since)
        });
        let longest = doubtful.map(|parent| time_to_tell(&parent.monitor)).max()?;
        Some(Quiet::Until(now + longest))
    }

    /// The nearest ancestor that is known to be down.
    fn cause_among_parents(&self, watched: &Watched) -> Option<MonitorId> {
        let mut seen = HashSet::new();
        let mut next: VecDeque<&Watched> = watched.parents(&self.watched).collect();
        while let Some(parent) = next.pop_front() {
            if parent.state.incident().is_some() {
                return Some(parent.monitor.id.clone());
            }
            if seen.insert(&parent.monitor.id) {
                next.extend(parent.parents(&self.watched));
            }
        }
        None
    }

    fn is_quiet(&self, key: &Key) -> bool {
        let incident = self
            .watched
            .get(key)
            .and_then(|watched| watched.state.incident());
        incident.is_some_and(|incident| incident.quiet.is_some())
    }

    /// What was touched, each after what it depends on, so that this is known by then.
    fn parents_first(&mut self) -> Vec<Key> {
        let touched = std::mem::take(&mut self.touched);
        let mut keys: Vec<&Key> = touched.iter().collect();
        keys.sort_unstable();
        let (mut seen, mut order) = (HashSet::new(), Vec::new());
        for key in keys {
            self.place(key, 0, &mut seen, &mut order);
        }
        order.retain(|key| touched.contains(key));
        order
    }

    fn place(&self, key: &Key, depth: usize, seen: &mut HashSet<Key>, order: &mut Vec<Key>) {
        if depth > DEEPEST || !seen.insert(key.clone()) {
            return;
        }
        let watched = self.watched.get(key);
        for parent in watched.into_iter().flat_map(|it| &it.monitor.depends_on) {
            self.place(&(key.0.clone(), parent.clone()), depth + 1, seen, order);
        }
        order.push(key.clone());
    }

    /// Monitors that nothing was heard of for too long, that are calm again, or that wait for what they depend on.
    fn look_for_silence(&mut self, now: Timestamp) {
        while let Some(Reverse((due, _))) = self.agenda.peek()
            && *due <= now
            && let Some(Reverse((_, key))) = self.agenda.pop()
        {
            let Some(watched) = self.watched.get(&key) else {
                continue;
            };
            let next = watched.look_again_at(now);
            self.touched.insert(key.clone());
            self.agenda.push(Reverse((next, key)));
        }
    }
}

impl Watched {
    fn new(monitor: Arc<Monitor>, now: Timestamp) -> Self {
        Self {
            monitor,
            state: MonitorState::new(now),
            faults: BTreeMap::new(),
            version: 0,
            kept: None,
            asked: None,
        }
    }

    /// What people are told of a region.
    fn note(&mut self, result: &CheckResult) {
        if result.outcome == Outcome::Ok {
            self.faults.remove(&result.region);
            return;
        }
        let since = self.faults.get(&result.region).map(|fault| fault.since);
        let fault = Fault::of(result, since.unwrap_or(result.slot));
        self.faults.insert(result.region.clone(), fault);
    }

    fn parents<'a>(&'a self, all: &'a HashMap<Key, Self>) -> impl Iterator<Item = &'a Self> {
        let workspace = &self.monitor.workspace;
        let parents = self.monitor.depends_on.iter();
        parents.filter_map(move |parent| all.get(&(workspace.clone(), parent.clone())))
    }

    fn look_again_at(&self, now: Timestamp) -> Timestamp {
        let silence = self.state.look_again_at(&self.monitor, now);
        // An open incident may wait for calm, or for those that it depends on.
        match self.state.incident() {
            Some(_) => silence.min(now + self.monitor.interval),
            None => silence,
        }
    }
}

impl Decision {
    pub fn is_empty(&self) -> bool {
        self.change.is_empty()
    }
}

/// How long it takes at most until it is known that something is down, or up again.
fn time_to_tell(monitor: &Monitor) -> Duration {
    if let Some(heartbeat) = monitor.spec.heartbeat() {
        return monitor.interval + heartbeat.grace;
    }
    let rounds = monitor.alert.fail_after.max(monitor.alert.recover_after);
    monitor.interval * (rounds + 1) + monitor.timeout
}

fn key(monitor: &Monitor) -> Key {
    (monitor.workspace.clone(), monitor.id.clone())
}

#[cfg(test)]
mod tests;
