//! What this machine watches: the monitors of its file, and those that came through the API; likewise their channels and
//! maintenance.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use sonde_config::Config;
use sonde_core::{Monitor, MonitorId, WorkspaceId};
use sonde_store::libsql::LibsqlStore;
use sonde_store::{
    Actor, ActorKind, AlertStore as _, Calendar, Change, ConfigStore, Expected, MaintenanceChange,
    Only, Put, Remove, ResourceKind, Result,
};

pub(super) type Monitors = Arc<[Arc<Monitor>]>;

/// Makes `config` all that a file keeps, and returns the monitors that there are then. What another file kept before is
/// gone.
pub(super) async fn save(
    store: &LibsqlStore,
    file: &str,
    config: &Config,
) -> anyhow::Result<Monitors> {
    let workspace = WorkspaceId::local();
    let actor = Actor {
        kind: ActorKind::File,
        id: file.to_owned(),
        name: file.to_owned(),
    };
    let mut change = Change::new(workspace.clone(), Some(actor));
    let before = store.monitors(&workspace).await?.monitors.into_iter();
    let of_other = before.filter(|it| it.meta.managed_by.as_deref().is_some_and(|it| it != file));
    let monitors = config.monitors.iter();
    let stay: HashSet<&MonitorId> = monitors.clone().map(|monitor| &monitor.id).collect();
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
        .map(|monitor| Put::monitor(monitor.clone()))
        .collect();
    put_channels(store, config, &mut change).await?;
    put_maintenance(store, config, &mut change).await?;
    for put in &mut change.puts {
        put.managed_by = Some(file.to_owned());
    }
    store.change(change).await?;
    Ok(load(store).await?)
}

/// Masks stand for secrets that were kept before.
async fn put_channels(
    store: &LibsqlStore,
    config: &Config,
    change: &mut Change,
) -> anyhow::Result<()> {
    let kind = ResourceKind::Channel;
    let channels = config.channels.as_deref().unwrap_or_default();
    for (id, channel) in channels {
        let stored = store.channel(&change.workspace, id).await?;
        let stored = stored.and_then(|body| serde_json::from_str(&body).ok());
        let mut channel = channel.clone();
        let unmasked = channel.unmask(stored.as_ref());
        unmasked.with_context(|| format!("channels.{id}"))?;
        let mut put = Put::other(kind, id, json(&channel.masked())?);
        put.secrets = Some(json(&channel)?);
        change.puts.push(put);
    }
    let ids = channels.iter().map(|(id, _)| id.as_str());
    remove_others(store, kind, &ids.collect(), change).await
}

async fn put_maintenance(
    store: &LibsqlStore,
    config: &Config,
    change: &mut Change,
) -> anyhow::Result<()> {
    let kind = ResourceKind::Maintenance;
    let maintenance = config.maintenance.as_deref().unwrap_or_default();
    for (id, one) in maintenance {
        change.puts.push(Put::other(kind, id, json(one)?));
    }
    let ids = maintenance.iter().map(|(id, _)| id.as_str());
    remove_others(store, kind, &ids.collect(), change).await
}

/// What this or another file kept before, and this one does not say.
async fn remove_others(
    store: &LibsqlStore,
    kind: ResourceKind,
    stay: &HashSet<&str>,
    change: &mut Change,
) -> anyhow::Result<()> {
    let found = store.resources(&change.workspace, kind, "", u32::MAX);
    let kept = found.await?.into_iter();
    let kept = kept.filter(|it| it.meta.managed_by.is_some());
    let gone = kept.filter(|it| !stay.contains(it.value.id.as_str()));
    change.removes.extend(gone.map(|stored| Remove {
        kind,
        id: stored.value.id,
        expected: Expected::Anything,
    }));
    Ok(())
}

fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_json::to_string(value).context("it has only string keys")
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
