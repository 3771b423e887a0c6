//! A decision in the making: what is to be kept, what is said of incidents, and to whom.

use sonde_core::Timestamp;
use sonde_notify::IncidentNotice;
use sonde_store::{AlertState, Calendar, IncidentChange, IncidentEventKind};

use super::{Decision, Gone, Key, Watched, key, places};
use crate::decide::{KeptState, OpenIncident, Transition};
use crate::notices;
use crate::routes::Routes;

/// A decision in the making.
pub(super) struct Draft<'a> {
    pub(super) decision: Decision,
    routes: &'a Routes,
    pub(super) calendar: &'a mut Calendar,
    term: u64,
    pub(super) now: Timestamp,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        routes: &'a Routes,
        calendar: &'a mut Calendar,
        term: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            decision: Decision::default(),
            routes,
            calendar,
            term,
            now,
        }
    }

    pub(super) fn states(&self) -> usize {
        self.decision.change.states.len()
    }

    pub(super) fn keep(&mut self, key: &Key, watched: &Watched) {
        let kept = watched.state.kept(&watched.monitor);
        let same = match (&kept, &watched.kept) {
            (None, None) => true,
            (Some(new), Some(old)) => new.says_the_same_as(old),
            _ => false,
        };
        if !same {
            let body = kept.as_ref().map(KeptState::to_json);
            self.put(key, watched.version, body);
            self.decision.kept.push((key.clone(), kept));
        }
    }

    pub(super) fn place(&mut self, change: places::Change) {
        let places::Change {
            key,
            version,
            kept,
            transition,
        } = change;
        self.put(&key, version, kept.as_ref().map(KeptState::to_json));
        self.decision.kept.push((key.clone(), kept));
        let (event, incident) = match transition {
            Transition::Opened(incident) => (IncidentEventKind::Opened, incident),
            Transition::Changed(incident) => (IncidentEventKind::Changed, incident),
            Transition::Resolved(incident) => (IncidentEventKind::Resolved, incident),
        };
        let described = places::describe(&key.1, &incident);
        self.say(&key, event, described, false);
    }

    pub(super) fn put(&mut self, key: &Key, expected: u64, body: Option<String>) {
        self.decision.change.states.push(AlertState {
            workspace: key.0.clone(),
            monitor: key.1.clone(),
            term: self.term,
            expected,
            body,
        });
    }

    pub(super) fn end(&mut self, gone: Gone) {
        if gone.version > 0 {
            self.put(&gone.key, gone.version, None);
        }
        for incident in gone.open {
            self.say(&gone.key, IncidentEventKind::Resolved, incident, false);
        }
    }

    /// What happened to an incident; people are told if it is not quiet.
    pub(super) fn record(
        &mut self,
        watched: &Watched,
        event: IncidentEventKind,
        incident: &OpenIncident,
    ) {
        let described = notices::describe(watched, incident, self.now);
        self.say(
            &key(&watched.monitor),
            event,
            described,
            incident.quiet.is_some(),
        );
    }

    pub(super) fn say(
        &mut self,
        key: &Key,
        event: IncidentEventKind,
        mut described: IncidentNotice,
        quiet: bool,
    ) {
        if event == IncidentEventKind::Resolved {
            described.resolved_at = Some(self.now);
        }
        self.decision.change.incidents.push(IncidentChange {
            id: described.id,
            workspace: key.0.clone(),
            monitor: key.1.clone(),
            event,
            at: self.now,
            cause: described.cause,
            flapping: described.flapping,
            caused_by: described.caused_by.clone(),
            detail: serde_json::to_string(&described).expect("it has only string keys"),
        });
        // Of what was quiet nobody was told: the store knows who was.
        if !quiet || event == IncidentEventKind::Resolved {
            let notices = notices::of(&key.0, event, &described, self.routes, self.now);
            self.decision.change.notices.extend(notices);
        }
    }

    /// Nothing happened but that people are told now.
    pub(super) fn tell(&mut self, watched: &Watched, incident: &OpenIncident) {
        let described = notices::describe(watched, incident, self.now);
        let (workspace, event) = (&watched.monitor.workspace, IncidentEventKind::Opened);
        let notices = notices::of(workspace, event, &described, self.routes, self.now);
        self.decision.change.notices.extend(notices);
    }
}
