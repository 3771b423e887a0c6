//! What API, web and CLI share: who may do what, monitors and their state, checks on demand, accounts, the audit log.
//!
//! It decides nothing about HTTP or HTML, and knows no backend: only the traits. What belongs to a workspace is reached
//! through an [`Access`] alone.

mod access;
mod accounts;
mod apply;
mod audit;
mod authenticate;
mod certificates;
mod channels;
mod entries;
mod error;
pub mod fleet;
mod guesses;
mod heartbeats;
mod history;
mod incidents;
mod keys;
mod maintenance;
mod members;
mod monitors;
mod names;
mod oidc;
mod outcomes;
mod password;
mod plan;
mod reports;
mod requests;
mod runs;
mod token;
mod usage;
mod view;

use std::sync::Arc;

use sonde_core::{Clock, QueueSettings, Timestamp};
use sonde_probe::Targets;
use sonde_queue::{Announcement, Bus, Queue, SealingKeys, Topic};
use sonde_results::Results;
use sonde_store::{AccountStore, AlertStore, ConfigStore, Pictures};
use url::Url;

pub use access::{Access, Grant, Principal};
pub use accounts::{Newcomer, SignedIn};
pub use apply::WantedFile;
pub use authenticate::{Peer, Presented, Stranger, Visit};
pub use certificates::{CertificateHistory, Renewal, Served, days_left};
pub use entries::{Entry, Page, PageQuery};
pub use error::{FieldProblem, Result, ServiceError};
pub use heartbeats::{Ping, Told};
pub use history::{Comparison, usual_step};
pub use incidents::{IncidentView, incident_cursor};
pub use keys::{ApiKey, KeyView, NewKey};
pub use maintenance::MaintenanceView;
pub use members::{Invitation, LimitChange, Member, MemberChange};
pub use monitors::masked_config;
pub use oidc::{Arrival, Departure, OidcProvider};
pub use outcomes::{Event, EventId, Following};
pub use plan::{Action, FieldChange, Plan, PlanProblem, Planned};
pub use requests::fingerprint;
pub use runs::Run;
pub use sonde_store::{Claim, Meta};
pub use token::Token;
pub use usage::{DayUsage, KindUsage, ResourceUsage, UsageReport};
pub use view::{MonitorView, State};

/// What a service is made of.
pub struct Parts {
    pub store: Arc<dyn ConfigStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub alerts: Arc<dyn AlertStore>,
    pub pictures: Pictures,
    pub results: Arc<dyn Results>,
    pub queue: Arc<dyn Queue>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<dyn Clock>,
    pub queues: QueueSettings,
    /// Of the results.
    pub partitions: u16,
    pub task_keys: SealingKeys,
    /// How monitors are read that come over the network.
    pub reading: sonde_config::Options,
    pub targets: Targets,
    /// Nobody has to sign in until somebody has an account: one machine, which others cannot reach.
    pub open_until_set_up: bool,
    /// Whom people can sign in with beside their passwords.
    pub oidc: Option<OidcProvider>,
    /// Where people look at incidents, if anywhere.
    pub public_url: Option<Url>,
}

/// All workspaces. What is asked of one goes through [`Service::authenticate`].
#[derive(Clone)]
pub struct Service {
    parts: Arc<Parts>,
    guesses: Arc<guesses::Guesses>,
    outcomes: Arc<outcomes::Outcomes>,
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        Self {
            guesses: Arc::default(),
            outcomes: Arc::new(outcomes::Outcomes::new(&*parts.clock)),
            parts: Arc::new(parts),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Whether monitors and channels may run programs.
    pub fn allows_exec(&self) -> bool {
        self.parts.reading.allow_exec
    }

    /// Where people and jobs find `path`; only the path where nobody said where this is reached.
    pub fn link(&self, path: &str) -> String {
        let base = self.parts.public_url.as_ref().map(Url::as_str);
        let base = base.unwrap_or_default().trim_end_matches('/');
        format!("{base}{path}")
    }

    /// Since when what is read of the configuration may be old, because its primary is away.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.parts.store.stale_since()
    }

    /// It is changed all the same when this fails: who is not told finds out by looking.
    async fn tell_of_change(&self) {
        let announcement = Announcement {
            topic: Topic::Config,
            payload: Vec::new(),
        };
        if let Err(error) = self.parts.bus.announce(announcement).await {
            let error = sonde_core::chain(&error);
            tracing::warn!(error, "cannot announce a change of the configuration");
        }
    }
}
