//! What alerting keeps: how far each monitor's decision has come, incidents, and the notices that are still to be told.
//!
//! A decision, its incident and its notices are one write, which fails whole when somebody else decided meanwhile.

use async_trait::async_trait;
use serde::Serialize;
use sonde_core::{IncidentCause, IncidentStatus, MonitorId, Timestamp, WorkspaceId};
use uuid::Uuid;

use crate::{Resource, Result, Screenshot, Shot, WantedScreenshot};

/// How far a decision has come, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAlert {
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    /// From 1; one more with every write.
    pub version: u64,
    /// JSON.
    pub body: String,
}

/// A report, as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    pub workspace: WorkspaceId,
    pub id: String,
    /// JSON.
    pub body: String,
    pub updated_at: Timestamp,
}

/// What is decided at once, about any number of monitors.
#[derive(Debug, Clone, Default)]
pub struct AlertChange {
    pub states: Vec<AlertState>,
    pub incidents: Vec<IncidentChange>,
    pub notices: Vec<NewNotice>,
}

impl AlertChange {
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.incidents.is_empty() && self.notices.is_empty()
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct AlertState {
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    /// In which it was decided.
    pub term: u64,
    /// The version that it follows; zero for none.
    pub expected: u64,
    /// JSON; none when there is nothing to keep.
    pub body: Option<String>,
}

/// What became of an incident.
#[derive(Debug, Clone, Serialize)]
pub struct IncidentChange {
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    pub event: IncidentEventKind,
    #[serde(rename = "at_us", serialize_with = "micros")]
    pub at: Timestamp,
    pub cause: IncidentCause,
    pub flapping: bool,
    /// The monitor that this one depends on and that is down too.
    pub caused_by: Option<MonitorId>,
    /// JSON: what people are shown of it.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentEventKind {
    Opened,
    Changed,
    Acknowledged,
    Commented,
    Resolved,
}

/// What one channel is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewNotice {
    /// Of one that is there already nothing changes.
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub incident: Uuid,
    pub channel: String,
    /// JSON.
    pub body: String,
    #[serde(rename = "due_us", serialize_with = "micros")]
    pub due: Timestamp,
    /// Only where the channel was told of the incident, or is being told.
    pub follows: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn micros<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.as_micros())
}

/// An incident, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub id: Uuid,
    pub monitor: MonitorId,
    pub status: IncidentStatus,
    pub cause: IncidentCause,
    pub flapping: bool,
    pub opened_at: Timestamp,
    pub acknowledged_by: Option<String>,
    pub resolved_at: Option<Timestamp>,
    pub caused_by: Option<MonitorId>,
    /// JSON.
    pub detail: String,
}

/// Which incidents, the newest first.
#[derive(Debug, Clone, Default)]
pub struct IncidentQuery {
    pub monitor: Option<MonitorId>,
    pub status: Option<IncidentStatus>,
    /// Those that went on between the two.
    pub during: Option<(Timestamp, Timestamp)>,
    /// Those that were opened before this one.
    pub before: Option<(Timestamp, Uuid)>,
    pub limit: u32,
}

/// A part of an incident's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentEvent {
    pub at: Timestamp,
    pub kind: IncidentEventKind,
    /// Who did it, where that was a person.
    pub by: Option<String>,
    pub text: Option<String>,
}

/// What a person does to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Annotation {
    /// With what is told of it, to channels that were told of the incident.
    Acknowledge(Vec<NewNotice>),
    Comment(String),
}

/// An incident that a person ends.
#[derive(Debug, Clone)]
pub struct Resolution {
    pub id: Uuid,
    pub by: String,
    pub at: Timestamp,
    /// For who was told of it.
    pub notices: Vec<NewNotice>,
}

/// A notice that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueNotice {
    pub id: Uuid,
    pub workspace: WorkspaceId,
    pub incident: Uuid,
    pub channel: String,
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
}

/// What came of a try to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Sent,
    /// It is to be tried again.
    Again {
        due: Timestamp,
        error: String,
    },
    /// It never will be.
    Failed {
        error: String,
    },
}

/// What was told, for the log of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    pub id: Uuid,
    pub incident: Uuid,
    pub channel: String,
    /// `waiting`, `sent`, `failed` or `dropped`.
    pub state: String,
    pub attempts: u32,
    pub due: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub error: Option<String>,
}

