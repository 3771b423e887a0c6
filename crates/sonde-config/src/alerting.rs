//! `channels` and `maintenance`: whom to tell of what, and when nobody is to be told.
//!
//! Validated as the API does, by the same code; here each problem gets its place.

mod shapes;

use std::collections::HashSet;

use serde_json::Value as Json;
use sonde_core::{InvalidMaintenance, MASK, MaintainedMonitors, Maintenance, MaintenanceBody};
use sonde_notify::{Channel, ChannelConfig};

pub(crate) use self::shapes::{CHANNEL, MAINTENANCE};
use crate::Origin;
use crate::decode::Item;
use crate::problem::nearest;

/// By id, in the order of the file.
pub type Named<T> = Vec<(String, T)>;

const LONGEST_ID: usize = 100;
/// As many as a workspace may have.
const MOST_CHANNELS: usize = 100;

pub(crate) fn channels(item: &Item<'_>, monitors: &[&str]) -> Option<Named<ChannelConfig>> {
    let known: HashSet<&str> = monitors.iter().copied().collect();
    let entries = item.entries()?;
    if entries.len() > MOST_CHANNELS {
        item.problem(format!("a workspace has {MOST_CHANNELS} channels at most"));
    }
    let channels = entries.iter().filter_map(|(id, item)| {
        look_at_id(id, item);
        let config = channel(item)?;
        for (n, monitor) in config.monitors.iter().enumerate() {
            if !known.contains(monitor.as_str()) && !elsewhere(item, monitor.as_str()) {
                let item = item.below(&format!("monitors[{n}]"));
                item.warning(format!("there is no monitor `{monitor}` in this file"));
            }
        }
        Some(((*id).to_owned(), config))
    });
    Some(channels.collect())
}

fn channel(item: &Item<'_>) -> Option<ChannelConfig> {
    let config = read::<ChannelConfig>(item, CHANNEL.read(item)?)?;
    if matches!(config.send, Channel::Exec(_)) && !item.context.inputs.options.allow_exec {
        let item = item.below("send.exec");
        item.warning("commands are run only with --allow-exec: nobody is told without");
    }
    for problem in config.validate() {
        let item = item.below(&problem.path);
        // Which secret it stands for is known to the server, which looks at that.
        let is_masked = item.as_scalar().is_some_and(|it| it.text.contains(MASK));
        if !is_masked {
            item.problem(problem.message);
        }
    }
    Some(config)
}

pub(crate) fn maintenance(item: &Item<'_>, monitors: &[&str]) -> Option<Named<Maintenance>> {
    let known: HashSet<&str> = monitors.iter().copied().collect();
    let entries = item.entries()?;
    let maintenance = entries.iter().filter_map(|(id, item)| {
        look_at_id(id, item);
        let mut body = MAINTENANCE.read(item)?;
        if body.get("title").is_none() {
            body["title"] = Json::from(*id);
        }
        let body = read::<MaintenanceBody>(item, body)?;
        let maintenance = Maintenance::new(body).map_err(|InvalidMaintenance(problems)| {
            for problem in problems {
                item.below(problem.path).problem(problem.message);
            }
        });
        let maintenance = maintenance.ok()?;
        look_at_monitors(&maintenance, item, &known);
        Some(((*id).to_owned(), maintenance))
    });
    Some(maintenance.collect())
}

/// A typing error would be found when somebody is woken up.
fn look_at_monitors(maintenance: &Maintenance, item: &Item<'_>, known: &HashSet<&str>) {
    let MaintainedMonitors::Ids(ids) = maintenance.monitors() else {
        return;
    };
    for (n, id) in ids.iter().enumerate() {
        let id = id.as_str();
        if known.contains(id) || elsewhere(item, id) {
            continue;
        }
        let near = nearest(id, known.iter().copied());
        let item = item.below(&format!("monitors.ids[{n}]"));
        item.problem_suggesting(format!("there is no monitor `{id}`"), near);
    }
}

/// Whether the text does not hold all monitors, and another one has the id.
fn elsewhere(item: &Item<'_>, id: &str) -> bool {
    match item.context.inputs.origin {
        Origin::Machine { .. } => false,
        Origin::Network { has_monitor } => has_monitor(id),
    }
}

fn look_at_id(id: &str, item: &Item<'_>) {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(sound) {
        let message = format!("the id must be 1 to {LONGEST_ID} of a-z, 0-9, `-` and `_`");
        item.problem_suggesting(message, sonde_core::slugify(id));
    }
}

/// What the shapes let through, the types take; where they do not, it is said all the same.
fn read<T: serde::de::DeserializeOwned>(item: &Item<'_>, json: Json) -> Option<T> {
    let read = serde_json::from_value(json);
    read.map_err(|error| item.problem(error.to_string())).ok()
}
