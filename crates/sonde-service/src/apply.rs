//! Monitoring as code: what a file says against what the workspace has, shown and then done.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use sonde_config::Named;
use sonde_core::{MaintainedMonitors, Maintenance, Monitor, Scope};
use sonde_notify::ChannelConfig;
use sonde_store::{Change, Expected, Put, Remove, ResourceKind, Stored};

use crate::access::{Access, Permit};
use crate::entries::{Body, Entry, decode};
use crate::plan::beside::{Part, Wanted, part};
use crate::plan::{Action, Plan, PlanProblem, plan};
use crate::{FieldProblem, Result, ServiceError, channels, maintenance, monitors};

/// What a workspace should have, each by id as in `sonde.yaml`.
#[derive(Debug, Clone, Default)]
pub struct WantedFile {
    pub monitors: Map<String, Value>,
    /// Nothing where the file says nothing of them: they stay as they are.
    pub channels: Option<Map<String, Value>>,
    /// Likewise.
    pub maintenance: Option<Map<String, Value>>,
    /// What is not named goes, of what the file says something of.
    pub prune: bool,
}

impl Access {
    /// What applying would change.
    pub async fn plan(&self, wanted: WantedFile) -> Result<Plan> {
        let permit = self.whole(Scope::MonitorsRead)?;
        if wanted.channels.is_some() {
            self.whole(Scope::AlertsRead)?;
        }
        let (plan, _) = self.planned(permit, wanted).await?;
        Ok(plan)
    }

    /// All of it or nothing. With a plan's fingerprint, only what that plan showed.
    pub async fn apply(&self, wanted: WantedFile, fingerprint: Option<&str>) -> Result<Plan> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        if wanted.channels.is_some() {
            self.whole(Scope::AlertsWrite)?;
        }
        let (plan, change) = self.planned(permit, wanted).await?;
        if fingerprint.is_some_and(|shown| shown != plan.fingerprint()) {
            return Err(ServiceError::PlanChanged);
        }
        if plan.changes.is_empty() {
            return Ok(plan);
        }
        permit.commit(change).await.map_err(|error| match error {
            ServiceError::Changed => ServiceError::PlanChanged,
            other => other,
        })?;
        Ok(plan)
    }

    async fn planned(&self, permit: Permit<'_>, wanted: WantedFile) -> Result<(Plan, Change)> {
        let prune = wanted.prune;
        let file = self.read_file(permit, wanted).await?;
        let wanted = file.monitors;
        let found = permit.store().monitors(permit.workspace()).await?;
        monitors::log_unreadable(&found.unreadable);
        let stored = found.monitors;
        let mut problems = Vec::new();
        let planned = or_noted(plan(&stored, &wanted, prune), &mut problems);
        let channels = match &file.channels {
            Some(wanted) => {
                let stored = self.stored_channels(permit, wanted).await?;
                problems.extend(too_many(&stored, wanted, prune, channels::MOST));
                or_noted(part(&stored, wanted, prune), &mut problems)
            }
            None => None,
        };
        if let (Some((plan, _)), Some(wanted)) = (&planned, &file.maintenance) {
            problems.extend(maintained_no_more(plan, wanted));
        }
        let maintenance = match &file.maintenance {
            Some(wanted) => {
                let stored = beside::<Maintenance>(permit).await?;
                problems.extend(too_many(&stored, wanted, prune, maintenance::MOST));
                or_noted(part(&stored, wanted, prune), &mut problems)
            }
            None => None,
        };
        let Some((mut plan, puts)) = planned.filter(|_| problems.is_empty()) else {
            let problems = problems.into_iter();
            let problems = problems.map(|it| FieldProblem::new(it.path, it.message));
            return Err(ServiceError::Invalid(problems.collect()));
        };
        let changed: Vec<&Monitor> = puts.iter().collect();
        self.refuse_private_targets(&changed, "monitors").await?;
        let mut change = change(permit, &plan, &stored, puts);
        for part in channels.into_iter().chain(maintenance) {
            plan = plan.with(&part);
            let Part { puts, removes, .. } = part;
            change.puts.extend(puts);
            change.removes.extend(removes);
        }
        Ok((plan, change))
    }

    /// Those that are wanted with their secrets, which show whether they change.
    async fn stored_channels(
        &self,
        permit: Permit<'_>,
        wanted: &Named<ChannelConfig>,
    ) -> Result<Vec<Entry<ChannelConfig>>> {
        let alerts = &self.service.parts.alerts;
        let named: HashSet<&str> = wanted.iter().map(|(id, _)| id.as_str()).collect();
        let mut found = beside::<ChannelConfig>(permit).await?;
        for entry in &mut found {
            if named.contains(entry.id.as_str())
                && let Some(body) = alerts.channel(permit.workspace(), &entry.id).await?
            {
                entry.value = decode(&entry.id, &body)?;
            }
        }
        Ok(found)
    }
}

