//! Monitors: listed, made, changed and removed, from the same words as in `sonde.yaml`.

use std::collections::HashSet;

use serde_json::{Map, Value};
use sonde_config::{Config, Inputs, Origin};
use sonde_core::{Monitor, MonitorId, Scope};
use sonde_store::{Expected, Put, Remove, ResourceKind, Stored};

use crate::access::{Access, Permit};
use crate::apply::WantedFile;
use crate::entries::{Page, PageQuery, refuse_managed};
use crate::error::{noted, refuse_any, taken};
use crate::{FieldProblem, Result, ServiceError, heartbeats};

impl Access {
    /// One page, by id.
    pub async fn monitors(&self, query: &PageQuery) -> Result<Page<Stored<Monitor>>> {
        let permit = self.visible(Scope::MonitorsRead)?;
        let after = query.after.as_deref().unwrap_or_default();
        let found = match permit.only() {
            None => {
                let store = permit.store();
                store
                    .monitors_after(permit.workspace(), after, query.limit)
                    .await?
            }
            Some(only) => {
                let ids: Vec<MonitorId> = only.iter().cloned().collect();
                let store = permit.store();
                let mut found = store.monitors_named(permit.workspace(), &ids).await?;
                found
                    .monitors
                    .retain(|monitor| monitor.value.id.as_str() > after);
                found
            }
        };
        log_unreadable(&found.unreadable);
        Ok(Page {
            items: found.monitors,
            next: found.next,
        })
    }

    pub async fn monitor(&self, id: &MonitorId) -> Result<Stored<Monitor>> {
        let permit = self.on(Scope::MonitorsRead, id)?;
        stored(permit, id).await
    }

