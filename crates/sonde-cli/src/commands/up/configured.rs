//! What this machine watches: the monitors of its file, and those that came through the API; and their maintenance.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sonde_core::{Monitor, MonitorId, WorkspaceId};
use sonde_store::{
    Actor, ActorKind, Calendar, Change, ConfigStore, Expected, MaintenanceChange, Only, Put,
    Remove, ResourceKind, Result,
};

pub(super) type Monitors = Arc<[Arc<Monitor>]>;

/// Makes `monitors` all that a file keeps, and returns what there is then. What another file kept before is gone.
pub(super) async fn save(
    store: &dyn ConfigStore,
    file: &str,
    monitors: &[Arc<Monitor>],
) -> Result<Monitors> {
    let workspace = WorkspaceId::local();
    let actor = Actor {
        kind: ActorKind::File,
        id: file.to_owned(),
        name: file.to_owned(),
    };
    let mut change = Change::new(workspace.clone(), Some(actor));
    let before = store.monitors(&workspace).await?.monitors.into_iter();
    let of_other = before.filter(|it| it.meta.managed_by.as_deref().is_some_and(|it| it != file));
    let stay: HashSet<&MonitorId> = monitors.iter().map(|monitor| &monitor.id).collect();
    change.removes = of_other
        .filter(|stored| !stay.contains(&stored.value.id))
        .map(|stored| Remove {
            kind: ResourceKind::Monitor,
            id: stored.value.id.to_string(),
            expected: Expected::Anything,
        })
        .collect();
    change.only = Some(Only::TheseOf(file.to_owned()));
    change.puts = monitors
        .iter()
        .map(|monitor| Put {
            managed_by: Some(file.to_owned()),
            ..Put::monitor((**monitor).clone())
        })
        .collect();
    store.change(change).await?;
    load(store).await
}

/// Everything that is to be watched.
pub(super) async fn load(store: &dyn ConfigStore) -> Result<Monitors> {
    let found = store.monitors(&WorkspaceId::local()).await?;
    for error in &found.unreadable {
        let error = sonde_core::chain(error);
        tracing::error!(error, "a stored monitor is unreadable and not watched");
    }
    Ok(found.into_values().into_iter().map(Arc::new).collect())
}

/// Makes the calendar as the store has it.
pub(super) async fn follow_maintenance(
    store: &dyn ConfigStore,
    calendar: &Mutex<Calendar>,
) -> Result<()> {
    let workspace = WorkspaceId::local();
    let kind = ResourceKind::Maintenance;
    let found = store.resources(&workspace, kind, "", u32::MAX).await?;
    let all = found.into_iter().map(|stored| MaintenanceChange {
        workspace: workspace.clone(),
        id: stored.value.id,
        body: Some(stored.value.body),
    });
    let mut calendar = calendar.lock().unwrap_or_else(PoisonError::into_inner);
    calendar.apply(all.collect(), true);
    Ok(())
}
