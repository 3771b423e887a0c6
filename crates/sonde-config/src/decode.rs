//! From the tree to values: each accessor gives the value or notes a problem and gives nothing.
//!
//! Decoders go on after a problem, so that all of them are found; nothing is accepted when there is any.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sonde_core::{Region, format_duration, parse_duration};

use crate::expand::Env;
use crate::fields::Fields;
use crate::names;
use crate::node::{Entry, Literal, Node, Position, Scalar, Value};
use crate::problem::{self, Problem, nearest, shortened};
use crate::{Inputs, Origin};

/// What all decoders share: what may be looked up, and what was found wrong.
pub(crate) struct Context<'a> {
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) problems: RefCell<Vec<Problem>>,
    pub(crate) warnings: RefCell<Vec<Problem>>,
    /// Paths of values that could not be expanded: whatever else is wrong with them follows from that.
    unexpanded: RefCell<BTreeSet<String>>,
    /// Which keys each section was asked for; the schema must know the same.
    #[cfg(test)]
    pub(crate) sections: RefCell<std::collections::BTreeMap<&'static str, BTreeSet<&'static str>>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(inputs: &'a Inputs<'a>) -> Self {
        Self {
            inputs,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            unexpanded: RefCell::default(),
            #[cfg(test)]
            sections: RefCell::default(),
        }
    }

    /// The variables that values may name.
    pub(crate) fn env(&self) -> Option<Env<'a>> {
        match self.inputs.origin {
            Origin::Machine { env, .. } => Some(env),
            Origin::Network { .. } => None,
        }
    }

    /// For a monitor at `path` that names no region itself.
    pub(crate) fn default_regions(&self, at: Position, path: &str) -> Vec<Region> {
        let region = self.inputs.options.default_region.clone();
        if region.is_none() {
            let path = join(path, "regions");
            self.report(at, &path, problem::NO_REGION, None);
        }
        region.into_iter().collect()
    }

    pub(crate) fn report(
        &self,
        at: Position,
        path: &str,
        message: impl Into<String>,
        suggestion: Option<String>,
    ) {
        if self.unexpanded.borrow().contains(path) {
            return;
        }
        self.problems
            .borrow_mut()
            .push(self.problem(at, path, &message.into(), suggestion));
    }

    pub(crate) fn report_unexpanded(&self, at: Position, path: &str, message: String) {
        self.report(at, path, message, None);
        self.unexpanded.borrow_mut().insert(path.to_owned());
    }

    fn problem(
        &self,
        at: Position,
        path: &str,
        message: &str,
        suggestion: Option<String>,
    ) -> Problem {
        Problem {
            file: self.inputs.name.to_owned(),
            line: at.line,
            column: at.column,
            path: problem::visible(path),
            message: problem::readable(message),
            suggestion,
        }
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A value and its place: where its key stands, or, in a list, where it stands itself.
#[derive(Clone)]
pub(crate) struct Item<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) node: &'a Node,
    pub(crate) at: Position,
    pub(crate) path: String,
}

impl<'a> Item<'a> {
    pub(crate) fn root(context: &'a Context<'a>, node: &'a Node) -> Self {
        Self {
            context,
            node,
            at: Position::START,
            path: String::new(),
        }
    }

