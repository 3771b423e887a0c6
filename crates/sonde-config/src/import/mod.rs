//! `sonde import`: the configurations of other tools, as `sonde.yaml`.
//!
//! Lenient where the strict reader is not: what has no equivalent is noted with its place, and the rest is taken over.
//! What comes out is read back by the strict reader, so that nothing is written which it refuses.

mod blackbox;
pub(crate) mod channels;
mod checkup;
mod gatus;
mod lenient;
mod openstatus;
mod targets;
mod uptime_kuma;
mod variables;

use std::collections::BTreeMap;

use sonde_core::{Monitor, MonitorId};
use sonde_notify::ChannelConfig;

use self::channels::ChannelDraft;
use self::variables::Variables;
use crate::brief::brief;
use crate::decode::{Context, Item};
use crate::node::{self, Node, Value};
use crate::problem::{self, Problem, Problems};
use crate::{Config, Inputs, Named, Options, Origin, expand};

/// Whose configuration a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `checkup.json`
    Checkup,
    /// Gatus's `config.yaml`
    Gatus,
    /// `blackbox.yml` of Prometheus' `blackbox_exporter`
    Blackbox,
    /// `openstatus.yaml`
    OpenStatus,
    /// Uptime Kuma's exported backup, JSON
    UptimeKuma,
}

impl Format {
    pub const ALL: [Self; 5] = [
        Self::Checkup,
        Self::Gatus,
        Self::Blackbox,
        Self::OpenStatus,
        Self::UptimeKuma,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Checkup => "checkup",
            Self::Gatus => "gatus",
            Self::Blackbox => "blackbox",
            Self::OpenStatus => "openstatus",
            Self::UptimeKuma => "uptime-kuma",
        }
    }

    /// What a file of this format is known by.
    const fn mark(self) -> &'static str {
        match self {
            Self::Checkup => "a mapping with a list `checkers`",
            Self::Gatus => "a mapping with a list `endpoints`",
            Self::Blackbox => "a mapping with a mapping `modules`",
            Self::OpenStatus => "a mapping of monitors, each with a `kind`,",
            Self::UptimeKuma => "a mapping with a list `monitorList`",
        }
    }
}

/// What `blackbox.yml` does not say: who is probed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Targets<'a> {
    /// Name and text of a part of Prometheus' configuration, or of a file for its `file_sd_configs`.
    pub file: Option<(&'a str, &'a str)>,
    /// The module of targets that name none.
    pub module: Option<&'a str>,
}

/// What a file became.
#[derive(Debug)]
pub struct Imported {
    /// In the order of the file. Where these hold the content of a certificate or key, imported ones may hold the name
    /// of the file that has it.
    pub monitors: Vec<Monitor>,
    /// Whom the other tool tells.
    pub channels: Named<ChannelConfig>,
    /// What has no equivalent, or not quite the same one; by position.
    pub notes: Vec<Problem>,
    text: String,
}

impl Imported {
    /// The `sonde.yaml`.
    pub fn yaml(&self) -> &str {
        &self.text
    }
}

/// What is made of a file.
#[derive(Default)]
struct Found {
    drafts: Vec<Draft>,
    channels: Vec<ChannelDraft>,
}

impl From<Vec<Draft>> for Found {
    fn from(drafts: Vec<Draft>) -> Self {
        let channels = Vec::new();
        Self { drafts, channels }
    }
}

/// A monitor, and what it was made of.
struct Draft {
    monitor: Monitor,
    /// Without a message.
    place: Problem,
}

impl Draft {
    fn new(item: &Item<'_>, monitor: Monitor) -> Self {
        let place = place(item, "");
        Self { monitor, place }
    }
}

