//! One field of a form: its label, what may be typed, what was, and what is wrong with it.

use askama::Template;

use super::shape::{Shape, YES};
use crate::asked::Asked;

#[derive(Template)]
#[template(path = "field.html")]
pub(crate) struct Field {
    /// The path of the setting, as in `http.url`.
    pub(crate) name: String,
    pub(crate) label: &'static str,
    pub(crate) hint: String,
    pub(crate) input: Input,
    pub(crate) shape: Shape,
    pub(crate) value: String,
    pub(crate) problems: Vec<String>,
    is_wide: bool,
    /// In HTML, for browsers.
    also: &'static str,
}

/// How it is typed or chosen.
pub(crate) enum Input {
    /// With its `type` in HTML.
    Line(&'static str),
    /// So many lines.
    Area(u8),
    /// One of these, by value and name.
    Choice(Vec<(String, String)>),
    /// Any of these; the value has commas in between.
    Several(Vec<(String, String)>),
    Switch,
}

impl Field {
    fn new(name: impl Into<String>, label: &'static str, input: Input, shape: Shape) -> Self {
        Self {
            name: name.into(),
            label,
            hint: String::new(),
            is_wide: matches!(input, Input::Area(_) | Input::Several(_)),
            input,
            shape,
            value: String::new(),
            problems: Vec::new(),
            also: "",
        }
    }

    pub(crate) fn line(name: impl Into<String>, label: &'static str) -> Self {
        Self::new(name, label, Input::Line("text"), Shape::Text)
    }

    pub(crate) fn whole(name: impl Into<String>, label: &'static str) -> Self {
        Self::new(name, label, Input::Line("text"), Shape::Whole)
    }

    /// Names with commas in between.
    pub(crate) fn words(name: impl Into<String>, label: &'static str) -> Self {
        Self::new(name, label, Input::Line("text"), Shape::Words)
    }

    pub(crate) fn area(
        name: impl Into<String>,
        label: &'static str,
        rows: u8,
        shape: Shape,
    ) -> Self {
        Self::new(name, label, Input::Area(rows), shape)
    }

    pub(crate) fn flag(name: impl Into<String>, label: &'static str) -> Self {
        Self::new(name, label, Input::Switch, Shape::Flag)
    }

    pub(crate) fn choice(
        name: impl Into<String>,
        label: &'static str,
        of: &[(&str, &str)],
    ) -> Self {
        Self::new(name, label, Input::Choice(owned(of)), Shape::Text)
    }

    pub(crate) fn several(
        name: impl Into<String>,
        label: &'static str,
        of: &[(&str, &str)],
    ) -> Self {
        Self::new(name, label, Input::Several(owned(of)), Shape::Words)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    pub(crate) fn with(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// The `type` in HTML.
    pub(crate) fn of_type(mut self, kind: &'static str) -> Self {
        self.input = Input::Line(kind);
        self
    }

    /// What browsers are told beside that, in HTML.
    pub(crate) fn with_attributes(mut self, attributes: &'static str) -> Self {
        self.also = attributes;
        self
    }

    /// All of the row.
    pub(crate) fn wide(mut self) -> Self {
        self.is_wide = true;
        self
    }

    /// But for passwords, which do not go back over the network.
    pub(super) fn type_in(&mut self, typed: &Asked) {
        if matches!(self.input, Input::Line("password")) {
            return;
        }
        let all: Vec<&str> = typed.all(&self.name).collect();
        self.value = match self.input {
            Input::Several(_) => all.join(", "),
            _ => all
                .first()
                .copied()
                .unwrap_or_default()
                .replace("\r\n", "\n"),
        };
    }

    pub(super) fn add_problem(&mut self, path: &str, message: String) {
        let rest = inside(path, &self.name).unwrap_or_default();
        let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let index = index.and_then(|(index, _)| index.parse::<usize>().ok());
        let message = match index {
            Some(index) if self.shape.has_lines() => format!("line {}: {message}", index + 1),
            _ => message,
        };
        self.problems.push(message);
    }

    fn is_chosen(&self, value: &str) -> bool {
        match self.input {
            Input::Several(_) => self.value.split(',').any(|it| it.trim() == value),
            _ => self.value == value,
        }
    }

    /// Choices with what is stored, should it be none of them.
    fn unknown(&self) -> Option<&str> {
        let Input::Choice(known) = &self.input else {
            return None;
        };
        let is_known = known.iter().any(|(value, _)| *value == self.value);
        (!is_known && !self.value.is_empty()).then_some(self.value.as_str())
    }

    fn is_on(&self) -> bool {
        self.value == YES
    }

    /// For who cannot see what stands around it.
    fn attributes(&self) -> String {
        let mut attributes = self.described();
        if !self.problems.is_empty() {
            attributes.push_str(" aria-invalid=\"true\"");
        }
        if !self.also.is_empty() {
            attributes.push(' ');
            attributes.push_str(self.also);
        }
        attributes
    }

    fn described(&self) -> String {
        let hint = (!self.hint.is_empty()).then(|| format!("{}-hint", self.name));
        let problem = (!self.problems.is_empty()).then(|| format!("{}-problem", self.name));
        let by: Vec<String> = problem.into_iter().chain(hint).collect();
        if by.is_empty() {
            return String::new();
        }
        format!(" aria-describedby=\"{}\"", by.join(" "))
    }
}

fn owned(of: &[(&str, &str)]) -> Vec<(String, String)> {
    let of = of.iter();
    of.map(|(value, name)| ((*value).to_owned(), (*name).to_owned()))
        .collect()
}

/// What of a path is below a place; none where it is elsewhere.
pub(super) fn inside<'a>(path: &'a str, place: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(place)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}