    /// `config` is what stands below the id in `sonde.yaml`.
    pub async fn create_monitor(
        &self,
        id: &MonitorId,
        config: Map<String, Value>,
    ) -> Result<Stored<Monitor>> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let monitor = self.sound(permit, id, config, None).await?;
        let put = Put::monitor(monitor).expecting(Expected::Nothing);
        let made = self.put_monitor(permit, put).await;
        made.map_err(|error| match error {
            ServiceError::Changed => ServiceError::Exists {
                what: "monitor",
                id: id.to_string(),
            },
            other => other,
        })?;
        stored(permit, id).await
    }

    /// Whether a monitor would be taken, a new one or as a change of what is there. Nothing is written.
    pub async fn check_monitor(
        &self,
        id: &MonitorId,
        config: Map<String, Value>,
        is_new: bool,
    ) -> Result<()> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let before = permit.store().monitor(permit.workspace(), id).await?;
        let mut problems = Vec::new();
        if is_new && before.is_some() {
            problems.push(taken("monitor", id.as_str()));
        }
        let before = before.filter(|_| !is_new).map(|before| before.value);
        let sound = self.sound(permit, id, config, before.as_ref()).await;
        noted(sound, &mut problems)?;
        refuse_any(problems)
    }

    /// Makes it as `config` says, be it there or not; true when it was not.
    pub async fn put_monitor_config(
        &self,
        id: &MonitorId,
        config: Map<String, Value>,
        expected: Expected,
    ) -> Result<(Stored<Monitor>, bool)> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let before = permit.store().monitor(permit.workspace(), id).await?;
        let is_new = before.is_none();
        self.change_monitor(permit, id, config, before, expected)
            .await?;
        Ok((stored(permit, id).await?, is_new))
    }

    /// Changes what `patch` names (RFC 7396: null takes a setting back to its default), and nothing else.
    pub async fn patch_monitor(
        &self,
        id: &MonitorId,
        patch: Map<String, Value>,
        expected: Expected,
    ) -> Result<Stored<Monitor>> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let before = stored(permit, id).await?;
        let config = patched(masked_config(&before.value), patch);
        self.change_monitor(permit, id, config, Some(before), expected)
            .await?;
        stored(permit, id).await
    }

    async fn change_monitor(
        &self,
        permit: Permit<'_>,
        id: &MonitorId,
        config: Map<String, Value>,
        before: Option<Stored<Monitor>>,
        expected: Expected,
    ) -> Result<()> {
        if let Some(before) = &before {
            refuse_managed(id.as_str(), &before.meta)?;
        }
        let version = before.as_ref().map(|before| before.meta.version);
        let expected = held(expected, version)?;
        let before = before.map(|before| before.value);
        let monitor = self.sound(permit, id, config, before.as_ref()).await?;
        let put = Put::monitor(monitor).expecting(expected);
        self.put_monitor(permit, put).await
    }

    async fn put_monitor(&self, permit: Permit<'_>, put: Put) -> Result<()> {
        let mut change = permit.change();
        change.puts.push(put);
        permit.commit(change).await
    }

    pub async fn remove_monitor(&self, id: &MonitorId, expected: Expected) -> Result<()> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        let before = stored(permit, id).await?;
        refuse_managed(id.as_str(), &before.meta)?;
        let mut change = permit.change();
        change.removes.push(heartbeats::forget(id));
        change.removes.push(Remove {
            kind: ResourceKind::Monitor,
            id: id.to_string(),
            expected: held(expected, Some(before.meta.version))?,
        });
        permit.commit(change).await
    }

    /// What `config` says, with the secrets that are stored, where nothing is wrong with it.
    pub(crate) async fn sound(
        &self,
        permit: Permit<'_>,
        id: &MonitorId,
        config: Map<String, Value>,
        before: Option<&Monitor>,
    ) -> Result<Monitor> {
        let mut monitor = self.read_one(permit, id, config).await?;
        unmask(&mut monitor, before)?;
        self.refuse_private_targets(&[&monitor], "").await?;
        Ok(monitor)
    }

    pub(crate) async fn read_one(
        &self,
        permit: Permit<'_>,
        id: &MonitorId,
        config: Map<String, Value>,
    ) -> Result<Monitor> {
        let file = WantedFile {
            monitors: Map::from_iter([(id.to_string(), Value::Object(config))]),
            ..WantedFile::default()
        };
        let read = self.read_file(permit, file).await;
        let read = read.map_err(|error| match error {
            ServiceError::Invalid(problems) => {
                let own = format!("monitors.{id}");
                let strip = |problem: FieldProblem| FieldProblem {
                    path: match problem.path.strip_prefix(&own) {
                        Some(rest) => rest.trim_start_matches('.').to_owned(),
                        None => problem.path,
                    },
                    ..problem
                };
                ServiceError::Invalid(problems.into_iter().map(strip).collect())
            }
            other => other,
        })?;
        let one = read.monitors.into_iter().next();
        one.ok_or_else(|| ServiceError::invalid("", "is no monitor"))
    }

    /// What a `sonde.yaml` says, for this workspace. Takes nothing from this process's environment or files.
    pub(crate) async fn read_file(&self, permit: Permit<'_>, file: WantedFile) -> Result<Config> {
        let elsewhere = elsewhere(permit, &file).await?;
        let mut sections = serde_json::json!({ "monitors": file.monitors });
        for (name, section) in [
            ("channels", file.channels),
            ("maintenance", file.maintenance),
        ] {
            if let Some(section) = section {
                sections[name] = Value::Object(section);
            }
        }
        let text = sections.to_string();
        let parts = &self.service.parts;
        let loaded = sonde_config::parse(&Inputs {
            name: "",
            text: &text,
            origin: Origin::Network {
                has_monitor: &|id| elsewhere.contains(id),
            },
            queues: &parts.queues,
            options: parts.reading.clone(),
        });
        let loaded = loaded.map_err(|problems| {
            let problems = problems.iter().map(|problem| {
                let message = match &problem.suggestion {
                    Some(nearest) => format!("{} (did you mean `{nearest}`?)", problem.message),
                    None => problem.message.clone(),
                };
                FieldProblem::new(problem.path.clone(), message)
            });
            ServiceError::Invalid(problems.collect())
        })?;
        let mut read = loaded.config;
        for monitor in &mut read.monitors {
            monitor.workspace = self.workspace().clone();
        }
        Ok(read)
    }

    /// Where it is visible already. A checker looks again at every address that it dials.
    pub(crate) async fn refuse_private_targets(
        &self,
        monitors: &[&Monitor],
        prefix: &str,
    ) -> Result<()> {
        let mut problems = Vec::new();
        for (monitor, why) in self.service.parts.targets.forbidden(monitors).await {
            let path = match prefix {
                "" => monitor.spec.kind().to_string(),
                prefix => format!("{prefix}.{}.{}", monitor.id, monitor.spec.kind()),
            };
            problems.push(FieldProblem::new(path, why));
        }
        refuse_any(problems)
    }
}

