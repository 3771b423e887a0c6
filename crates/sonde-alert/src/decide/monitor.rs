//! One monitor: whether an incident is open, out of what its regions say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{
    CheckResult, IncidentCause, Monitor, MonitorId, Outcome, Quorum, Region, Timestamp,
};
use uuid::Uuid;

use super::beat::{Beat, Rhythm};
use super::expiry::{Ends, Expiring, Expiry, Shown};
use super::region::{KeptRegion, RegionState, SETTLE, Verdict};

/// What was heard so many intervals ago says nothing of now.
const FRESH: u32 = 3;
/// So many incidents within [`FLAPPING`] intervals are one that flaps: it ends when all was well for [`CALM`] intervals.
const FLAPS: usize = 3;
const FLAPPING: u32 = 40;
const CALM: u32 = 10;
/// The names of incidents, so that the same results open the same one.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_2a76_0c53_4f5e_9a0e_1d6c_2f64_83b1);

/// What is known of a monitor.
#[derive(Debug, Clone)]
pub struct MonitorState {
    regions: BTreeMap<Region, RegionState>,
    /// Since when somebody waits for results: what nobody has waited for is not unknown.
    watched_since: Timestamp,
    incident: Option<OpenIncident>,
    /// When incidents of late were opened.
    opened: Vec<Timestamp>,
    /// Regions that were asked because of a failure and saw it, too; forgotten with the slot that it was in.
    witnesses: BTreeMap<Timestamp, BTreeSet<Region>>,
    /// When a person ended an incident of late: results of slots until then say nothing any more.
    since: Option<Timestamp>,
    /// Of a heartbeat.
    beat: Option<Beat>,
    ends: Ends,
}

/// What is kept of a monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptState {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    regions: BTreeMap<Region, KeptRegion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<OpenIncident>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    opened: Vec<Timestamp>,
    /// All that is there after a person ended an incident: [`sonde_store::AlertStore::resolve`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beat: Option<Beat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiring: Option<Expiring>,
}

/// An incident that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIncident {
    pub id: Uuid,
    pub cause: IncidentCause,
    pub opened_at: Timestamp,
    #[serde(default)]
    pub flapping: bool,
    /// Nobody is told of it, for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// Since when all is well with a target that flaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calm_since: Option<Timestamp>,
}

impl OpenIncident {
    /// The same for the same name.
    pub(crate) fn new(name: &str, cause: IncidentCause, opened_at: Timestamp) -> Self {
        Self {
            id: Uuid::new_v5(&NAMESPACE, name.as_bytes()),
            cause,
            opened_at,
            flapping: false,
            quiet: None,
            calm_since: None,
        }
    }
}

/// Why nobody is told of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quiet {
    /// What the monitor depends on is down.
    CausedBy(MonitorId),
    /// What it depends on may be down: by then that will be known.
    Until(Timestamp),
    /// What it depends on was down: it has until then to recover, too.
    Recovering(Timestamp),
}

/// What became of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    Opened(OpenIncident),
    /// It is worse, or better but not well; or it flaps.
    Changed(OpenIncident),
    Resolved(OpenIncident),
}

/// What a region says of a target, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionView {
    pub region: Region,
    pub verdict: Verdict,
    /// When it last was heard of.
    pub heard: Timestamp,
    pub is_fresh: bool,
}

impl KeptState {
    /// Of a region that has an incident.
    pub(crate) fn of_region(incident: OpenIncident) -> Self {
        Self {
            regions: BTreeMap::new(),
            incident: Some(incident),
            opened: Vec::new(),
            since: None,
            beat: None,
            expiring: None,
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it has only string keys")
    }

    /// Nothing depends on what differs: rows that only grow are not written again and again.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let streaks = self.regions.iter().map(|(region, it)| (region, it.streak));
        let others = other.regions.iter().map(|(region, it)| (region, it.streak));
        let same = self.incident == other.incident && self.opened == other.opened;
        let same = same && self.beat == other.beat && self.expiring == other.expiring;
        let same = same && self.since == other.since;
        same && streaks.eq(others)
    }
}

