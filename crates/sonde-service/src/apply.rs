//! Monitoring as code: a file's monitors against those of the workspace, shown and then done.

use std::collections::HashMap;

use serde_json::{Map, Value};
use sonde_core::{Monitor, MonitorId, Scope};
use sonde_store::{Change, Expected, Put, Remove, ResourceKind, Stored};

use crate::access::{Access, Permit};
use crate::plan::{Action, Plan, plan};
use crate::{FieldProblem, Result, ServiceError, monitors};

impl Access {
    /// What applying would change.
    pub async fn plan(&self, wanted: Map<String, Value>, prune: bool) -> Result<Plan> {
        let permit = self.whole(Scope::MonitorsRead)?;
        let (plan, ..) = self.planned(permit, wanted, prune).await?;
        Ok(plan)
    }

    /// All of it or nothing. With a plan's fingerprint, only what that plan showed.
    pub async fn apply(
        &self,
        wanted: Map<String, Value>,
        prune: bool,
        fingerprint: Option<&str>,
    ) -> Result<Plan> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        let (plan, stored, puts) = self.planned(permit, wanted, prune).await?;
        if fingerprint.is_some_and(|shown| shown != plan.fingerprint()) {
            return Err(ServiceError::PlanChanged);
        }
        if plan.changes.is_empty() {
            return Ok(plan);
        }
        let change = change(permit, &plan, &stored, puts);
        permit.commit(change).await.map_err(|error| match error {
            ServiceError::Changed => ServiceError::PlanChanged,
            other => other,
        })?;
        Ok(plan)
    }

    async fn planned(
        &self,
        permit: Permit<'_>,
        wanted: Map<String, Value>,
        prune: bool,
    ) -> Result<(Plan, Vec<Stored<Monitor>>, Vec<Monitor>)> {
        let wanted = self.read_monitors(permit, wanted).await?;
        let found = permit.store().monitors(permit.workspace()).await?;
        monitors::log_unreadable(&found.unreadable);
        let stored = found.monitors;
        let (plan, puts) = plan(&stored, &wanted, prune).map_err(|problems| {
            let problems = problems.into_iter();
            let problems = problems.map(|it| FieldProblem::new(it.path, it.message));
            ServiceError::Invalid(problems.collect())
        })?;
        let changed: Vec<&Monitor> = puts.iter().collect();
        self.refuse_private_targets(&changed, "monitors").await?;
        Ok((plan, stored, puts))
    }
}

/// Nothing that somebody else changed since it was read.
fn change(
    permit: Permit<'_>,
    plan: &Plan,
    stored: &[Stored<Monitor>],
    puts: Vec<Monitor>,
) -> Change {
    let versions = stored.iter().map(|it| (&it.value.id, it.meta.version));
    let versions: HashMap<&MonitorId, u64> = versions.collect();
    let version = |id: &MonitorId| {
        let found = versions.get(id).copied();
        found.map_or(Expected::Nothing, Expected::Version)
    };
    let mut change = permit.change();
    change.puts = puts
        .into_iter()
        .map(|monitor| {
            let expected = version(&monitor.id);
            Put::monitor(monitor).expecting(expected)
        })
        .collect();
    let removed = plan.changes.iter().filter(|it| it.action == Action::Remove);
    change.removes = removed
        .map(|planned| Remove {
            kind: ResourceKind::Monitor,
            id: planned.id.to_string(),
            expected: version(&planned.id),
        })
        .collect();
    change
}
