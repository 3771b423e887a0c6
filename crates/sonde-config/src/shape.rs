//! What may stand in a place, said once: the reader follows it, and so does the schema for editors.

use std::str::FromStr as _;

use serde_json::{Map, Number, Value as Json};
use sonde_core::{MonitorId, Timestamp, format_duration};

use crate::decode::Item;
use crate::node::{Literal, Node, Value};

pub(crate) enum Shape {
    Text,
    Duration,
    /// RFC 3339.
    Instant,
    MonitorId,
    Integer(i64, i64),
    /// One of a closed set.
    Word(&'static [&'static str]),
    List(&'static Shape),
    /// Texts by names that are the user's own.
    Texts,
    /// Whatever JSON has.
    Anything,
    Mapping(&'static Mapping),
    /// Exactly one of the keys.
    OneOf(&'static Mapping),
    /// A word alone, or something else.
    WordOr(&'static str, &'static Shape),
}

/// A mapping with fixed keys.
pub(crate) struct Mapping {
    /// In the schema, and to people.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
    pub(crate) shape: Shape,
}

pub(crate) const fn required(name: &'static str, about: &'static str, shape: Shape) -> Key {
    Key {
        name,
        required: true,
        about,
        shape,
    }
}

pub(crate) const fn optional(name: &'static str, about: &'static str, shape: Shape) -> Key {
    Key {
        name,
        required: false,
        about,
        shape,
    }
}

impl Shape {
    /// What stands there, as JSON; nothing where it is not of this shape, which is noted.
    pub(crate) fn read(&self, item: &Item<'_>) -> Option<Json> {
        match self {
            Self::Text => Some(item.text()?.into()),
            Self::Duration => Some(format_duration(item.duration()?).into()),
            Self::Instant => Some(item.parse(Timestamp::from_str)?.to_string().into()),
            Self::MonitorId => Some(item.parse(MonitorId::new)?.to_string().into()),
            Self::Integer(low, high) => Some(item.integer::<i64>(*low, *high)?.into()),
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
                Some(item.choice(&words)?.into())
            }
            Self::List(of) => whole(item.list()?.iter().map(|item| of.read(item))),
            Self::Texts => {
                let entries = item.entries()?.into_iter();
                let texts = entries.map(|(name, item)| Some((name, item.scalar()?)));
                // All of them are read, so that all that is wrong is noted.
                let texts: Vec<_> = texts.collect();
                let texts: Option<Vec<_>> = texts.into_iter().collect();
                let texts = texts?.into_iter();
                let texts = texts.map(|(name, text)| (name.to_owned(), text.into()));
                Some(Json::Object(texts.collect()))
            }
            Self::Anything => Some(anything(item.node)),
            Self::Mapping(mapping) => mapping.read(item),
            Self::OneOf(mapping) => mapping.read_one(item),
            Self::WordOr(word, other) => match item.as_scalar() {
                Some(scalar) if scalar.text == *word => Some((*word).into()),
                Some(_) => item.expected(&format!("`{word}` or a mapping")),
                None => other.read(item),
            },
        }
    }
}

impl Mapping {
    fn read(&self, item: &Item<'_>) -> Option<Json> {
        let read = item.fields(self.name, |fields| {
            let mut mapping = Some(Map::new());
            for key in self.keys {
                let found = if key.required {
                    fields.required(key.name)
                } else {
                    fields.take(key.name)
                };
                // The others are read all the same, so that all that is wrong is noted.
                match found.map(|item| key.shape.read(&item)) {
                    Some(Some(value)) => {
                        if let Some(mapping) = &mut mapping {
                            mapping.insert(key.name.to_owned(), value);
                        }
                    }
                    None if !key.required => {}
                    Some(None) | None => mapping = None,
                }
            }
            mapping.map(Json::Object)
        });
        read.flatten()
    }

    fn read_one(&self, item: &Item<'_>) -> Option<Json> {
        let names: Vec<&'static str> = self.keys.iter().map(|key| key.name).collect();
        let read = item.fields(self.name, |fields| {
            let Some((name, item)) = fields.one_of(&names) else {
                let names = names.join(", ");
                fields.item.problem(format!("expected one of {names}"));
                return None;
            };
            let key = self.keys.iter().find(|key| key.name == name)?;
            let value = key.shape.read(&item)?;
            Some(Json::Object(Map::from_iter([(name.to_owned(), value)])))
        });
        read.flatten()
    }
}

/// All of them, or nothing; each is read.
fn whole(values: impl Iterator<Item = Option<Json>>) -> Option<Json> {
    let values: Vec<_> = values.collect();
    values
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .map(Json::Array)
}

/// Depth is bounded by the parser, and so is the recursion.
fn anything(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(anything).collect(),
        Value::Map(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|entry| (entry.key.clone(), anything(&entry.value)));
            Json::Object(entries.collect())
        }
        Value::Scalar(scalar) => {
            let text = || Json::String(scalar.text.clone());
            // What a variable stands for is text, whatever it looks like: it may be a password.
            match scalar.literal() {
                _ if scalar.expanded => text(),
                Literal::Null => Json::Null,
                Literal::Bool(value) => value.into(),
                Literal::Integer(number) => number.into(),
                Literal::Float(number) => Number::from_f64(number).map_or_else(text, Json::Number),
                Literal::Text => text(),
            }
        }
    }
}

impl Item<'_> {
    /// What stands at `path` below it, as far as there is something.
    pub(crate) fn below(&self, path: &str) -> Self {
        let path = path.trim_start_matches('.');
        if path.is_empty() {
            return self.clone();
        }
        if let Some((number, rest)) = path.strip_prefix('[').and_then(|it| it.split_once(']')) {
            let items = self.is_list().then(|| self.list()).flatten();
            let number = number.parse::<usize>().ok();
            let item = items.and_then(|items| items.into_iter().nth(number?));
            return item.map_or_else(|| self.clone(), |item| item.below(rest));
        }
        let entries = self.is_map().then(|| self.entries()).flatten();
        let found = entries.into_iter().flatten().find_map(|(key, item)| {
            let rest = path.strip_prefix(key)?;
            rest.is_empty()
                .then_some((item.clone(), ""))
                .or_else(|| rest.starts_with(['.', '[']).then_some((item, rest)))
        });
        found.map_or_else(|| self.clone(), |(item, rest)| item.below(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_number_is_one_unless_a_variable_stands_there() {
        let scalar = |text: &str, expanded| Node {
            at: crate::node::Position::START,
            value: Value::Scalar(crate::node::Scalar {
                text: text.to_owned(),
                quoted: false,
                expanded,
            }),
        };
        assert_eq!(anything(&scalar("12", false)), Json::from(12));
        assert_eq!(anything(&scalar("12", true)), Json::from("12"));
    }
}