impl MonitorState {
    /// All is well, as far as anybody knows.
    pub fn new(watched_since: Timestamp) -> Self {
        Self {
            regions: BTreeMap::new(),
            watched_since,
            incident: None,
            opened: Vec::new(),
            witnesses: BTreeMap::new(),
            since: None,
            beat: None,
            ends: Ends::default(),
        }
    }

    pub fn restored(kept: KeptState, watched_since: Timestamp) -> Self {
        let regions = kept.regions.iter();
        Self {
            regions: regions
                .map(|(region, kept)| (region.clone(), RegionState::restored(kept)))
                .collect(),
            watched_since,
            incident: kept.incident,
            opened: kept.opened,
            witnesses: BTreeMap::new(),
            since: kept.since,
            beat: kept.beat,
            ends: Ends::restored(kept.expiring),
        }
    }

    /// What is to be kept; nothing where a new one says the same.
    pub fn kept(&self, monitor: &Monitor) -> Option<KeptState> {
        let regions = self.regions.iter().filter_map(|(region, state)| {
            let kept = state.kept(&monitor.alert, rhythm(monitor))?;
            Some((region.clone(), kept))
        });
        let kept = KeptState {
            regions: regions.collect(),
            incident: self.incident.clone(),
            opened: self.opened.clone(),
            since: self.since,
            beat: self.beat,
            expiring: self.ends.open().cloned(),
        };
        let is_calm = kept.incident.is_none() && kept.opened.is_empty() && kept.expiring.is_none();
        let is_empty =
            is_calm && kept.regions.is_empty() && kept.since.is_none() && kept.beat.is_none();
        (!is_empty).then_some(kept)
    }

    /// Takes a result into account; false when it changes nothing. What it leads to says [`Self::decide`].
    pub fn observe(&mut self, monitor: &Monitor, result: &CheckResult) -> bool {
        let is_over = self.since.is_some_and(|since| result.slot <= since);
        if is_over || !monitor.regions.contains(&result.region) {
            return false;
        }
        let mut interval = Duration::from_micros(result.interval_us);
        if let Some(rhythm) = Rhythm::of(monitor) {
            let beat = self.beat.get_or_insert(Beat::new(result.slot));
            if !beat.observe(rhythm, result) {
                return false;
            }
            interval = Duration::ZERO;
        }
        let regions = &mut self.regions;
        let region = regions.entry(result.region.clone()).or_default();
        let is_new = region.observe(&monitor.alert, interval, result);
        if is_new {
            self.ends.observe(result);
            if monitor.alert.confirm {
                self.confirm(result.slot);
            }
        }
        // That a heartbeat came is to be kept also where it says the same as the one before.
        is_new || self.beat.is_some()
    }

    /// Takes into account what another region saw that was asked because of a failure; false when that changes nothing.
    pub fn witness(&mut self, monitor: &Monitor, result: &CheckResult) -> bool {
        let saw_it = result.outcome == Outcome::Failed && !result.suspect;
        let failed = |region: &RegionState| region.failed_in(result.slot);
        if !monitor.alert.confirm || !saw_it || !self.regions.values().any(failed) {
            return false;
        }
        let oldest = result.slot - monitor.interval * SETTLE;
        self.witnesses.retain(|slot, _| *slot >= oldest);
        let witnesses = self.witnesses.entry(result.slot).or_default();
        witnesses.insert(result.region.clone());
        self.confirm(result.slot);
        true
    }

    /// The slot of a failure that only another region can confirm, because the monitor has no other.
    pub fn wants_witness(&self, monitor: &Monitor) -> Option<Timestamp> {
        let [region] = monitor.regions.as_slice() else {
            return None;
        };
        let is_open = self.incident.is_some();
        let asks = monitor.alert.confirm && !is_open;
        let state = self.regions.get(region).filter(|_| asks)?;
        state.first_failure(&monitor.alert, monitor.interval)
    }

    /// Looks whether more than one region saw the target fail in `slot`.
    fn confirm(&mut self, slot: Timestamp) {
        let saw = self.regions.values().filter(|it| it.failed_in(slot));
        let witnesses = self.witnesses.get(&slot).map_or(0, BTreeSet::len);
        let confirmed = saw.count() + witnesses > 1;
        for region in self.regions.values_mut() {
            region.confirm(slot, confirmed);
        }
    }

