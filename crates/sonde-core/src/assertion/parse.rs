//! The text grammar of assertions.

use super::value::{Class, Pattern, Unit, Value};
use super::{Assertion, Comparator, Source};

/// Why a text is not an assertion, in a sentence, with the nearest thing that would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub message: String,
    /// The source's name, where that is what is unknown: callers may suggest the nearest one.
    pub unknown_source: Option<String>,
}

impl ParseError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            unknown_source: None,
        }
    }

    pub(super) fn source(name: &str) -> Self {
        Self {
            message: format!("`{name}` is nothing that can be asserted on"),
            unknown_source: Some(name.to_owned()),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Assertion, ParseError> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut argument = None;
    if Source::takes_argument(name) {
        let (word, after) = split_argument(rest.trim_start());
        argument = (!word.is_empty()).then_some(word);
        rest = after;
    }
    let source = Source::new(name, argument)?;
    let (comparator, value) = split_comparator(rest.trim_start()).ok_or_else(|| {
        ParseError::new(format!(
            "after `{source}` comes one of {}",
            Comparator::ALL.map(Comparator::as_str).join(", ")
        ))
    })?;
    assemble(source, comparator, value.trim())
}

pub(super) fn assemble(
    source: Source,
    comparator: Comparator,
    text: &str,
) -> Result<Assertion, ParseError> {
    use Comparator as C;
    if !comparator.takes_value() {
        if !text.is_empty() {
            let word = comparator.as_str();
            return Err(ParseError::new(format!(
                "`{word}` takes no value, but got `{text}`"
            )));
        }
        return Ok(Assertion {
            source,
            comparator,
            value: Value::Nothing,
        });
    }
    if text.is_empty() {
        let word = comparator.as_str();
        return Err(ParseError::new(format!(
            "a value is missing after `{source} {word}`"
        )));
    }
    let value = match comparator {
        C::Matches | C::NotMatches => {
            Value::Pattern(Pattern::new(&unquote(text)?).map_err(ParseError::new)?)
        }
        C::Contains | C::NotContains if source.class() != Class::Json => {
            Value::Text(unquote(text)?)
        }
        C::In | C::NotIn => parse_set(source.class(), text)?,
        C::Greater | C::GreaterOrEqual | C::Less | C::LessOrEqual => {
            let value = parse_scalar(source.class(), text)?;
            if value.base().is_none() {
                return Err(ParseError::new(format!(
                    "`{}` compares numbers, and `{text}` is none",
                    comparator.as_str()
                )));
            }
            value
        }
        _ => parse_scalar(source.class(), text)?,
    };
    Ok(Assertion {
        source,
        comparator,
        value,
    })
}

/// The first word, where blanks inside brackets and quotes do not end it (JSON paths have filters).
fn split_argument(text: &str) -> (&str, &str) {
    let (mut depth, mut quote) = (0_i32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth -= 1,
            (None, _) if c.is_whitespace() && depth <= 0 => return text.split_at(at),
            _ => {}
        }
    }
    (text, "")
}

fn split_comparator(text: &str) -> Option<(Comparator, &str)> {
    Comparator::ALL.into_iter().find_map(|comparator| {
        let rest = strip_words(text, comparator.as_str())?;
        let word = comparator
            .as_str()
            .ends_with(|c: char| c.is_ascii_alphabetic());
        let glued = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        (!(word && glued)).then_some((comparator, rest))
    })
}

/// Strips words that may have any number of blanks between them.
fn strip_words<'a>(mut text: &'a str, words: &str) -> Option<&'a str> {
    for word in words.split(' ') {
        text = text.trim_start().strip_prefix(word)?;
    }
    Some(text)
}

fn parse_set(class: Class, text: &str) -> Result<Value, ParseError> {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let items = split_list(inner)
            .into_iter()
            .map(|item| parse_scalar(class, item.trim()));
        return Ok(Value::List(items.collect::<Result<_, _>>()?));
    }
    let range = text.split_once("..").filter(|_| !text.starts_with('"'));
    let Some((low, high)) = range else {
        return Err(ParseError::new(format!(
            "`in` takes a range such as 200..299 or a list such as [200, 204], not `{text}`"
        )));
    };
    let (low, high) = (
        parse_scalar(class, low.trim())?,
        parse_scalar(class, high.trim())?,
    );
    match (low.base(), high.base()) {
        (Some(from), Some(to)) if from <= to => Ok(Value::Range(Box::new(low), Box::new(high))),
        (Some(_), Some(_)) => Err(ParseError::new(format!(
            "the range `{text}` is empty: its end is below its start"
        ))),
        _ => Err(ParseError::new(format!(
            "a range needs numbers, not `{text}`"
        ))),
    }
}

/// Splits at commas outside quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    if !text[start..].trim().is_empty() {
        items.push(&text[start..]);
    }
    items
}

