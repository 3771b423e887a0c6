//! Configuration: `sonde.yaml` (or Checkup's `checkup.json`), `queues.toml` and `sonde.toml`, from text to validated
//! types.
//!
//! Does no IO and reads no environment: whatever a file refers to is looked up through its [`Origin`]. All problems are
//! reported at once, each with its place, and nothing is accepted when there is one.

mod address;
mod alerting;
mod assertions;
mod brief;
mod checkup;
mod decode;
mod depends;
mod emit;
mod expand;
mod fields;
pub mod import;
mod kind;
mod monitor;
mod names;
mod node;
mod problem;
mod queues;
mod render;
mod schema;
pub mod settings;
mod shape;
mod shared;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::time::Duration;

use sonde_core::{MIN_INTERVAL, Maintenance, Monitor, QueueSettings, Region, format_duration};
use sonde_notify::ChannelConfig;

pub use crate::alerting::Named;
use crate::decode::{Context, Item};
use crate::node::{Node, Position, Value};
pub use crate::problem::{NO_REGION, Problem, Problems, visible};
pub use crate::queues::{DEFAULT_QUEUES, parse_queues};
pub use crate::render::{monitor_to_json, render, render_json};
pub use crate::schema::schema;
pub use crate::target::{InvalidTarget, monitor_from_target};

/// A text and all that reading it may look up.
pub struct Inputs<'a> {
    /// The file's name, for messages.
    pub name: &'a str,
    pub text: &'a str,
    pub origin: Origin<'a>,
    pub queues: &'a QueueSettings,
    pub options: Options,
}

/// Who wrote a text, and so what it may refer to.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// Whoever runs this process: variables expand, and files are read.
    Machine {
        env: &'a dyn Fn(&str) -> Option<String>,
        /// Reads a file that the configuration names, by the path as it is written; relative ones are meant from the
        /// configuration file's folder.
        read_file: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    },
    /// Somebody at the other end of a connection. The text means what it says: `$` is a dollar sign, no file is read,
    /// and Checkup's form is not known.
    Network {
        /// Whether there is a monitor of this id beside those of the text, to depend on. Circles through it are not
        /// found here.
        has_monitor: &'a dyn Fn(&str) -> bool,
    },
}

/// What the command line and the environment decide.
#[derive(Debug, Clone)]
pub struct Options {
    /// The interval where neither a monitor nor `defaults` has one: `CHECK_INTERVAL`.
    pub check_interval: Option<Duration>,
    /// Whether monitors of kind exec may run programs of this machine.
    pub allow_exec: bool,
    /// Where monitors run that name no region; without it they must.
    pub default_region: Option<Region>,
}

/// A file that was accepted.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is accepted but does not do what its writer may think.
    pub warnings: Vec<Problem>,
}

/// The validated configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// In the order of the file.
    pub monitors: Vec<Monitor>,
    /// Nothing where the file says nothing of them, which is not the same as that there are none.
    pub channels: Option<Named<ChannelConfig>>,
    /// Likewise.
    pub maintenance: Option<Named<Maintenance>>,
}

/// Reads `sonde.yaml`, or `checkup.json` when there is a top-level list `checkers`. JSON is read as the YAML it is.
pub fn parse(inputs: &Inputs<'_>) -> Result<Loaded, Problems> {
    let context = Context::new(inputs);
    let config = decode(&context);
    let Context {
        problems, warnings, ..
    } = context;
    let problems = problems.into_inner();
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    let warnings = problem::sorted(warnings.into_inner());
    Ok(Loaded { config, warnings })
}

fn decode(context: &Context<'_>) -> Config {
    let mut root = match node::parse(context.inputs.text) {
        Ok(root) => root,
        Err(fault) => {
            context.report(fault.at, "", fault.message, None);
            return Config::default();
        }
    };
    if let Some(interval) = context
        .inputs
        .options
        .check_interval
        .filter(|i| *i < MIN_INTERVAL)
    {
        let (least, got) = (format_duration(MIN_INTERVAL), format_duration(interval));
        let message = format!("CHECK_INTERVAL must be {least} or more, got \"{got}\"");
        context.report(Position::START, "", message, None);
    }
    let network = matches!(context.inputs.origin, Origin::Network { .. });
    let checkup = !network && is_checkup(&root);
    expand::prepare(
        context,
        &mut root,
        if checkup { None } else { context.env() },
    );
    let root = Item::root(context, &root);
    if checkup {
        let (monitors, notifiers) = checkup::decode(&root);
        let warnings = &mut *context.warnings.borrow_mut();
        let notifiers = notifiers.map(Vec::into_iter);
        let channels = notifiers.map(|them| {
            them.filter_map(|it| it.accepted(&monitors, &|_| false, warnings))
                .collect()
        });
        Config {
            monitors,
            channels,
            maintenance: None,
        }
    } else {
        monitor::decode(&root)
    }
}

fn is_checkup(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else {
        return false;
    };
    entries
        .iter()
        .any(|entry| entry.key == "checkers" && matches!(entry.value.value, Value::List(_)))
}
