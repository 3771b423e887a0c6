//! Whether what was seen is as expected.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde_json::Value as Json;

use super::value::Class;
use super::{Comparator, Source, Value};
use crate::format_duration;

/// What a source is in one result. Borrowed where it may be large: the target decides how large.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<'a> {
    /// No such header, no answer, no TLS.
    Missing,
    Text(Cow<'a, str>),
    /// In the base unit: microseconds, bytes, percent or plain.
    Number(f64),
    /// Several texts of which one may match: SANs, DNS answers, repeated headers.
    List(Vec<String>),
    /// The nodes that a JSON path selected.
    Json(Vec<&'a Json>),
}

pub(super) fn holds(comparator: Comparator, value: &Value, seen: &Seen<'_>) -> bool {
    use Comparator as C;
    match comparator {
        C::Equal => any(seen, |one| equal(value, one)),
        C::NotEqual => !any(seen, |one| equal(value, one)),
        C::Greater => ordered(value, seen, |seen, value| seen > value),
        C::GreaterOrEqual => ordered(value, seen, |seen, value| seen >= value),
        C::Less => ordered(value, seen, |seen, value| seen < value),
        C::LessOrEqual => ordered(value, seen, |seen, value| seen <= value),
        C::In => any(seen, |one| within(value, one)),
        C::NotIn => !any(seen, |one| within(value, one)),
        C::Contains => contains(value, seen),
        C::NotContains => !contains(value, seen),
        C::Matches => any(seen, |one| matches(value, one)),
        C::NotMatches => !any(seen, |one| matches(value, one)),
        C::IsEmpty => !any(seen, |one| !is_empty(one)),
        C::IsNotEmpty => any(seen, |one| !is_empty(one)),
    }
}

/// One of the things that were seen.
enum One<'a> {
    Text(&'a str),
    Number(f64),
    Json(&'a Json),
}

impl<'a> From<&'a Json> for One<'a> {
    fn from(node: &'a Json) -> Self {
        match node {
            Json::String(text) => Self::Text(text),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            other => Self::Json(other),
        }
    }
}

fn any(seen: &Seen<'_>, test: impl Fn(&One<'_>) -> bool) -> bool {
    match seen {
        Seen::Missing => false,
        Seen::Text(text) => test(&One::Text(text)),
        Seen::Number(number) => test(&One::Number(*number)),
        Seen::List(items) => items.iter().any(|item| test(&One::Text(item))),
        Seen::Json(nodes) => nodes.iter().any(|node| test(&One::from(*node))),
    }
}

fn number(one: &One<'_>) -> Option<f64> {
    match one {
        One::Number(number) => Some(*number),
        One::Text(text) => text.trim().parse().ok(),
        One::Json(_) => None,
    }
}

/// Equal as far as two decimal texts of one number can be told apart.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= f64::EPSILON * a.abs().max(b.abs()).max(1.0)
}

fn equal(value: &Value, one: &One<'_>) -> bool {
    match (value, one) {
        (Value::Text(expected), One::Text(seen)) => expected == seen,
        (Value::Number(..), One::Number(seen)) => {
            value.base().is_some_and(|expected| same(expected, *seen))
        }
        (Value::Bool(expected), One::Json(Json::Bool(seen))) => expected == seen,
        (Value::Null, One::Json(seen)) => seen.is_null(),
        _ => false,
    }
}

fn ordered(value: &Value, seen: &Seen<'_>, test: impl Fn(f64, f64) -> bool) -> bool {
    let Some(expected) = value.base() else {
        return false;
    };
    any(seen, |one| {
        number(one).is_some_and(|seen| test(seen, expected))
    })
}

fn within(value: &Value, one: &One<'_>) -> bool {
    match value {
        Value::Range(low, high) => match (low.base(), high.base(), number(one)) {
            (Some(low), Some(high), Some(seen)) => (low..=high).contains(&seen),
            _ => false,
        },
        Value::List(items) => items.iter().any(|item| equal(item, one)),
        _ => false,
    }
}