async fn beside<T: Body>(permit: Permit<'_>) -> Result<Vec<Entry<T>>> {
    let query = crate::entries::PageQuery {
        after: None,
        limit: maintenance::MOST,
    };
    Ok(permit.entries(&query).await?.items)
}

fn too_many<T: Wanted>(
    stored: &[Entry<T>],
    wanted: &Named<T>,
    prune: bool,
    most: u32,
) -> Option<PlanProblem> {
    let stay = stored.iter();
    let stay = stay.filter(|entry| !prune || entry.meta.managed_by.is_some());
    let ids = stay.map(|entry| entry.id.as_str());
    let ids = ids.chain(wanted.iter().map(|(id, _)| id.as_str()));
    let count = ids.collect::<HashSet<_>>().len();
    let is_too_many = count > usize::try_from(most).unwrap_or(usize::MAX);
    is_too_many.then(|| PlanProblem {
        path: T::SECTION.to_owned(),
        message: format!("a workspace has {most} at most, and there would be {count}"),
    })
}

fn or_noted<T>(planned: Result<T, Vec<PlanProblem>>, problems: &mut Vec<PlanProblem>) -> Option<T> {
    planned.map_err(|found| problems.extend(found)).ok()
}

/// Maintenance of monitors that the same change removes.
fn maintained_no_more(plan: &Plan, wanted: &Named<Maintenance>) -> Vec<PlanProblem> {
    let removed = plan.changes.iter().filter(|it| it.action == Action::Remove);
    let removed: HashSet<&str> = removed.map(|it| it.id.as_str()).collect();
    let mut problems = Vec::new();
    for (id, maintenance) in wanted {
        let MaintainedMonitors::Ids(ids) = maintenance.monitors() else {
            continue;
        };
        for (n, monitor) in ids.iter().enumerate() {
            if removed.contains(monitor.as_str()) {
                problems.push(PlanProblem {
                    path: format!("maintenance.{id}.monitors.ids[{n}]"),
                    message: format!("`{monitor}` would be removed"),
                });
            }
        }
    }
    problems
}

/// Nothing that somebody else changed since it was read.
fn change(
    permit: Permit<'_>,
    plan: &Plan,
    stored: &[Stored<Monitor>],
    puts: Vec<Monitor>,
) -> Change {
    let versions = stored.iter();
    let versions = versions.map(|it| (it.value.id.as_str(), it.meta.version));
    let versions: HashMap<&str, u64> = versions.collect();
    let version = |id: &str| {
        let found = versions.get(id).copied();
        found.map_or(Expected::Nothing, Expected::Version)
    };
    let mut change = permit.change();
    change.puts = puts
        .into_iter()
        .map(|monitor| {
            let expected = version(monitor.id.as_str());
            Put::monitor(monitor).expecting(expected)
        })
        .collect();
    let removed = plan.changes.iter().filter(|it| it.action == Action::Remove);
    change.removes = removed
        .map(|planned| Remove {
            kind: ResourceKind::Monitor,
            id: planned.id.clone(),
            expected: version(&planned.id),
        })
        .collect();
    change
}
