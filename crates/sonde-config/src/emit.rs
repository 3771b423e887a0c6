//! YAML or JSON from one small tree. YAML has two spaces of indent, and quotes only where they are needed.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::expand::escape;
use crate::node::{Literal, literal};

/// A value to be written.
#[derive(PartialEq)]
pub(crate) enum Out {
    /// Written so that it reads back as this text.
    Text(String),
    /// A number or a boolean, written as it is.
    Raw(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

impl Out {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn raw(value: &impl ToString) -> Self {
        Self::Raw(value.to_string())
    }

    pub(crate) fn texts<T: ToString>(items: &[T]) -> Self {
        Self::List(
            items
                .iter()
                .map(|item| Self::text(item.to_string()))
                .collect(),
        )
    }

    pub(crate) fn map(entries: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// As it is in JSON.
    pub(crate) fn of(value: &impl serde::Serialize) -> Self {
        let json = serde_json::to_value(value).expect("it has only string keys");
        Self::from(json)
    }

    /// The document.
    pub(crate) fn write(&self) -> String {
        let mut out = String::new();
        self.write_value(&mut out, 0);
        out.trim_start().to_owned()
    }

    /// The same in JSON; `written` says how a text is written.
    pub(crate) fn into_json(self, written: fn(&str) -> String) -> Json {
        match self {
            Self::Text(text) => written(&text).into(),
            Self::Raw(text) => serde_json::from_str(&text).unwrap_or(Json::String(text)),
            Self::List(items) => {
                let items = items.into_iter();
                items.map(|item| item.into_json(written)).collect()
            }
            Self::Map(entries) => {
                let entries = entries.into_iter();
                entries
                    .map(|(key, value)| (key, value.into_json(written)))
                    .collect()
            }
        }
    }

    /// After `key:` or `-`: on the same line where it fits, else below and indented.
    fn write_value(&self, out: &mut String, indent: usize) {
        let pad = "  ".repeat(indent);
        match self {
            Self::Text(text) => _ = writeln!(out, " {}", scalar(&escape(text))),
            Self::Raw(text) => _ = writeln!(out, " {text}"),
            Self::List(items) if items.is_empty() => out.push_str(" []\n"),
            Self::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Self::List(items) => {
                out.push('\n');
                for item in items {
                    _ = write!(out, "{pad}-");
                    match item {
                        Self::Map(entries) if !entries.is_empty() => {
                            out.push(' ');
                            write_entries(entries, out, indent + 1);
                        }
                        item => item.write_value(out, indent + 1),
                    }
                }
            }
            Self::Map(entries) => {
                _ = write!(out, "\n{pad}");
                write_entries(entries, out, indent);
            }
        }
    }
}

impl From<Json> for Out {
    fn from(json: Json) -> Self {
        match json {
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(entries) => {
                let entries = entries.into_iter();
                Self::Map(entries.map(|(key, value)| (key, value.into())).collect())
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => Self::Raw(json.to_string()),
        }
    }
}

/// From where the first key is to stand; the others come below it.
fn write_entries(entries: &[(String, Out)], out: &mut String, indent: usize) {
    for (n, (key, value)) in entries.iter().enumerate() {
        if n > 0 {
            out.push_str(&"  ".repeat(indent));
        }
        _ = write!(out, "{}:", scalar(key));
        value.write_value(out, indent + 1);
    }
}

/// Bare where nothing can be misread, in single quotes where that is enough, else in double quotes.
fn scalar(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_./-+".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    if word && text.chars().all(bare) && literal(text) == Literal::Text {
        return text.to_owned();
    }
    let printable = |c: char| (' '..='~').contains(&c) || c.is_alphanumeric();
    if text.chars().all(printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if printable(c) => out.push(c),
            c => _ = write!(out, "\\U{:08x}", u32::from(c)),
        }
    }
    out.push('"');
    out
}
