//! Whom `blackbox_exporter` probes, which is said elsewhere: in the jobs of Prometheus, or in files that they name.

use std::time::Duration;

use super::lenient::{self, Timed};
use crate::decode::Item;

/// Prometheus' own defaults.
const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the relabelling of every blackbox job sets: which target, which module, and where the exporter is.
const RELABELLED: [&str; 4] = [
    "__param_target",
    "__param_module",
    "__address__",
    "instance",
];

pub(super) struct Target<'a> {
    pub(super) item: Item<'a>,
    pub(super) address: &'a str,
    pub(super) module: Option<&'a str>,
    pub(super) interval: Timed<'a>,
    pub(super) timeout: Timed<'a>,
    pub(super) tags: Vec<String>,
}

/// What a group of targets has in common.
struct Group<'a> {
    module: Option<&'a str>,
    interval: Timed<'a>,
    timeout: Timed<'a>,
    tags: Vec<String>,
}

/// `module` is that of targets for which nothing else is said. Nothing when the file has no targets of any form.
pub(super) fn read<'a>(root: &Item<'a>, module: Option<&'a str>) -> Option<Vec<Target<'a>>> {
    let mut targets = Vec::new();
    if root.is_map() {
        let jobs = value(root, "scrape_configs").filter(Item::is_list);
        if let Some(jobs) = jobs {
            let global = value(root, "global");
            for item in jobs.list()? {
                job(&item, global.as_ref(), module, &mut targets);
            }
            return Some(targets);
        }
    } else if root.is_list() {
        for item in root.list()? {
            if value(&item, "targets").is_some() {
                group(&item, &Group::of(None, None, module), &mut targets);
            } else {
                job(&item, None, module, &mut targets);
            }
        }
        return Some(targets);
    }
    root.problem(
        "no targets: `scrape_configs` as in Prometheus' configuration are expected, or a list of `targets` with `labels`",
    );
    None
}

/// The value of a key, in what may be something else than a mapping.
fn value<'a>(item: &Item<'a>, name: &str) -> Option<Item<'a>> {
    let entries = item.is_map().then(|| item.entries())??;
    entries
        .into_iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn job<'a>(
    item: &Item<'a>,
    global: Option<&Item<'a>>,
    module: Option<&'a str>,
    targets: &mut Vec<Target<'a>>,
) {
    let named = value(item, "params").and_then(|params| value(&params, "module"));
    let named = named.and_then(|modules| modules.list()?.into_iter().next());
    let is_probe = lenient::text(value(item, "metrics_path")) == Some("/probe");
    if named.is_none() && !is_probe {
        item.warning("left out: not a job of blackbox_exporter, as it has no `params.module`");
        return;
    }
    let mut common = Group::of(Some(item), global, lenient::text(named).or(module));
    if let Some(name) = lenient::text(value(item, "job_name")) {
        common.tags.push(lenient::tag("job", name));
    }
    let entries = item.entries().unwrap_or_default();
    for (_, discovery) in entries
        .iter()
        .filter(|(key, _)| key.ends_with("_sd_configs"))
    {
        discovery.warning("targets that are discovered are not known here: name a file of them");
    }
    if let Some(steps) = value(item, "relabel_configs") {
        note_relabelling(&steps);
    }
    let groups = value(item, "static_configs").and_then(|item| item.list());
    for item in groups.unwrap_or_default() {
        group(&item, &common, targets);
    }
}

fn note_relabelling(steps: &Item<'_>) {
    for step in steps.list().unwrap_or_default() {
        let label = lenient::text(value(&step, "target_label")).unwrap_or_default();
        let action = lenient::text(value(&step, "action")).unwrap_or("replace");
        let usual = action == "replace" && RELABELLED.contains(&label);
        if !usual || value(&step, "regex").is_some() {
            step.warning("not carried out: targets are taken as they are written");
        }
    }
}

fn group<'a>(item: &Item<'a>, common: &Group<'a>, targets: &mut Vec<Target<'a>>) {
    let mut tags = common.tags.clone();
    let mut module = common.module;
    let labels = value(item, "labels").and_then(|labels| labels.entries());
    for (name, label) in labels.unwrap_or_default() {
        let Some(text) = lenient::text(Some(label)) else {
            continue;
        };
        if name == "module" || name == "__param_module" {
            module = Some(text);
        } else if !name.starts_with("__") {
            tags.push(lenient::tag(name, text));
        }
    }
    let addresses = value(item, "targets").and_then(|item| item.list());
    for item in addresses.unwrap_or_default() {
        let Some(address) = item.filled() else {
            continue;
        };
        targets.push(Target {
            item,
            address: address.trim(),
            module,
            interval: common.interval.clone(),
            timeout: common.timeout.clone(),
            tags: tags.clone(),
        });
    }
}

impl<'a> Group<'a> {
    fn of(job: Option<&Item<'a>>, global: Option<&Item<'a>>, module: Option<&'a str>) -> Self {
        let setting = |name| {
            let own = job.and_then(|job| value(job, name));
            own.or_else(|| global.and_then(|global| value(global, name)))
        };
        Self {
            module,
            interval: Timed::new(setting("scrape_interval"), lenient::duration, INTERVAL),
            timeout: Timed::new(setting("scrape_timeout"), lenient::duration, TIMEOUT),
            tags: Vec::new(),
        }
    }
}
