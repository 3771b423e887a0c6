//! The schema of what the reader knows by its shape.

use serde_json::{Map, Value, json};

use super::{described, integer, list, one_of, reference, section, text};
use crate::shape::{Key, Mapping, Shape};

pub(super) fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::MonitorId | Shape::Instant => text(),
        Shape::Duration => reference("duration"),
        Shape::Integer(low, high) => integer("", *low, *high),
        Shape::Word(words) => one_of("", words),
        Shape::List(of) => list(&schema(of)),
        Shape::Texts => {
            let scalar = json!({ "type": ["string", "number", "boolean"] });
            json!({ "type": "object", "additionalProperties": scalar })
        }
        Shape::Anything => json!({}),
        Shape::Mapping(mapping) | Shape::OneOf(mapping) => reference(mapping.name),
        Shape::WordOr(word, other) => json!({ "anyOf": [{ "const": word }, schema(other)] }),
    }
}

/// Every mapping in them, by its name.
pub(super) fn definitions<const N: usize>(shapes: [&Shape; N]) -> Map<String, Value> {
    let mut found = Map::new();
    for shape in shapes {
        collect(shape, &mut found);
    }
    found
}

/// As deep as the shapes, which hold no circle.
fn collect(shape: &Shape, to: &mut Map<String, Value>) {
    let (mapping, is_one) = match shape {
        Shape::List(of) | Shape::WordOr(_, of) => return collect(of, to),
        Shape::Mapping(mapping) => (mapping, false),
        Shape::OneOf(mapping) => (mapping, true),
        _ => return,
    };
    to.insert(mapping.name.to_owned(), definition(mapping, is_one));
    for key in mapping.keys {
        collect(&key.shape, to);
    }
}

fn definition(mapping: &Mapping, is_one: bool) -> Value {
    let required = mapping.keys.iter().filter(|key| key.required);
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let keys = mapping.keys.iter();
    let keys = keys.map(|key: &Key| (key.name, described(key.about, &schema(&key.shape))));
    let mut section = section(mapping.about, &required, keys.collect());
    if is_one {
        let alternatives = mapping.keys.iter();
        let alternatives = alternatives.map(|key| json!({ "required": [key.name] }));
        section["oneOf"] = alternatives.collect();
    }
    section
}
