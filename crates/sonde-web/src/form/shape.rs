//! How a setting is typed: between a text in a form and a value in JSON, one shape each. What does not come back the same is not
//! shown as that shape at all.

use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One line, without the spaces around it.
    Text,
    /// As it was typed.
    Raw,
    Whole,
    /// A list with a text on each line.
    Lines,
    /// A list of texts with commas in between.
    Words,
    /// A list of `{name, value}`, typed as `name: value`.
    Pairs,
    /// A mapping, typed as `name: value`.
    Entries,
    /// There when it is true.
    Flag,
    Json,
}

/// What is typed to say yes.
pub(crate) const YES: &str = "yes";

impl Shape {
    /// As it is typed; none of what this shape cannot say.
    pub(super) fn text(self, value: &Value) -> Option<String> {
        let text = self.written(value)?;
        let same = match self.value(&text) {
            Ok(Some(back)) => back == *value,
            // Nothing typed is nothing named, which for a list or an answer is the same as an empty one.
            Ok(None) => is_empty(value),
            Err(_) => false,
        };
        same.then_some(text)
    }

    fn written(self, value: &Value) -> Option<String> {
        let pair = |name: &str, value: &Value| Some(format!("{name}: {}", value.as_str()?));
        Some(match self {
            Self::Text | Self::Raw => value.as_str()?.to_owned(),
            Self::Whole => value.as_i64()?.to_string(),
            Self::Lines => texts(value)?.join("\n"),
            Self::Words => texts(value)?.join(", "),
            Self::Pairs => {
                let pairs = value.as_array()?.iter();
                let pairs = pairs.map(|it| pair(it.get("name")?.as_str()?, it.get("value")?));
                pairs.collect::<Option<Vec<_>>>()?.join("\n")
            }
            Self::Entries => {
                let entries = value.as_object()?.iter();
                let entries = entries.map(|(name, value)| pair(name, value));
                entries.collect::<Option<Vec<_>>>()?.join("\n")
            }
            Self::Flag => if value.as_bool()? { YES } else { "" }.to_owned(),
            Self::Json => serde_json::to_string_pretty(value).ok()?,
        })
    }

    /// What was typed; none where nothing was.
    pub(super) fn value(self, text: &str) -> Result<Option<Value>, String> {
        let text = text.replace("\r\n", "\n");
        let trimmed = text.trim();
        if self == Self::Raw {
            return Ok((!text.is_empty()).then_some(Value::String(text)));
        }
        if trimmed.is_empty() {
            return Ok(None);
        }
        let listed = |by: &[char]| {
            let parts = trimmed.split(by).map(str::trim);
            parts.filter(|it| !it.is_empty()).map(Value::from).collect()
        };
        Ok(Some(match self {
            Self::Text | Self::Raw => trimmed.into(),
            Self::Whole => {
                let number = trimmed.parse::<i64>();
                let wrong = |_| format!("must be a whole number, got `{trimmed}`");
                number.map_err(wrong)?.into()
            }
            Self::Lines => listed(&['\n']),
            Self::Words => listed(&[',', '\n']),
            Self::Pairs => {
                let pairs = pairs(trimmed)?.into_iter();
                pairs
                    .map(|(name, value)| json!({ "name": name, "value": value }))
                    .collect()
            }
            Self::Entries => {
                let pairs = pairs(trimmed)?.into_iter();
                let entries = pairs.map(|(name, value)| (name.to_owned(), value.into()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Self::Flag => true.into(),
            Self::Json => {
                serde_json::from_str(trimmed).map_err(|error| format!("is not JSON: {error}"))?
            }
        }))
    }

    /// Whether problems inside of it are those of a line.
    pub(super) const fn has_lines(self) -> bool {
        matches!(self, Self::Lines | Self::Pairs)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Bool(it) => !it,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let pairs = lines.map(|(index, line)| {
        let pair = line.split_once(':');
        let pair = pair.map(|(name, value)| (name.trim(), value.trim()));
        pair.filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("line {} must be like `name: value`", index + 1))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: Shape, value: &Value, expected: Option<&str>) {
        let text = shape.text(value);
        assert_eq!(text.as_deref(), expected, "{shape:?} {value}");
        if let Some(text) = text
            && !is_empty(value)
        {
            let crlf = text.replace('\n', "\r\n");
            assert_eq!(shape.value(&crlf), Ok(Some(value.clone())));
        }
    }

    #[test]
    fn what_can_be_typed_comes_back_the_same_and_what_cannot_is_not_shown() {
        check(Shape::Text, &json!("https://a/"), Some("https://a/"));
        check(Shape::Text, &json!(" a"), None);
        check(Shape::Text, &json!(5), None);
        check(Shape::Raw, &json!(" {\n}\n"), Some(" {\n}\n"));
        check(Shape::Raw, &json!("a\r\nb"), None);
        check(Shape::Whole, &json!(443), Some("443"));
        check(Shape::Whole, &json!(0.5), None);
        check(Shape::Lines, &json!(["a b", "c, d"]), Some("a b\nc, d"));
        check(Shape::Lines, &json!([]), Some(""));
        check(
            Shape::Words,
            &json!(["prod", "eu west"]),
            Some("prod, eu west"),
        );
        check(Shape::Words, &json!(["a,b"]), None);
        let header = json!([{ "name": "accept", "value": "a: b" }]);
        check(Shape::Pairs, &header, Some("accept: a: b"));
        check(
            Shape::Pairs,
            &json!([{ "name": "x", "value": "a\nb" }]),
            None,
        );
        check(Shape::Entries, &json!({ "a": "b" }), Some("a: b"));
        check(Shape::Entries, &json!({ "a": 1 }), None);
        check(Shape::Flag, &json!(true), Some(YES));
        check(Shape::Flag, &json!(false), Some(""));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |shape: Shape, text: &str| shape.value(text).unwrap_err();
        assert_eq!(
            wrong(Shape::Whole, "two"),
            "must be a whole number, got `two`"
        );
        assert_eq!(
            wrong(Shape::Pairs, "a: b\n\nc"),
            "line 3 must be like `name: value`"
        );
        assert!(wrong(Shape::Json, "{").starts_with("is not JSON: "));
    }
}