fn unmask(monitor: &mut Monitor, before: Option<&Monitor>) -> Result<()> {
    let kind = monitor.spec.kind().as_str();
    let unmasked = monitor.spec.unmask(before.map(|before| &before.spec));
    unmasked.map_err(|error| ServiceError::invalid(kind, error.to_string()))
}

/// A monitor's settings as in `sonde.yaml`, without its secrets.
pub fn masked_config(monitor: &Monitor) -> Map<String, Value> {
    let masked = Monitor {
        spec: monitor.spec.masked(),
        ..monitor.clone()
    };
    match sonde_config::monitor_to_json(&masked) {
        Value::Object(config) => config,
        _ => Map::new(),
    }
}

/// RFC 7396, and a monitor keeps one kind: naming another one drops the one before.
fn patched(mut config: Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    let is_kind = |name: &str| sonde_core::Kind::from_name(name).is_some();
    let names_kind = patch
        .iter()
        .any(|(name, value)| is_kind(name) && !value.is_null());
    if names_kind {
        config.retain(|name, _| !is_kind(name) || patch.contains_key(name));
    }
    merge(&mut config, patch);
    config
}

fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(patch) => {
                let inner = target
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()));
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                if let Value::Object(inner) = inner {
                    merge(inner, patch);
                }
            }
            value => {
                target.insert(name, value);
            }
        }
    }
}

/// What the caller expects, and without a word from them what was just read: nobody else's change is overwritten unseen.
fn held(expected: Expected, version: Option<u64>) -> Result<Expected> {
    let now = version.map_or(Expected::Nothing, Expected::Version);
    match expected {
        Expected::Anything => Ok(now),
        other if other == now => Ok(other),
        _ => Err(ServiceError::Changed),
    }
}

/// The monitors that others depend on or that are maintained, and that are there already.
async fn elsewhere(permit: Permit<'_>, file: &WantedFile) -> Result<HashSet<String>> {
    let monitors = &file.monitors;
    let depended = monitors
        .values()
        .filter_map(|it| it.get("depends_on")?.as_array());
    let maintained = file.maintenance.iter().flat_map(Map::values);
    let maintained = maintained.filter_map(|it| it.get("monitors")?.get("ids")?.as_array());
    let named = depended.chain(maintained);
    let named = named.flatten().filter_map(Value::as_str);
    let named = named.filter(|id| !monitors.contains_key(*id));
    let ids: Vec<MonitorId> = named.filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let found = permit
        .store()
        .monitors_named(permit.workspace(), &ids)
        .await?;
    let found = found.monitors.into_iter();
    Ok(found.map(|stored| stored.value.id.to_string()).collect())
}

async fn stored(permit: Permit<'_>, id: &MonitorId) -> Result<Stored<Monitor>> {
    let found = permit.store().monitor(permit.workspace(), id).await?;
    found.ok_or_else(|| ServiceError::monitor_not_found(id))
}

pub(crate) fn log_unreadable(unreadable: &[sonde_store::StoreError]) {
    for error in unreadable {
        let error = sonde_core::chain(error);
        tracing::error!(error, "a stored monitor is left out");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(config: Value, patch: Value, expected: &Value) {
        let (Value::Object(config), Value::Object(patch)) = (config, patch) else {
            panic!("both are objects");
        };
        assert_eq!(Value::Object(patched(config, patch)), *expected);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let config = json!({"http": {"url": "https://a/", "method": "GET"}, "interval": "1m"});
        check(
            config.clone(),
            json!({"http": {"url": "https://b/"}}),
            &json!({"http": {"url": "https://b/", "method": "GET"}, "interval": "1m"}),
        );
        check(
            config.clone(),
            json!({"interval": null}),
            &json!({"http": {"url": "https://a/", "method": "GET"}}),
        );
        check(
            config.clone(),
            json!({"http": "https://c/"}),
            &json!({"http": "https://c/", "interval": "1m"}),
        );
        check(
            config,
            json!({"tcp": "a:1"}),
            &json!({"tcp": "a:1", "interval": "1m"}),
        );
    }
}