/// Reads a file of another tool. Fails only when it is not of that format, or when targets are missing.
pub fn import(
    format: Format,
    inputs: &Inputs<'_>,
    targets: Targets<'_>,
) -> Result<Imported, Problems> {
    let context = Context::new(inputs);
    let mut root = parse(&context)?;
    if recognise(&root) != Some(format) {
        let near = recognise(&root).map(|format| format.as_str().to_owned());
        let message = format!(
            "this is not of the format {}: {} is expected",
            format.as_str(),
            format.mark()
        );
        Item::root(&context, &root).problem_suggesting(message, near);
        return Err(Problems::new(context.problems.into_inner()));
    }
    let mut variables = Variables::default();
    if format == Format::Gatus {
        variables = Variables::hide(inputs.text, &mut root);
    }
    let item = Item::root(&context, &root);
    let (found, mut notes) = match format {
        Format::Checkup => (checkup::read(&item), Vec::new()),
        Format::Gatus => (gatus::read(&item, &variables), Vec::new()),
        Format::OpenStatus => (openstatus::read(&item).into(), Vec::new()),
        Format::UptimeKuma => (uptime_kuma::read(&item), Vec::new()),
        Format::Blackbox => probed(&item, targets)?,
    };
    notes.extend(noted(context));
    let Found { drafts, channels } = found;
    let monitors = accepted(drafts, inputs, &mut notes);
    let is_hidden = |text: &str| variables.are_in(text);
    let channels = channels.into_iter();
    let channels = channels.filter_map(|it| it.accepted(&monitors, &is_hidden, &mut notes));
    let channels: Named<ChannelConfig> = channels.collect();
    for note in &mut notes {
        // Of regular expressions a drawing is shown, and a note is one line.
        let words: Vec<_> = note.message.split_whitespace().collect();
        note.message = variables.show(&words.join(" "));
    }
    let config = Config {
        monitors,
        channels: Some(channels).filter(|channels| !channels.is_empty()),
        maintenance: None,
    };
    let region = inputs.options.default_region.as_ref();
    let text = brief(&config, inputs.queues, region);
    Ok(Imported {
        text: variables.show(&text),
        monitors: config.monitors,
        channels: config.channels.unwrap_or_default(),
        notes: problem::sorted(notes),
    })
}

/// `blackbox.yml` with the targets of another file.
fn probed(modules: &Item<'_>, targets: Targets<'_>) -> Result<(Found, Vec<Problem>), Problems> {
    let Some((name, text)) = targets.file else {
        let message = "modules say how to probe, and nothing here says whom: name a file of targets \
                       (--targets), a part of Prometheus' configuration or a file of its file_sd_configs";
        return Err(Problems::new(vec![place(modules, message)]));
    };
    let inputs = modules.context.inputs;
    let inputs = Inputs {
        name,
        text,
        options: inputs.options.clone(),
        ..*inputs
    };
    let context = Context::new(&inputs);
    let root = parse(&context)?;
    let root = Item::root(&context, &root);
    let Some(targets) = targets::read(&root, targets.module) else {
        return Err(Problems::new(noted(context)));
    };
    let drafts = blackbox::read(modules, &targets);
    Ok((drafts.into(), noted(context)))
}

fn place(item: &Item<'_>, message: &str) -> Problem {
    Problem {
        file: item.context.inputs.name.to_owned(),
        line: item.at.line,
        column: item.at.column,
        path: item.path.clone(),
        message: message.to_owned(),
        suggestion: None,
    }
}

/// The document with its merge keys (`<<`) carried out, as the tools that are written in Go do, and without nulls.
fn parse(context: &Context<'_>) -> Result<Node, Problems> {
    match node::parse(context.inputs.text) {
        Ok(mut root) => {
            expand::prepare(context, &mut root, None);
            tidy(&mut root);
            Ok(root)
        }
        Err(fault) => {
            context.report(fault.at, "", fault.message, None);
            Err(Problems::new(context.problems.take()))
        }
    }
}

