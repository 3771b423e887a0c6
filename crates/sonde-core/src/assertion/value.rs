//! The right side of an assertion: numbers with units, texts, patterns, ranges and lists.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;

/// Compiled size of a pattern at most; keeps a hostile one from taking the checker's memory.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

/// A regular expression that remembers its text and is equal by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Pattern(Regex);

impl Pattern {
    /// Limited in compiled size; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .size_limit(PATTERN_SIZE_LIMIT)
            .build();
        built
            .map(Self)
            .map_err(|error| format!("`{text}` is not a regular expression: {error}"))
    }

    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

/// A JSON path (RFC 9535) that remembers its text and is equal by it.
#[derive(Debug, Clone)]
pub struct JsonQuery {
    text: String,
    path: JsonPath,
}

impl JsonQuery {
    /// Nodes that an assertion looks at, at most. People look at a few; a document of a megabyte can hold half a million.
    pub const NODES: usize = 10_000;

    /// At most one `..`: each multiplies the work by the depth of a document that the target chooses.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.matches("..").count() > 1 {
            return Err(format!(
                "`{text}` has more than one `..`: say more of the path"
            ));
        }
        let path = JsonPath::parse(text);
        path.map(|path| Self {
            text: text.to_owned(),
            path,
        })
        .map_err(|error| format!("`{text}` is not a JSON path: {error}"))
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The nodes of `document` that the path selects. `None` when they are more than [`NODES`](Self::NODES): what is
    /// said of a part of them need not be true of all.
    pub fn select<'a>(
        &self,
        document: &'a serde_json::Value,
    ) -> Option<Vec<&'a serde_json::Value>> {
        let nodes = self.path.query(document).all();
        (nodes.len() <= Self::NODES).then_some(nodes)
    }
}

impl PartialEq for JsonQuery {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What the values of a source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    Number,
    /// Base unit: microseconds.
    Duration,
    /// Base unit: bytes.
    Bytes,
    Percent,
    /// Text, number, `true`, `false` or `null`, as written.
    Json,
}

/// A number's unit, kept so that the text reads back as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    None,
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
    Bytes,
    Kilobytes,
    Megabytes,
    Kibibytes,
    Mebibytes,
    Percent,
}

impl Unit {
    const ALL: &[(Self, &str, f64)] = &[
        (Self::None, "", 1.0),
        (Self::Microseconds, "us", 1.0),
        (Self::Milliseconds, "ms", 1e3),
        (Self::Seconds, "s", 1e6),
        (Self::Minutes, "m", 60e6),
        (Self::Hours, "h", 3_600e6),
        (Self::Days, "d", 86_400e6),
        (Self::Bytes, "B", 1.0),
        (Self::Kilobytes, "kB", 1e3),
        (Self::Megabytes, "MB", 1e6),
        (Self::Kibibytes, "KiB", 1024.0),
        (Self::Mebibytes, "MiB", 1_048_576.0),
        (Self::Percent, "%", 1.0),
    ];

    pub(super) fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, text, _)| *text == suffix)
            .map(|(unit, ..)| *unit)
    }

    fn row(self) -> &'static (Self, &'static str, f64) {
        Self::ALL
            .iter()
            .find(|(unit, ..)| *unit == self)
            .unwrap_or(&Self::ALL[0])
    }

    pub(super) fn class(self) -> Class {
        match self {
            Self::None => Class::Number,
            Self::Percent => Class::Percent,
            Self::Bytes | Self::Kilobytes | Self::Megabytes | Self::Kibibytes | Self::Mebibytes => {
                Class::Bytes
            }
            _ => Class::Duration,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of comparators that take none.
    Nothing,
    Number(f64, Unit),
    Text(String),
    Bool(bool),
    Null,
    Pattern(Pattern),
    /// Both ends included.
    Range(Box<Value>, Box<Value>),
    List(Vec<Value>),
}

impl Value {
    /// The number in its base unit: microseconds, bytes, percent or plain.
    pub fn base(&self) -> Option<f64> {
        match self {
            Self::Number(number, unit) => Some(number * unit.row().2),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Number(number, unit) => write!(f, "{number}{}", unit.row().1),
            Self::Text(text) => quoted(f, text),
            Self::Bool(value) => value.fmt(f),
            Self::Null => f.write_str("null"),
            Self::Pattern(pattern) => quoted(f, pattern.regex().as_str()),
            Self::Range(low, high) => write!(f, "{low}..{high}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (n, item) in items.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// In double quotes; `\"` and `\\` are the only escapes, so that patterns stay readable.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_are_selected_where_they_are_up_to_a_limit() {
        let document = json!({ "all": vec![0; JsonQuery::NODES + 1], "a": { "a": 1 } });
        let select = |path| JsonQuery::new(path).unwrap().select(&document);
        let nested = select("$..a").unwrap();
        assert!(std::ptr::eq(nested[0], &raw const document["a"]));
        assert_eq!(nested, [&json!({ "a": 1 }), &json!(1)]);
        assert_eq!(select("$.all[1:]").unwrap().len(), JsonQuery::NODES);
        assert_eq!(select("$.all[*]"), None);
    }
}