    /// Opens, changes and ends the monitor's incident; opens none that is `muted`.
    pub fn decide(
        &mut self,
        monitor: &Monitor,
        now: Timestamp,
        muted: impl FnOnce(IncidentCause) -> bool,
    ) -> Option<Transition> {
        self.regions
            .retain(|region, _| monitor.regions.contains(region));
        self.beat = Rhythm::of(monitor).map(|_| self.beat.unwrap_or(Beat::new(now)));
        let span = rhythm(monitor) * FLAPPING;
        self.opened.retain(|opened| now.since(*opened) <= span);
        self.since = self.since.filter(|since| now.since(*since) <= span);
        let cause = self.cause(monitor, now);
        match (self.incident.take(), cause) {
            (None, None) => None,
            (None, Some(cause)) => (!muted(cause)).then(|| self.open(monitor, cause, now)),
            (Some(incident), Some(cause)) => self.go_on(incident, cause),
            (Some(incident), None) => self.end(incident, monitor.interval, now),
        }
    }

    /// Tells of a certificate or a domain that comes to its end.
    pub fn decide_expiry(&mut self, monitor: &Monitor, now: Timestamp) -> Option<Expiry> {
        self.ends.decide(monitor, now)
    }

    /// The end that a region was shown last.
    pub fn shown_end(&self, region: &Region) -> Option<&Shown> {
        self.ends.shown(region)
    }

    /// As [`Self::take_incident`].
    pub fn take_expiring(&mut self) -> Option<Expiring> {
        self.ends.take()
    }

    /// The instants by now at which a heartbeat was late and nobody has said so, and since when it is waited for.
    pub fn late(
        &self,
        monitor: &Monitor,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let beat = self.beat.zip(Rhythm::of(monitor)).into_iter();
        beat.flat_map(move |(beat, rhythm)| {
            beat.late(rhythm, now).map(move |late| (late, beat.since()))
        })
    }

    /// Nobody could hear anything until `now`: silence before it says nothing.
    pub fn excuse(&mut self, now: Timestamp) {
        self.watched_since = now;
    }

    /// Ends what is open whatever the target does: nobody watches it any more.
    pub fn take_incident(&mut self) -> Option<OpenIncident> {
        self.incident.take()
    }

    pub fn incident(&self) -> Option<&OpenIncident> {
        self.incident.as_ref()
    }

    /// Says whether people are told of what is open.
    pub fn set_quiet(&mut self, quiet: Option<Quiet>) {
        if let Some(incident) = &mut self.incident {
            incident.quiet = quiet;
        }
    }

    /// The next time at which silence alone may change something.
    pub fn look_again_at(&self, monitor: &Monitor, now: Timestamp) -> Timestamp {
        if let Some(rhythm) = Rhythm::of(monitor) {
            let late = self.beat.unwrap_or(Beat::new(now)).next_late(rhythm);
            return late.max(now + Duration::from_micros(1));
        }
        let patience = patience(monitor);
        let heard = monitor.regions.iter().map(|region| self.heard(region));
        let stale = heard.map(|heard| heard + patience).filter(|at| *at >= now);
        let next = stale.min().unwrap_or(now + patience);
        next + Duration::from_micros(1)
    }

    /// Some region's newest result was not ok, or older than `since`: nobody can say that all is well.
    pub fn is_in_doubt(&self, monitor: &Monitor, since: Timestamp) -> bool {
        let doubtful = |region: &Region| {
            self.regions.get(region).is_none_or(|state| {
                state.heard().is_none_or(|heard| heard < since)
                    || state.is_in_doubt(&monitor.alert, monitor.interval)
            })
        };
        // A heartbeat that is not late is well until it says otherwise.
        monitor.spec.heartbeat().is_none() && monitor.regions.iter().any(doubtful)
    }

    /// By the monitor's order of regions.
    pub fn regions(&self, monitor: &Monitor, now: Timestamp) -> Vec<RegionView> {
        let views = monitor.regions.iter().map(|region| RegionView {
            region: region.clone(),
            verdict: self.verdict(monitor, region),
            heard: self.heard(region),
            is_fresh: self.is_fresh(monitor, region, now),
        });
        views.collect()
    }