/// Depth is bounded by the parser, and so is the recursion.
fn tidy(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(tidy),
        Value::Map(entries) => {
            let (merged, mut own): (Vec<_>, Vec<_>) = std::mem::take(entries)
                .into_iter()
                .partition(|entry| entry.key == "<<");
            let merged = merged
                .into_iter()
                .flat_map(|entry| match entry.value.value {
                    Value::List(items) => items,
                    _ => vec![entry.value],
                });
            for mut node in merged {
                tidy(&mut node);
                let Value::Map(more) = node.value else {
                    continue;
                };
                let more = more
                    .into_iter()
                    .filter(|entry| own.iter().all(|known| known.key != entry.key));
                let more: Vec<_> = more.collect();
                own.extend(more);
            }
            own.retain(|entry| !lenient::is_null(&entry.value));
            for entry in &mut own {
                tidy(&mut entry.value);
            }
            *entries = own;
        }
    }
}

/// Whose a document seems to be, by the keys that only that tool has.
fn recognise(root: &Node) -> Option<Format> {
    let Value::Map(entries) = &root.value else {
        return None;
    };
    let value = |key: &str| {
        let entry = entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| &entry.value.value)
    };
    let is_list = |key: &str| matches!(value(key), Some(Value::List(_)));
    let is_monitor = |node: &Node| match &node.value {
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "kind"),
        _ => false,
    };
    if crate::is_checkup(root) {
        Some(Format::Checkup)
    } else if gatus::LISTS.into_iter().any(is_list) {
        Some(Format::Gatus)
    } else if is_list("monitorList") {
        Some(Format::UptimeKuma)
    } else if matches!(value("modules"), Some(Value::Map(_))) {
        Some(Format::Blackbox)
    } else if entries.iter().any(|entry| is_monitor(&entry.value)) {
        Some(Format::OpenStatus)
    } else {
        None
    }
}

/// Problems are not fatal here: what has one was left out or left to a default, which its message says or lets see.
fn noted(context: Context<'_>) -> Vec<Problem> {
    let mut notes = context.problems.into_inner();
    notes.extend(context.warnings.into_inner());
    notes
}

/// The monitors that the strict reader accepts. The others are left out, each with a note at its place.
fn accepted(drafts: Vec<Draft>, inputs: &Inputs<'_>, notes: &mut Vec<Problem>) -> Vec<Monitor> {
    let monitors: Vec<_> = drafts.iter().map(|draft| draft.monitor.clone()).collect();
    let refused = refused(&monitors, inputs);
    let mut accepted = Vec::new();
    for draft in drafts {
        match refused.get(&draft.monitor.id) {
            None => accepted.push(draft.monitor),
            Some(messages) => notes.extend(messages.iter().map(|message| Problem {
                message: format!("left out: `{}`: {message}", draft.monitor.id),
                ..draft.place.clone()
            })),
        }
    }
    accepted
}

/// Stands in for every file that is named: whether it is there shows when the result is used.
const ANY_FILE: &[u8] = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n\
    -----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";

fn refused(monitors: &[Monitor], inputs: &Inputs<'_>) -> BTreeMap<MonitorId, Vec<String>> {
    let config = Config {
        monitors: monitors.to_vec(),
        ..Config::default()
    };
    let region = inputs.options.default_region.as_ref();
    let text = brief(&config, inputs.queues, region);
    let parsed = crate::parse(&Inputs {
        name: "sonde.yaml",
        text: &text,
        origin: Origin::Machine {
            env: &|_| None,
            read_file: &|_| Ok(ANY_FILE.to_vec()),
        },
        queues: inputs.queues,
        options: Options {
            check_interval: None,
            allow_exec: true,
            default_region: inputs.options.default_region.clone(),
        },
    });
    let mut refused = BTreeMap::<_, Vec<_>>::new();
    let problems = parsed.err();
    for problem in problems.iter().flatten() {
        let path = problem.path.strip_prefix("monitors.").unwrap_or_default();
        let (id, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        let message = match rest.trim_start_matches('.') {
            "" => problem.message.clone(),
            rest => format!("{rest}: {}", problem.message),
        };
        if let Ok(id) = MonitorId::new(id) {
            refused.entry(id).or_default().push(message);
        }
    }
    refused
}