#[async_trait]
pub trait AlertStore: Send + Sync {
    /// The channels of all workspaces: by workspace, id and body, without secrets.
    async fn channels(&self) -> Result<Vec<(WorkspaceId, Resource)>>;

    /// The body of a channel, with its secrets.
    async fn channel(&self, workspace: &WorkspaceId, id: &str) -> Result<Option<String>>;

    /// What is kept of a heartbeat's address, with its token.
    async fn heartbeat(
        &self,
        workspace: &WorkspaceId,
        monitor: &MonitorId,
    ) -> Result<Option<String>>;

    /// Of all workspaces.
    async fn reports(&self) -> Result<Vec<KeptReport>>;

    /// Of all workspaces.
    async fn alert_states(&self) -> Result<Vec<KeptAlert>>;

    /// Begins a term, and returns it: nothing that is decided in an earlier one is written any more.
    async fn take_over(&self) -> Result<u64>;

    /// Fails with a conflict, and changes nothing, when any state is of an earlier term, or has another version than is
    /// expected.
    async fn decide(&self, change: AlertChange) -> Result<()>;

    async fn incidents(
        &self,
        workspace: &WorkspaceId,
        query: &IncidentQuery,
    ) -> Result<Vec<Incident>>;

    async fn incident(&self, workspace: &WorkspaceId, id: Uuid) -> Result<Option<Incident>>;

    /// Of one incident, as it happened.
    async fn incident_events(
        &self,
        workspace: &WorkspaceId,
        id: Uuid,
    ) -> Result<Vec<IncidentEvent>>;

    /// What acknowledges an open incident stops what was still to be told of it, and is told, once and in the same write.
    /// False when there is nothing to do it to.
    async fn annotate(
        &self,
        workspace: &WorkspaceId,
        id: Uuid,
        annotation: Annotation,
        by: &str,
        at: Timestamp,
    ) -> Result<bool>;

    /// Ends an incident whatever its target does. What is kept of the monitor loses it and its rows and gets `"since": at`, one version on: whoever
    /// decides begins anew, with results of later slots. False when there is none to end.
    async fn resolve(&self, workspace: &WorkspaceId, resolution: Resolution) -> Result<bool>;

    /// The oldest first, of one channel only so many, and of one incident to one channel one at a time.
    async fn notices_due(&self, at: Timestamp, most_of_one: u32) -> Result<Vec<DueNotice>>;

    /// `reminder` follows what was sent, for as long as the incident is open and nobody has acknowledged it.
    async fn told(
        &self,
        id: Uuid,
        at: Timestamp,
        told: Told,
        reminder: Option<NewNotice>,
    ) -> Result<()>;

    /// Forgets a few of the notices that were settled before `told`, and of the events of incidents that were resolved
    /// before `resolved`; never what an open incident's end is told by. How many there were of both: `most` of each, or
    /// fewer when there are no more.
    async fn forget(&self, told: Timestamp, resolved: Timestamp, most: u32) -> Result<u64>;

    /// Of one channel, the newest first.
    async fn tellings_to(
        &self,
        workspace: &WorkspaceId,
        channel: &str,
        limit: u32,
    ) -> Result<Vec<Telling>>;

    /// Of one incident.
    async fn tellings(&self, workspace: &WorkspaceId, incident: Uuid) -> Result<Vec<Telling>>;

    /// Of all workspaces, the newest first: http monitors that are down by themselves since `since` or later, that have no
    /// picture, and that nobody is taking one of at `at`.
    async fn screenshots_wanted(
        &self,
        since: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<WantedScreenshot>>;

    /// Makes it the caller's until then. False when somebody else has had it since it was read.
    async fn claim_screenshot(&self, wanted: &WantedScreenshot, until: Timestamp) -> Result<bool>;

    /// Says what came of a claim. False when the claim ran out and somebody else has it.
    async fn settle_screenshot(
        &self,
        claimed: &WantedScreenshot,
        at: Timestamp,
        shot: Shot,
    ) -> Result<bool>;

    /// None when nobody has tried to take one.
    async fn screenshot(
        &self,
        workspace: &WorkspaceId,
        incident: Uuid,
    ) -> Result<Option<Screenshot>>;

    /// Those from before `before`, and those whose incident is gone.
    async fn screenshots_to_forget(
        &self,
        before: Timestamp,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<(WorkspaceId, Uuid)>>;

    async fn forget_screenshot(&self, incident: Uuid) -> Result<()>;
}