    /// Why an incident is to be open now.
    fn cause(&self, monitor: &Monitor, now: Timestamp) -> Option<IncidentCause> {
        let regions = monitor.regions.iter();
        let fresh = regions.filter(|region| self.is_fresh(monitor, region, now));
        let verdicts: Vec<Verdict> = fresh.map(|region| self.verdict(monitor, region)).collect();
        if verdicts.is_empty() {
            return Some(IncidentCause::Unknown);
        }
        let needed = needed(monitor.alert.quorum, verdicts.len());
        let agree = |at_least: Verdict| {
            let agreeing = verdicts.iter().filter(|verdict| **verdict >= at_least);
            agreeing.count() >= needed
        };
        if agree(Verdict::Down) {
            Some(IncidentCause::Down)
        } else if agree(Verdict::Degraded) {
            Some(IncidentCause::Degraded)
        } else {
            None
        }
    }

    fn verdict(&self, monitor: &Monitor, region: &Region) -> Verdict {
        let state = self.regions.get(region);
        state.map_or(Verdict::Up, |state| {
            state.verdict(&monitor.alert, rhythm(monitor))
        })
    }

    /// When a region was heard of. One that is waited for counts as what it was, until it was waited for long enough.
    fn heard(&self, region: &Region) -> Timestamp {
        let heard = self.regions.get(region).and_then(RegionState::heard);
        let waited_since = match &self.incident {
            Some(incident) if incident.cause == IncidentCause::Unknown => Timestamp::UNIX_EPOCH,
            _ => self.watched_since,
        };
        heard.map_or(waited_since, |heard| heard.max(waited_since))
    }

    fn is_fresh(&self, monitor: &Monitor, region: &Region, now: Timestamp) -> bool {
        // Of one that is silent it is said that it is late.
        monitor.spec.heartbeat().is_some() || now.since(self.heard(region)) <= patience(monitor)
    }

    fn open(&mut self, monitor: &Monitor, cause: IncidentCause, now: Timestamp) -> Transition {
        self.opened.push(now);
        let newest = self.regions.values().filter_map(RegionState::heard).max();
        let slot = newest.unwrap_or(now).as_micros();
        let name = format!("{}/{}/{slot}/{cause:?}", monitor.workspace, monitor.id);
        let incident = OpenIncident {
            flapping: self.opened.len() >= FLAPS,
            ..OpenIncident::new(&name, cause, now)
        };
        self.incident = Some(incident.clone());
        Transition::Opened(incident)
    }

    fn go_on(&mut self, mut incident: OpenIncident, cause: IncidentCause) -> Option<Transition> {
        incident.calm_since = None;
        let changed = incident.cause != cause;
        incident.cause = cause;
        self.incident = Some(incident.clone());
        changed.then_some(Transition::Changed(incident))
    }

    fn end(
        &mut self,
        mut incident: OpenIncident,
        interval: Duration,
        now: Timestamp,
    ) -> Option<Transition> {
        if incident.flapping {
            let calm_since = *incident.calm_since.get_or_insert(now);
            if now.since(calm_since) < interval * CALM {
                self.incident = Some(incident);
                return None;
            }
        }
        Some(Transition::Resolved(incident))
    }
}

/// In which results come one after the other; zero for heartbeats, which come when they come: nothing is missing between
/// two of them, and they do not flap.
fn rhythm(monitor: &Monitor) -> Duration {
    match monitor.spec.heartbeat() {
        Some(_) => Duration::ZERO,
        None => monitor.interval,
    }
}

/// A result comes at the end of its slot's interval at the latest.
pub(crate) fn patience(monitor: &Monitor) -> Duration {
    monitor.interval * (FRESH + 1)
}

/// Of so many regions, how many have to agree.
fn needed(quorum: Quorum, regions: usize) -> usize {
    let needed = match quorum {
        Quorum::Any => 1,
        Quorum::Majority => regions / 2 + 1,
        Quorum::All => regions,
        Quorum::Count(count) => usize::from(count).min(regions),
        Quorum::Percent(percent) => (regions * usize::from(percent)).div_ceil(100),
    };
    needed.max(1)
}

#[cfg(test)]
mod tests;