/// A part of a text; a whole element of a list or a JSON array.
fn contains(value: &Value, seen: &Seen<'_>) -> bool {
    match (value, seen) {
        (Value::Text(part), Seen::Text(text)) => text.contains(part.as_str()),
        (_, Seen::List(_)) => any(seen, |one| equal(value, one)),
        (_, Seen::Json(nodes)) => nodes.iter().any(|node| match (node, value) {
            (Json::Array(items), _) => items.iter().any(|item| equal(value, &item.into())),
            (Json::String(text), Value::Text(part)) => text.contains(part.as_str()),
            _ => false,
        }),
        _ => false,
    }
}

fn matches(value: &Value, one: &One<'_>) -> bool {
    let Value::Pattern(pattern) = value else {
        return false;
    };
    match one {
        One::Text(text) => pattern.regex().is_match(text),
        One::Number(number) => pattern.regex().is_match(&number.to_string()),
        One::Json(json) => pattern.regex().is_match(&json.to_string()),
    }
}

fn is_empty(one: &One<'_>) -> bool {
    match one {
        One::Text(text) => text.is_empty(),
        One::Number(_) => false,
        One::Json(json) => match json {
            Json::Null => true,
            Json::Array(items) => items.is_empty(),
            Json::Object(fields) => fields.is_empty(),
            _ => false,
        },
    }
}

/// Characters shown at most; what matters is seen long before.
const SHOWN: usize = 200;

pub(super) fn show(source: &Source, seen: &Seen<'_>) -> String {
    let mut shown = Shown::default();
    // The only error is that there is no more room.
    let _ = match seen {
        Seen::Missing => shown.write_str("nothing"),
        Seen::Text(text) if text.is_empty() => shown.write_str("nothing"),
        Seen::Text(text) => shown.write_str(text),
        Seen::Number(number) => shown.write_str(&with_unit(source, *number)),
        Seen::List(items) if items.is_empty() => shown.write_str("nothing"),
        Seen::List(items) => shown.list(items),
        Seen::Json(nodes) if nodes.is_empty() => shown.write_str("nothing at that path"),
        Seen::Json(nodes) => shown.list(nodes),
    };
    shown.0
}

fn with_unit(source: &Source, number: f64) -> String {
    match source.class() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "µs"
        )]
        Class::Duration => format_duration(Duration::from_micros(number.max(0.0) as u64)),
        Class::Bytes => format!("{number}B"),
        Class::Percent => format!("{}%", (number * 10.0).round() / 10.0),
        _ => number.to_string(),
    }
}

/// A text that refuses more than [`SHOWN`] characters, so that nobody goes on printing what nobody sees.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn list(&mut self, items: &[impl fmt::Display]) -> fmt::Result {
        for (n, item) in items.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(self, "{comma}{item}")?;
        }
        Ok(())
    }
}