fn parse_scalar(class: Class, text: &str) -> Result<Value, ParseError> {
    match class {
        Class::Text => unquote(text).map(Value::Text),
        Class::Json => Ok(match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => match parse_number(text) {
                Some((number, Unit::None)) => Value::Number(number, Unit::None),
                _ => Value::Text(unquote(text)?),
            },
        }),
        _ => {
            let (number, unit) = parse_number(text).ok_or_else(|| expected(class, text))?;
            if unit.class() == class {
                Ok(Value::Number(number, unit))
            } else {
                Err(expected(class, text))
            }
        }
    }
}

fn expected(class: Class, text: &str) -> ParseError {
    let what = match class {
        Class::Duration => "a duration such as 400ms or 2s",
        Class::Bytes => "a size such as 512B, 10kB or 1MiB",
        Class::Percent => "a percentage such as 20%",
        Class::Number => "a number without a unit",
        Class::Text | Class::Json => "a value",
    };
    ParseError::new(format!("expected {what}, got `{text}`"))
}

fn parse_number(text: &str) -> Option<(f64, Unit)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = Unit::from_suffix(text[end..].trim())?;
    number.is_finite().then_some((number, unit))
}

/// The text inside double quotes, or the bare text itself.
///
/// `\"` and `\\` are the escapes; any other backslash stays, so that `"\d+"` is a pattern as written.
fn unquote(text: &str) -> Result<String, ParseError> {
    let Some(inner) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.peek().is_none() => return Ok(out),
            '"' => break,
            '\\' if matches!(chars.peek(), Some('"' | '\\')) => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    Err(ParseError::new(format!(
        "the quotes of `{text}` do not match"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        let assertion: Assertion = text.parse().expect(text);
        assert_eq!(assertion.to_string(), canonical);
        assert_eq!(canonical.parse::<Assertion>().expect(canonical), assertion);
    }

    #[track_caller]
    fn check_error(text: &str, message: &str) {
        assert_eq!(text.parse::<Assertion>().expect_err(text).message, message);
    }

    #[test]
    fn every_form_reads_and_writes_itself() {
        check("status == 200", "status == 200");
        check("status in 200..299", "status in 200..299");
        check("status in [200, 204]", "status in [200, 204]");
        check("status not in 500..599", "status not in 500..599");
        check(r#"json $.database == "up""#, r#"json $.database == "up""#);
        check("json $['a b'] != 5", "json $['a b'] != 5");
        check(
            "json $.items[?@.n == 1].ok == true",
            "json $.items[?@.n == 1].ok == true",
        );
        check(
            "header Content-Type contains json",
            r#"header content-type contains "json""#,
        );
        check("latency<2s", "latency < 2s");
        check("phase.wait >=  1.5ms", "phase.wait >= 1.5ms");
        check("body  not   contains a b", r#"body not contains "a b""#);
        check(
            r#"body matches "\d+ \"x\"""#,
            r#"body matches "\\d+ \"x\"""#,
        );
        check("dns.answer is not empty", "dns.answer is not empty");
        check("icmp.loss < 20%", "icmp.loss < 20%");
        check("size <= 10kB", "size <= 10kB");
        check(
            "tls.version in [1.2, 1.3]",
            r#"tls.version in ["1.2", "1.3"]"#,
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        check_error(
            "latency < 2",
            "expected a duration such as 400ms or 2s, got `2`",
        );
        check_error("status < 2s", "expected a number without a unit, got `2s`");
        check_error(
            "colour == red",
            "`colour` is nothing that can be asserted on",
        );
        check_error(
            "json $..a..b == 1",
            "`$..a..b` has more than one `..`: say more of the path",
        );
        check_error("header", "`header` needs a name");
        check_error(
            "status in 200",
            "`in` takes a range such as 200..299 or a list such as [200, 204], not `200`",
        );
        check_error(
            "status in 299..200",
            "the range `299..200` is empty: its end is below its start",
        );
        check_error("body is empty x", "`is empty` takes no value, but got `x`");
        check_error("status ==", "a value is missing after `status ==`");
        check_error(r#"body == "a"#, "the quotes of `\"a` do not match");
        check_error("header x > y", "`>` compares numbers, and `y` is none");
        assert!("body matches (".parse::<Assertion>().is_err());
        assert!("status near 200".parse::<Assertion>().is_err());
    }

    fn values() -> impl Strategy<Value = (String, &'static str)> {
        prop_oneof![
            (
                0_u32..100_000,
                prop::sample::select(vec!["us", "ms", "s", "m", "h", "d"])
            )
                .prop_map(|(n, unit)| (format!("{n}{unit}"), "latency")),
            (0_u32..1000).prop_map(|n| (n.to_string(), "status")),
            ".{1,20}".prop_map(|text| {
                (
                    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")),
                    "body",
                )
            }),
            (0.0_f64..1e12).prop_map(|n| (n.to_string(), "json $.a")),
        ]
    }

    proptest! {
        #[test]
        fn text_round_trips(
            (value, source) in values(), comparator in prop::sample::select(vec!["==", "!="])
        ) {
            let text = format!("{source} {comparator} {value}");
            let once: Assertion = text.parse().unwrap();
            let twice: Assertion = once.to_string().parse().unwrap();
            prop_assert_eq!(once.to_string(), twice.to_string());
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Assertion>();
        }
    }
}
