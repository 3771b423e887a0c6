//! A command of one's own: the notice as JSON on its standard input, and what matters most in its environment.
//!
//! It runs on the machine that sends, so whoever may set it up owns that machine: only its operator may.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sonde_core::Timestamp;

use crate::channel::Settings;
use crate::message::Command;
use crate::secret::{Placed, at};
use crate::validation::Problems;
use crate::words::Words;
use crate::{Message, Notice, ReportNotice, Secret};

const OWN_PREFIX: &str = "SONDE_";
const LONGEST_ARGUMENT: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// A program, not a line for a shell.
    pub command: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Secret>,
}

impl Settings for Exec {
    fn validate(&self, problems: &mut Problems) {
        problems.look_at_text("command", &self.command);
        for (index, argument) in self.arguments.iter().enumerate() {
            if argument.contains('\0') || argument.len() > LONGEST_ARGUMENT {
                let message = format!("must be {LONGEST_ARGUMENT} bytes or less, without NUL");
                problems.add(&format!("arguments[{index}]"), message);
            }
        }
        for (name, value) in &self.environment {
            let path = format!("environment.{name}");
            problems.look_at_id(&path, name, "_");
            if value.0.contains('\0') {
                problems.add(&path, "must not hold NUL");
            }
            if name.starts_with(OWN_PREFIX) {
                problems.add(&path, "`SONDE_…` is set by Sonde");
            }
        }
    }

    fn secrets(&mut self) -> Vec<Placed<'_>> {
        let environment = self.environment.iter_mut();
        environment
            .map(|(name, value)| at(format!("environment.{name}"), value))
            .collect()
    }

    fn receiver(&self) -> String {
        format!("{:?} {:?}", self.command, self.arguments)
    }

    fn message(&self, notice: &Notice, _at: Timestamp) -> Message {
        let own = [
            ("EVENT", notice.event.as_str().to_owned()),
            ("HEADLINE", notice.headline()),
            ("INCIDENT", notice.incident.id.to_string()),
            ("MONITOR", notice.incident.monitor.to_string()),
            ("NOTICE", notice.id.to_string()),
            ("SEVERITY", notice.severity().as_str().to_owned()),
            ("WORKSPACE", notice.workspace.to_string()),
        ];
        self.run(&own, notice)
    }

    fn report(&self, report: &ReportNotice, _at: Timestamp) -> Option<Message> {
        let own = [
            ("EVENT", "report".to_owned()),
            ("HEADLINE", report.headline()),
            ("NOTICE", report.id.to_string()),
            ("WORKSPACE", report.workspace.to_string()),
        ];
        Some(self.run(&own, report))
    }
}

impl Exec {
    fn run(&self, own: &[(&str, String)], notice: &impl Serialize) -> Message {
        let own = own.iter();
        let own = own.map(|(name, value)| (format!("{OWN_PREFIX}{name}"), value.clone()));
        let given = self.environment.iter();
        let given = given.map(|(name, value)| (name.clone(), value.0.clone()));
        Message::Command(Command {
            program: self.command.clone(),
            arguments: self.arguments.clone(),
            environment: given.chain(own).collect(),
            stdin: serde_json::to_string(notice).expect("a notice is JSON"),
        })
    }
}
