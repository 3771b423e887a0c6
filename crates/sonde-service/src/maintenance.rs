//! Maintenance windows of a workspace. What the dispatcher and the alerter make of them is decided in `sonde-core`.

use std::collections::HashSet;
use std::time::Duration;

use sonde_core::{
    InvalidMaintenance, MaintainedMonitors, Maintenance, MaintenanceBody, MaintenanceWindow,
    Monitor, MonitorId, Scope, Timestamp,
};
use sonde_results::TimeRange;
use sonde_store::{Expected, ResourceKind};
use uuid::Uuid;

use crate::access::{Access, Permit};
use crate::entries::{Body, Entry, Page, PageQuery, put, refuse_managed};
use crate::error::{noted, refuse_any};
use crate::{FieldProblem, Result, ServiceError};

/// A dispatcher keeps the windows of all of them in memory.
pub(crate) const MOST: u32 = 1000;
/// How far ahead people are shown what comes.
const SHOWN_AHEAD: Duration = Duration::from_hours(366 * 24);
const SHOWN: usize = 10;

impl Body for Maintenance {
    const KIND: ResourceKind = ResourceKind::Maintenance;
    const WHAT: &'static str = "maintenance";
}

/// Maintenance, and what it means from now on.
#[derive(Debug, Clone)]
pub struct MaintenanceView {
    pub maintenance: Entry<Maintenance>,
    /// A window is going on.
    pub is_active: bool,
    /// What is going on or comes within a year, at most ten of it.
    pub next: Vec<MaintenanceWindow>,
}

impl Access {
    pub async fn maintenance_list(&self, query: &PageQuery) -> Result<Page<MaintenanceView>> {
        let page = self.whole(Scope::MonitorsRead)?.entries(query).await?;
        let now = self.service.now();
        let items = page.items.into_iter().map(|entry| view(entry, now));
        Ok(Page {
            items: items.collect(),
            next: page.next,
        })
    }

    pub async fn maintenance(&self, id: &str) -> Result<MaintenanceView> {
        let entry = self.whole(Scope::MonitorsRead)?.entry(id).await?;
        Ok(view(entry, self.service.now()))
    }

    /// What is maintained of a monitor in a range, with the titles.
    pub async fn maintained(
        &self,
        monitor: &Monitor,
        range: TimeRange,
    ) -> Result<Vec<(String, MaintenanceWindow)>> {
        let permit = self.on(Scope::MonitorsRead, &monitor.id)?;
        let all = PageQuery {
            after: None,
            limit: MOST,
        };
        let all = permit.entries::<Maintenance>(&all).await?.items.into_iter();
        let these = all.map(|entry| entry.value);
        let these = these.filter(|it| it.monitors().include(&monitor.id, &monitor.tags));
        let windows = these.flat_map(|maintenance| {
            let windows: Vec<_> = maintenance.windows(range.from, range.to).collect();
            let titled = |window| (maintenance.body().title.clone(), window);
            windows.into_iter().map(titled).collect::<Vec<_>>()
        });
        Ok(windows.collect())
    }

    /// Whether maintenance would be taken. Nothing is written.
    pub async fn check_maintenance(&self, body: MaintenanceBody) -> Result<()> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        validated(permit, body).await.map(drop)
    }

    pub async fn create_maintenance(&self, body: MaintenanceBody) -> Result<MaintenanceView> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        let maintenance = validated(permit, body).await?;
        let why = format!(
            "a workspace has {MOST} maintenance windows at most: remove some that are over"
        );
        permit.refuse_more_than::<Maintenance>(MOST, &why).await?;
        let id = Uuid::new_v4().to_string();
        self.put_maintenance(permit, &id, &maintenance, Expected::Nothing)
            .await
    }

    /// Changes what is there, and makes nothing that is not.
    pub async fn change_maintenance(
        &self,
        id: &str,
        body: MaintenanceBody,
        expected: Expected,
    ) -> Result<MaintenanceView> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        let maintenance = validated(permit, body).await?;
        let expected = expect_there(permit, id, expected).await?;
        self.put_maintenance(permit, id, &maintenance, expected)
            .await
    }

    pub async fn remove_maintenance(&self, id: &str, expected: Expected) -> Result<()> {
        let permit = self.whole(Scope::MonitorsWrite)?;
        let expected = expect_there(permit, id, expected).await?;
        permit.remove::<Maintenance>(id, expected).await
    }

    async fn put_maintenance(
        &self,
        permit: Permit<'_>,
        id: &str,
        maintenance: &Maintenance,
        expected: Expected,
    ) -> Result<MaintenanceView> {
        let mut change = permit.change();
        change.puts.push(put(id, maintenance).expecting(expected));
        permit.commit(change).await?;
        Ok(view(permit.entry(id).await?, self.service.now()))
    }
}

/// Also what nobody can read is changed and removed.
async fn expect_there(permit: Permit<'_>, id: &str, expected: Expected) -> Result<Expected> {
    let kind = ResourceKind::Maintenance;
    let found = permit
        .store()
        .resource(permit.workspace(), kind, id)
        .await?;
    let found = found.ok_or_else(|| crate::entries::not_found::<Maintenance>(id))?;
    refuse_managed(id, &found.meta)?;
    Ok(match expected {
        Expected::Anything => Expected::Version(found.meta.version),
        other => other,
    })
}

async fn validated(permit: Permit<'_>, body: MaintenanceBody) -> Result<Maintenance> {
    let monitors = body.monitors.clone();
    let (maintenance, mut problems) = match Maintenance::new(body) {
        Ok(maintenance) => (Some(maintenance), Vec::new()),
        Err(InvalidMaintenance(problems)) => {
            let problems = problems.into_iter();
            let problems = problems.map(|it| FieldProblem::new(it.path, it.message));
            (None, problems.collect::<Vec<_>>())
        }
    };
    // Too many are not even looked for.
    let are_wrong = problems.iter().any(|it| it.path.starts_with("monitors"));
    if let MaintainedMonitors::Ids(ids) = &monitors
        && !are_wrong
    {
        noted(refuse_unknown(permit, ids).await, &mut problems)?;
    }
    match maintenance {
        Some(maintenance) if problems.is_empty() => Ok(maintenance),
        _ => Err(ServiceError::Invalid(problems)),
    }
}

/// A typing error would be found when somebody is woken up.
async fn refuse_unknown(permit: Permit<'_>, ids: &[MonitorId]) -> Result<()> {
    let found = permit.store().monitors_named(permit.workspace(), ids);
    let found = found.await?.monitors.into_iter();
    let known: HashSet<MonitorId> = found.map(|stored| stored.value.id).collect();
    let unknown = ids.iter().enumerate().filter(|(_, id)| !known.contains(id));
    let problems = unknown.map(|(index, id)| {
        let path = format!("monitors.ids[{index}]");
        FieldProblem::new(path, format!("there is no monitor `{id}`"))
    });
    refuse_any(problems.collect())
}

fn view(maintenance: Entry<Maintenance>, now: Timestamp) -> MaintenanceView {
    let windows = maintenance.value.windows(now, now + SHOWN_AHEAD);
    let mut next: Vec<_> = windows.take(SHOWN).collect();
    next.sort();
    MaintenanceView {
        is_active: next.iter().any(|window| window.contains(now)),
        next,
        maintenance,
    }
}