    fn child(&self, at: Position, path: String, node: &'a Node) -> Self {
        Self {
            context: self.context,
            node,
            at,
            path,
        }
    }

    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.context.report(self.at, &self.path, message, None);
    }

    pub(crate) fn problem_suggesting(&self, message: String, suggestion: Option<String>) {
        self.context
            .report(self.at, &self.path, message, suggestion);
    }

    pub(crate) fn warning(&self, message: impl Into<String>) {
        let warning = self
            .context
            .problem(self.at, &self.path, &message.into(), None);
        self.context.warnings.borrow_mut().push(warning);
    }

    /// Notes that something else is here.
    pub(crate) fn expected<T>(&self, what: &str) -> Option<T> {
        self.problem(format!("expected {what}, got {}", self.describe()));
        None
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(
            self.literal(),
            Some(Literal::Integer(_) | Literal::Float(_))
        )
    }

    pub(crate) fn as_scalar(&self) -> Option<&'a Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    fn describe(&self) -> String {
        match &self.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) => match scalar.literal() {
                Literal::Null => "nothing".to_owned(),
                Literal::Bool(value) => value.to_string(),
                Literal::Integer(_) | Literal::Float(_) => {
                    format!("the number {}", shortened(&scalar.text, SHOWN))
                }
                Literal::Text => format!("\"{}\"", shortened(&scalar.text, SHOWN)),
            },
        }
    }

    /// Text; what YAML takes for a number or a boolean must be in quotes.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.text_as("text")
    }

    fn text_as(&self, what: &str) -> Option<&'a str> {
        match self.as_scalar() {
            Some(scalar) if scalar.expanded || scalar.literal() == Literal::Text => {
                Some(&scalar.text)
            }
            Some(scalar) if scalar.literal() != Literal::Null => {
                self.problem(format!(
                    "expected {what}, got {}; put it in quotes if it is meant as text",
                    self.describe()
                ));
                None
            }
            _ => self.expected(what),
        }
    }

    /// Text of which something must be left.
    pub(crate) fn filled(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.problem("must not be empty");
            return None;
        }
        Some(text)
    }

    /// Text that can be shown anywhere; anything else is noted.
    pub(crate) fn plain(&self) -> Option<&'a str> {
        let text = self.filled()?;
        if !text.chars().all(names::is_plain) {
            self.problem(
                "must be plain text: control characters and marks of direction are not shown",
            );
            return None;
        }
        Some(text)
    }

    /// Any scalar as it was written: `2` and `"2"` are the same.
    pub(crate) fn scalar(&self) -> Option<&'a str> {
        match self.as_scalar() {
            Some(scalar) if scalar.expanded || scalar.literal() != Literal::Null => {
                Some(&scalar.text)
            }
            _ => self.expected("text or a number"),
        }
    }

    /// Text that `parse` understands; its error becomes the problem.
    pub(crate) fn parse<T, E: ToString>(
        &self,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        let result = parse(self.filled()?);
        result.map_err(|error| self.problem(error.to_string())).ok()
    }

    fn literal(&self) -> Option<Literal> {
        let scalar = self.as_scalar()?;
        Some(if scalar.expanded {
            crate::node::literal(&scalar.text)
        } else {
            scalar.literal()
        })
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.literal() {
            Some(Literal::Bool(value)) => Some(value),
            _ => self.expected("true or false"),
        }
    }

    pub(crate) fn integer<T: TryFrom<i64>>(&self, low: i64, high: i64) -> Option<T> {
        match self.literal() {
            Some(Literal::Integer(number)) if (low..=high).contains(&number) => {
                number.try_into().ok()
            }
            _ => self.expected(&format!("a whole number from {low} to {high}")),
        }
    }

    pub(crate) fn number(&self, low: f64, high: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
        let number = match self.literal() {
            Some(Literal::Integer(number)) => Some(number as f64),
            Some(Literal::Float(number)) => Some(number),
            _ => None,
        };
        match number {
            Some(number) if (low..=high).contains(&number) => Some(number),
            _ => self.expected(&format!("a number from {low} to {high}")),
        }
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        if self.is_number() {
            return self.expected("a duration with its unit, such as 500ms, 30s or 1h");
        }
        let text = self.text_as("a duration such as 500ms, 30s or 1h")?;
        let duration = parse_duration(text).map_err(|error| self.problem(error.to_string()));
        let duration = duration.ok()?;
        if duration > LONGEST {
            self.problem("must be 365 days or less");
            return None;
        }
        Some(duration)
    }

    pub(crate) fn duration_of_at_least(&self, least: Duration) -> Option<Duration> {
        let duration = self.duration()?;
        if duration < least {
            let (least, got) = (format_duration(least), format_duration(duration));
            self.problem(format!("must be {least} or more, got \"{got}\""));
            return None;
        }
        Some(duration)
    }

    /// One of a closed set.
    pub(crate) fn choice<T: Copy>(&self, options: &[(&'static str, T)]) -> Option<T> {
        let text = self.scalar()?;
        let found = options
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = options.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "expected one of {}, got {}",
                names.join(", "),
                self.describe()
            );
            self.problem_suggesting(message, nearest(text, names));
        }
        found
    }

    /// The elements of a list, each with its number in the path.
    pub(crate) fn list(&self) -> Option<Vec<Item<'a>>> {
        let Value::List(nodes) = &self.node.value else {
            return self.expected("a list");
        };
        let item =
            |(n, node): (usize, &'a Node)| self.child(node.at, format!("{}[{n}]", self.path), node);
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// The elements that `decode` understands.
    pub(crate) fn list_of<T>(&self, decode: impl FnMut(Item<'a>) -> Option<T>) -> Option<Vec<T>> {
        Some(self.list()?.into_iter().filter_map(decode).collect())
    }

    /// A mapping whose keys are the user's own.
    pub(crate) fn entries(&self) -> Option<Vec<(&'a str, Item<'a>)>> {
        let Value::Map(entries) = &self.node.value else {
            return self.expected("a mapping");
        };
        let item = |entry: &'a Entry| {
            let path = join(&self.path, &entry.key);
            (
                entry.key.as_str(),
                self.child(entry.key_at, path, &entry.value),
            )
        };
        Some(entries.iter().map(item).collect())
    }

    /// A mapping with fixed keys; every key that `decode` did not ask for is a problem. `section` names it in the
    /// schema.
    pub(crate) fn fields<T>(
        &self,
        section: &'static str,
        decode: impl FnOnce(&mut Fields<'a>) -> T,
    ) -> Option<T> {
        let mut fields = Fields::new(self.clone(), section, self.entries()?);
        let decoded = decode(&mut fields);
        fields.finish();
        Some(decoded)
    }

    /// The content of a file that the text names.
    pub(crate) fn read_file(&self, path: &str) -> Option<Vec<u8>> {
        let Origin::Machine { read_file, .. } = self.context.inputs.origin else {
            self.problem("files cannot be read here: write the content itself");
            return None;
        };
        let read = read_file(Path::new(path));
        read.map_err(|error| self.problem(format!("cannot read the file `{path}`: {error}")))
            .ok()
    }
}

/// Far more than anyone waits, and far less than what times are counted in can hold.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Long enough to recognise what was written.
const SHOWN: usize = 60;
