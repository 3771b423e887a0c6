//! One execution of a monitor in one region: its key, its id, and all that a checker needs to run it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Frequency, Monitor, MonitorId, QueueSettings, Region, RunId, Timestamp, WorkspaceId};

/// The namespace of check ids. Fixed for ever: changing it renames every check.
const NAMESPACE: Uuid = Uuid::from_u128(0x5e0f_a3a8_2c5e_5c0d_9d5c_7a40_50de_0001);

/// What identifies a row of results.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey {
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    pub region: Region,
    pub slot: Timestamp,
    pub run_id: RunId,
}

impl CheckKey {
    /// `UUIDv5` of `workspace/monitor/region/slot_us`, with `/run_id` for on-demand checks.
    pub fn check_id(&self) -> Uuid {
        let Self {
            workspace,
            monitor,
            region,
            slot,
            run_id,
        } = self;
        let mut name = format!("{workspace}/{monitor}/{region}/{}", slot.as_micros());
        if *run_id != RunId::SCHEDULED {
            name.push('/');
            name.push_str(&run_id.to_string());
        }
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }
}

/// Who asked for a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Schedule,
    OnDemand,
}

impl Trigger {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::OnDemand => "on_demand",
        }
    }
}

/// A check to be executed: what a task carries, so that a checker reads no database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub monitor: Arc<Monitor>,
    pub region: Region,
    pub slot: Timestamp,
    pub run_id: RunId,
    pub trigger: Trigger,
    pub frequency: Frequency,
    /// No attempt starts with less than a tenth of the timeout left before this, and none outlives it.
    pub deadline: Timestamp,
    /// When the task was handed to the queue.
    pub dispatched_at: Timestamp,
    #[serde(default)]
    pub in_maintenance: bool,
}

impl Check {
    /// A check that is asked for at `now`. No next slot bounds it: all attempts have their time.
    pub fn on_demand(
        monitor: Arc<Monitor>,
        region: Region,
        settings: &QueueSettings,
        run_id: RunId,
        now: Timestamp,
    ) -> Self {
        Self {
            region,
            slot: now,
            run_id,
            trigger: Trigger::OnDemand,
            frequency: settings.class_of(monitor.interval).name.clone(),
            deadline: now + monitor.longest_execution(),
            dispatched_at: now,
            in_maintenance: false,
            monitor,
        }
    }

    pub fn key(&self) -> CheckKey {
        CheckKey {
            workspace: self.monitor.workspace.clone(),
            monitor: self.monitor.id.clone(),
            region: self.region.clone(),
            slot: self.slot,
            run_id: self.run_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_check_never_changes_between_releases() {
        let mut key = CheckKey {
            workspace: WorkspaceId::local(),
            monitor: MonitorId::new("shop").unwrap(),
            region: Region::new("fra").unwrap(),
            slot: Timestamp::from_micros(1_763_640_000_000_000),
            run_id: RunId::SCHEDULED,
        };
        assert_eq!(
            key.check_id().to_string(),
            "90869d56-2633-5873-86dc-842ce768e01e"
        );
        key.run_id = RunId::from_u64(7);
        assert_eq!(
            key.check_id().to_string(),
            "58db3944-4087-51f2-9474-c336fee22287"
        );
    }
}