impl fmt::Write for Shown {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SHOWN.saturating_sub(self.0.chars().count());
        match text.char_indices().nth(room) {
            None => self.0.push_str(text),
            Some((end, _)) => {
                self.0.push_str(&text[..end]);
                self.0.push('…');
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::Assertion;

    #[track_caller]
    fn check(assertion: &str, seen: &Seen<'_>, expected: bool) {
        let parsed: Assertion = assertion.parse().expect(assertion);
        assert_eq!(parsed.holds(seen), expected, "{assertion} on {seen:?}");
    }

    fn list(items: &[&str]) -> Seen<'static> {
        Seen::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn numbers_compare_in_their_base_unit() {
        check("latency < 2s", &Seen::Number(1_999_999.0), true);
        check("latency < 2s", &Seen::Number(2_000_000.0), false);
        check("latency <= 2s", &Seen::Number(2_000_000.0), true);
        check("status in 200..204", &Seen::Number(204.0), true);
        check("status in 200..204", &Seen::Number(205.0), false);
        check("status in [200, 301]", &Seen::Number(301.0), true);
        check("status not in 500..599", &Seen::Number(503.0), false);
        check("size > 1kB", &Seen::Number(1000.0), false);
        check("tls.version >= 1.2", &Seen::Text("1.3".into()), true);
    }

    #[test]
    fn a_list_contains_whole_elements() {
        let answers = list(&["192.0.2.10", "192.0.2.20"]);
        check("dns.answer contains 192.0.2.1", &answers, false);
        check("dns.answer contains 192.0.2.10", &answers, true);
        check("dns.answer not contains 192.0.2.30", &answers, true);
        check(r"dns.answer matches \.20$", &answers, true);
    }

    #[track_caller]
    fn check_json(assertion: &str, node: &str, expected: bool) {
        let node = serde_json::from_str(node).unwrap();
        check(assertion, &Seen::Json(vec![&node]), expected);
    }

    #[test]
    fn json_keeps_its_types() {
        check_json("json $.a == 5", "5", true);
        check_json("json $.a == 5", "\"5\"", false);
        check_json("json $.a == \"5\"", "\"5\"", true);
        check_json("json $.a == true", "true", true);
        check_json("json $.a == null", "null", true);
        check_json("json $.a contains 2", "[1,2]", true);
        check_json("json $.a contains 20", "[1,2]", false);
        check_json("json $.a is empty", "[]", true);
        check_json("json $.a > 4", "5", true);
    }

    #[test]
    fn what_is_missing_holds_only_negatively() {
        for (assertion, expected) in [
            ("header x == a", false),
            ("header x != a", true),
            ("header x contains a", false),
            ("header x not contains a", true),
            ("header x not matches a", true),
            ("header x is empty", true),
            ("header x is not empty", false),
            ("latency < 1s", false),
        ] {
            check(assertion, &Seen::Missing, expected);
        }
    }

    #[test]
    fn a_negated_assertion_is_the_opposite_of_what_was_seen() {
        let seen = [Seen::Number(5.0), Seen::Text("5".into()), list(&["5", "7"])];
        for (assertion, seen) in [
            ("status > 5", &seen[0]),
            ("status <= 5", &seen[0]),
            ("status in 1..4", &seen[0]),
            ("body == 5", &seen[1]),
            ("body matches 6", &seen[1]),
            ("dns.answer contains 7", &seen[2]),
            ("dns.answer is empty", &seen[2]),
        ] {
            let assertion: Assertion = assertion.parse().expect(assertion);
            assert_ne!(
                assertion.holds(seen),
                assertion.negated().holds(seen),
                "{assertion}"
            );
            assert_eq!(assertion.negated().negated(), assertion);
        }
    }

    #[test]
    fn what_was_seen_is_shown_with_its_unit() {
        let show = |source: &str, seen| show(&Source::new(source, None).unwrap(), &seen);
        assert_eq!(show("latency", Seen::Number(1_500_000.0)), "1s 500ms");
        assert_eq!(show("icmp.loss", Seen::Number(33.333_333)), "33.3%");
        assert_eq!(show("body", Seen::Missing), "nothing");
        assert_eq!(
            show("body", Seen::Text("ü".repeat(300).into()))
                .chars()
                .count(),
            201
        );
    }

    #[test]
    fn what_is_not_shown_is_not_printed() {
        /// Counts how often it is printed.
        struct Node<'a>(&'a Cell<usize>);
        impl fmt::Display for Node<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(self.0.get() + 1);
                f.write_str("12345678")
            }
        }
        let printed = Cell::new(0);
        let mut shown = Shown::default();
        let nodes: Vec<_> = (0..1000).map(|_| Node(&printed)).collect();
        assert_eq!(shown.list(&nodes), Err(fmt::Error));
        assert_eq!(printed.get(), SHOWN / 10 + 1);
        assert_eq!(shown.0.chars().count(), SHOWN + 1);
        let mut full = Shown("x".repeat(SHOWN));
        assert_eq!(full.write_str(""), Ok(()));
        assert_eq!(full.write_str("x"), Err(fmt::Error));
    }
}
