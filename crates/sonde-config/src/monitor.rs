//! The sections of `sonde.yaml`: the top level, `defaults`, and each monitor. What stands beside them is in `alerting`.

use sonde_core::{Kind, Monitor, MonitorId, NetworkOptions, Spec, WorkspaceId};

use crate::decode::Item;
use crate::depends::{self, Dependency};
use crate::fields::Fields;
use crate::shared::Shared;
use crate::{Config, alerting, assertions, kind};

/// Top-level keys that DESIGN names and this release does not know yet.
const LATER: &[&str] = &["status_pages", "regions"];

/// Kinds likewise.
const LATER_KINDS: &[&str] = &["grpc", "websocket"];

/// All that could be read; anything wrong is noted in the context.
pub(crate) fn decode(root: &Item<'_>) -> Config {
    let decoded = root.fields("sonde.yaml", |fields| {
        fields.later(LATER);
        let defaults = fields
            .take("defaults")
            .and_then(|item| item.fields("defaults", Defaults::decode));
        let defaults = defaults.unwrap_or_default();
        let (channels, maintenance) = (fields.take("channels"), fields.take("maintenance"));
        let monitors = fields.required("monitors");
        let entries = monitors.and_then(|item| item.entries());
        if entries.as_ref().is_some_and(Vec::is_empty) {
            fields
                .item
                .warning("there is no monitor, so nothing is checked");
        }
        let entries = entries.unwrap_or_default();
        let mut dependencies = Vec::new();
        let monitors: Vec<_> = entries
            .iter()
            .filter_map(|(id, item)| monitor(id, item, &defaults, &mut dependencies))
            .collect();
        let ids: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
        depends::check(&ids, &dependencies);
        Config {
            channels: channels.and_then(|item| alerting::channels(&item, &ids)),
            maintenance: maintenance.and_then(|item| alerting::maintenance(&item, &ids)),
            monitors,
        }
    });
    decoded.unwrap_or_default()
}

#[derive(Default)]
struct Defaults<'a> {
    shared: Shared<'a>,
    network: NetworkOptions,
}

impl<'a> Defaults<'a> {
    fn decode(fields: &mut Fields<'a>) -> Self {
        Self {
            shared: Shared::decode(fields),
            network: kind::network(fields, &NetworkOptions::default()),
        }
    }
}

fn monitor<'a>(
    id: &str,
    item: &Item<'a>,
    defaults: &Defaults<'a>,
    dependencies: &mut Vec<Dependency<'a>>,
) -> Option<Monitor> {
    let id = MonitorId::new(id).map_err(|error| {
        item.problem_suggesting(error.to_string(), sonde_core::slugify(&error.text));
    });
    item.fields("monitor", |fields| {
        fields.later(LATER_KINDS);
        let name = fields.take("name").map(|item| item.plain());
        let spec = spec(fields, &defaults.network);
        let kind = spec.as_ref().map(|(kind, _)| *kind);
        let shared = Shared::decode(fields);
        if let Some((_, Some(spec))) = &spec {
            shared.check_pace(spec);
        }
        let settled = shared.settle(&defaults.shared, item, kind);
        let expect = assertions::decode(fields.take("expect"), kind);
        let degraded = assertions::decode(fields.take("degraded"), kind);
        let depends_on = fields.take("depends_on").and_then(|item| item.list());
        let paused = fields
            .take("paused")
            .and_then(|item| item.boolean())
            .unwrap_or(false);
        let id = id.ok()?;
        let depends_on = depend(&id, depends_on.unwrap_or_default(), dependencies);
        Some(Monitor {
            workspace: WorkspaceId::local(),
            name: name.flatten().unwrap_or(id.as_str()).to_owned(),
            id: id.clone(),
            spec: spec?.1?,
            interval: settled.interval,
            timeout: settled.timeout,
            retry: settled.retry,
            regions: settled.regions,
            expect,
            degraded,
            alert: settled.alert,
            depends_on,
            tags: settled.tags,
            paused,
        })
    })
    .flatten()
}

/// The ids, each also noted for [`depends::check`] once all monitors are known.
fn depend<'a>(
    from: &MonitorId,
    items: Vec<Item<'a>>,
    dependencies: &mut Vec<Dependency<'a>>,
) -> Vec<MonitorId> {
    let mut ids = Vec::new();
    for item in items {
        let Some(to) = item.parse(MonitorId::new) else {
            continue;
        };
        ids.push(to.clone());
        dependencies.push(Dependency {
            from: from.to_string(),
            to,
            item,
        });
    }
    ids
}

/// The one key that names the kind, with what it says as far as that is right.
fn spec(fields: &mut Fields<'_>, network: &NetworkOptions) -> Option<(Kind, Option<Spec>)> {
    let Some((name, item)) = fields.one_of(&Kind::ALL.map(Kind::as_str)) else {
        if !fields.has_any(LATER_KINDS) {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            fields
                .item
                .problem(format!("what to check is missing: one of {kinds}"));
        }
        return None;
    };
    let kind = Kind::from_name(name)?;
    if kind == Kind::Exec {
        check_exec(&item);
    }
    Some((kind, kind::decode(kind, &item, network)))
}

/// Notes the problem where programs may not be run.
pub(crate) fn check_exec(item: &Item<'_>) {
    if !item.context.inputs.options.allow_exec {
        item.problem("programs are run only with --allow-exec");
    }
}
