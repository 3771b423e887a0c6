//! The body of a request: text, a JSON document, a file's content, or bytes in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use crate::decode::Item;
use crate::fields::Fields;
use crate::node::{Literal, Node, Value};

/// The bytes, and the content type that goes without saying.
pub(super) type Body = (Option<Vec<u8>>, Option<&'static str>);

pub(super) fn decode(item: &Item<'_>) -> Option<Body> {
    if item.is_map() {
        return item.fields("body", long).flatten();
    }
    Some((Some(item.text()?.as_bytes().to_vec()), None))
}

fn long(fields: &mut Fields<'_>) -> Option<Body> {
    let Some((name, item)) = fields.one_of(&["text", "json", "file", "base64"]) else {
        fields
            .item
            .problem("one of `text`, `json`, `file` or `base64` is missing");
        return None;
    };
    let bytes = match name {
        "json" => {
            let json = to_json(item.node).to_string().into_bytes();
            return Some((Some(json), Some("application/json")));
        }
        "file" => item.read_file(item.filled()?)?,
        "base64" => item.parse(|text| {
            let text: String = text.split_whitespace().collect();
            STANDARD
                .decode(text)
                .map_err(|error| format!("not base64: {error}"))
        })?,
        _ => item.text()?.as_bytes().to_vec(),
    };
    Some((Some(bytes), None))
}

/// The same value in JSON. The depth of the tree is bounded, and so is the recursion.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let fields = entries
                .iter()
                .map(|entry| (entry.key.clone(), to_json(&entry.value)));
            Json::Object(fields.collect::<Map<_, _>>())
        }
        Value::Scalar(scalar) => match scalar.literal() {
            Literal::Null => Json::Null,
            Literal::Bool(value) => value.into(),
            Literal::Integer(number) => number.into(),
            Literal::Float(number) => number.into(),
            Literal::Text => scalar.text.clone().into(),
        },
    }
}
