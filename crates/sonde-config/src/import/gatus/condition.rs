//! Gatus's conditions, `[STATUS] == 200`, as assertions.
//!
//! Gatus compares texts where an assertion compares values of a type; where that could differ, patterns do the same.

use sonde_core::{Assertion, Comparator, Source, Spec, Unit, Value};

use super::super::lenient::{
    NO_EQUIVALENT, escaped, json_value, nanoseconds, plain, with_pattern, with_text,
};
use crate::checkup::number;
use crate::decode::Item;

pub(super) enum Meaning {
    /// All of these.
    Expected(Vec<Assertion>),
    /// A check that succeeds fulfils it.
    Implied,
    /// Only a check that fails fulfils it.
    Opposite,
    /// Noted.
    Unknown,
}

/// In the order in which Gatus looks for them.
const COMPARATORS: [(&str, Comparator); 6] = [
    (" == ", Comparator::Equal),
    (" != ", Comparator::NotEqual),
    (" <= ", Comparator::LessOrEqual),
    (" >= ", Comparator::GreaterOrEqual),
    (" > ", Comparator::Greater),
    (" < ", Comparator::Less),
];

/// Of the end of a domain.
const OWN_MONITOR: &str =
    "is what a monitor of kind `domain` watches: add one, and its end is told long before";

const NANOSECONDS_PER_DAY: f64 = 86_400e9;

pub(super) fn read(item: &Item<'_>, spec: &Spec) -> Meaning {
    let Some(text) = item.scalar() else {
        return Meaning::Unknown;
    };
    let meaning = Condition::parse(text).and_then(|condition| condition.meaning(spec));
    let meaning = meaning.unwrap_or_else(|reason| {
        item.warning(format!("`{text}` {reason}"));
        Meaning::Unknown
    });
    if let Meaning::Expected(assertions) = &meaning {
        let kind = spec.kind();
        let strange = assertions.iter().find(|one| !one.source.applies_to(kind));
        if let Some(strange) = strange {
            let source = &strange.source;
            item.warning(format!(
                "`{text}`: a check of kind {kind} has no `{source}`"
            ));
            return Meaning::Unknown;
        }
    }
    if matches!(meaning, Meaning::Opposite) {
        item.warning(format!(
            "`{text}` {NO_EQUIVALENT}: no check expects to fail"
        ));
    }
    meaning
}

/// What a placeholder stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    None,
    Length,
    Presence,
}

/// Placeholder on the left, value on the right.
struct Condition<'a> {
    function: Function,
    /// In capitals as far as Gatus knows it.
    placeholder: String,
    /// What follows the placeholder: `.data[0].name`.
    path: &'a str,
    comparator: Comparator,
    value: &'a str,
}

impl<'a> Condition<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let split = COMPARATORS.iter().find_map(|(sign, comparator)| {
            let (left, right) = text.split_once(sign)?;
            Some((left.trim(), *comparator, right.trim()))
        });
        let (left, comparator, right) =
            split.ok_or("is no condition: VALUE COMPARATOR VALUE is expected")?;
        Self::new(left, comparator, right)
            .or_else(|| Self::new(right, mirrored(comparator), left))
            .ok_or_else(|| NO_EQUIVALENT.to_owned())
    }

    fn new(subject: &'a str, comparator: Comparator, value: &'a str) -> Option<Self> {
        let inner = |name: &str| subject.strip_prefix(name)?.strip_suffix(')');
        let (function, subject) = match (inner("len("), inner("has(")) {
            (Some(inner), _) => (Function::Length, inner),
            (_, Some(inner)) => (Function::Presence, inner),
            _ => (Function::None, subject),
        };
        let end = subject.starts_with('[').then(|| subject.find(']'))??;
        let (placeholder, path) = subject.split_at(end + 1);
        Some(Self {
            function,
            placeholder: placeholder.to_ascii_uppercase(),
            path,
            comparator,
            value,
        })
    }

    fn meaning(&self, spec: &Spec) -> Result<Meaning, String> {
        let unknown = || Err(NO_EQUIVALENT.to_owned());
        let assertions = match (self.placeholder.as_str(), self.function) {
            ("[CONNECTED]", Function::None) => return self.connected(),
            ("[STATUS]", Function::None) => vec![self.compare(Source::Status)?],
            ("[DNS_RCODE]", Function::None) => vec![self.compare(Source::DnsRcode)?],
            ("[RESPONSE_TIME]", Function::None) => vec![self.response_time()?],
            ("[CERTIFICATE_EXPIRATION]", Function::None) => vec![self.certificate()?],
            ("[DOMAIN_EXPIRATION]", _) => return Err(OWN_MONITOR.to_owned()),
            ("[HEADER]", function) => {
                let name = self.path.strip_prefix('.').unwrap_or_default();
                let source = Source::new("header", Some(name)).map_err(|error| error.message)?;
                match function {
                    Function::None => vec![self.compare(source)?],
                    Function::Presence => vec![self.presence(source)?],
                    Function::Length => return unknown(),
                }
            }
            ("[BODY]", _) if self.path.contains("[*]") => return unknown(),
            ("[BODY]", function) if self.path.is_empty() => match function {
                Function::None => vec![self.body(spec)?],
                Function::Presence => vec![self.body_presence()?],
                Function::Length => self.length(Source::Body)?,
            },
            ("[BODY]", function) => match function {
                Function::None => vec![self.compare(self.json("")?)?],
                Function::Presence => vec![self.presence(self.json("")?)?],
                Function::Length => self.length(self.json("")?)?,
            },
            _ => return unknown(),
        };
        Ok(Meaning::Expected(assertions))
    }

    fn connected(&self) -> Result<Meaning, String> {
        if self.is_true()? {
            Ok(Meaning::Implied)
        } else {
            Ok(Meaning::Opposite)
        }
    }

    /// Whether `true` is expected of something that is `true` or `false`.
    fn is_true(&self) -> Result<bool, String> {
        match (self.comparator, self.value) {
            (Comparator::Equal, "true") | (Comparator::NotEqual, "false") => Ok(true),
            (Comparator::Equal, "false") | (Comparator::NotEqual, "true") => Ok(false),
            _ => Err("is no comparison with true or false".to_owned()),
        }
    }

    /// Bare numbers are milliseconds.
    fn milliseconds(&self) -> Result<f64, String> {
        let bare = self
            .value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        bare.or_else(|| Some(nanoseconds(self.value)? / 1e6))
            .ok_or_else(|| format!("compares a time with \"{}\"", self.value))
    }

    fn response_time(&self) -> Result<Assertion, String> {
        let milliseconds = self.milliseconds()?;
        let unit = Unit::Milliseconds;
        Ok(number(Source::Latency, self.comparator, milliseconds, unit))
    }

    /// Sonde counts whole days, rounded down: more than 2 days is 2 or more of these.
    fn certificate(&self) -> Result<Assertion, String> {
        let comparator = match self.comparator {
            Comparator::Greater | Comparator::GreaterOrEqual => Comparator::GreaterOrEqual,
            Comparator::Less | Comparator::LessOrEqual => Comparator::Less,
            _ => return Err(NO_EQUIVALENT.to_owned()),
        };
        let days = self.milliseconds()? * 1e6 / NANOSECONDS_PER_DAY;
        Ok(number(
            Source::TlsDaysLeft,
            comparator,
            days.ceil(),
            Unit::None,
        ))
    }

    /// What `[BODY]` is depends on what is asked. Gatus trims it.
    fn body(&self, spec: &Spec) -> Result<Assertion, String> {
        let equality = match self.comparator {
            Comparator::Equal => Some(Comparator::Matches),
            Comparator::NotEqual => Some(Comparator::NotMatches),
            _ => None,
        };
        match (spec, equality) {
            // Gatus shows names of these without what stands before them.
            (Spec::Dns(dns), Some(matches))
                if ["MX", "SRV"].contains(&dns.record_type.as_str()) =>
            {
                let pattern = format!(r"(?s)(?:^|\s)(?:{})$", alternatives(self.value)?);
                with_pattern(Source::DnsAnswer, matches, &pattern)
            }
            (Spec::Dns(_), _) => self.compare(Source::DnsAnswer),
            (_, None) => self.compare(body_of(spec)),
            (_, Some(matches)) => {
                let source = body_of(spec);
                if let Some(part) = contained(self.value) {
                    let comparator = match matches {
                        Comparator::Matches => Comparator::Contains,
                        _ => Comparator::NotContains,
                    };
                    return Ok(with_text(source, comparator, &part));
                }
                let pattern = format!(r"(?s)^\s*(?:{})\s*$", alternatives(self.value)?);
                with_pattern(source, matches, &pattern)
            }
        }
    }

    fn body_presence(&self) -> Result<Assertion, String> {
        let comparator = if self.is_true()? {
            Comparator::Matches
        } else {
            Comparator::NotMatches
        };
        with_pattern(Source::Body, comparator, r"\S")
    }

    /// Null counts as absent for Gatus, so emptiness comes closest to `false`.
    fn presence(&self, source: Source) -> Result<Assertion, String> {
        if self.is_true()? {
            with_pattern(source, Comparator::Matches, "^")
        } else {
            Ok(plain(source, Comparator::IsEmpty))
        }
    }

    /// That there is something, as it is of arrays, objects and texts; any other length only of arrays, by what is and
    /// is not there.
    fn length(&self, source: Source) -> Result<Vec<Assertion>, String> {
        use Comparator as C;
        let length = self.value.parse::<u32>();
        let length = length.map_err(|_| format!("compares a length with \"{}\"", self.value))?;
        let is = |there: bool, at: u32| {
            let comparator = if there { C::Matches } else { C::NotMatches };
            with_pattern(self.json(&format!("[{at}]"))?, comparator, "^")
        };
        match self.comparator {
            C::Greater | C::NotEqual if length == 0 => Ok(vec![plain(source, C::IsNotEmpty)]),
            C::GreaterOrEqual if length == 1 => Ok(vec![plain(source, C::IsNotEmpty)]),
            C::Equal | C::LessOrEqual if length == 0 => Ok(vec![plain(source, C::IsEmpty)]),
            C::Less if length == 1 => Ok(vec![plain(source, C::IsEmpty)]),
            C::Greater => Ok(vec![is(true, length)?]),
            C::GreaterOrEqual if length > 0 => Ok(vec![is(true, length - 1)?]),
            C::Less if length > 0 => Ok(vec![is(false, length - 1)?]),
            C::LessOrEqual => Ok(vec![is(false, length)?]),
            C::Equal => Ok(vec![is(true, length - 1)?, is(false, length)?]),
            _ => Err(NO_EQUIVALENT.to_owned()),
        }
    }

    /// The path as RFC 9535 has it, with `more` behind it.
    fn json(&self, more: &str) -> Result<Source, String> {
        let mut path = "$".to_owned();
        for part in self.path.split('.').filter(|part| !part.is_empty()) {
            let (key, index) = part.split_at(part.find('[').unwrap_or(part.len()));
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if key.chars().all(plain) && !key.starts_with(|c: char| c.is_ascii_digit()) {
                let dot = if key.is_empty() { "" } else { "." };
                path.push_str(&[dot, key].concat());
            } else {
                let key = key.replace('\\', r"\\").replace('\'', r"\'");
                path.extend(["['", &key, "']"]);
            }
            path.push_str(index);
        }
        path.push_str(more);
        Source::new("json", Some(&path))
            .map_err(|error| format!("cannot be read: {}", error.message))
    }

    /// With a value, with `any(…)` of several, or with a `pat(…)`.
    fn compare(&self, source: Source) -> Result<Assertion, String> {
        let (set, matches) = match self.comparator {
            Comparator::Equal => (Comparator::In, Comparator::Matches),
            Comparator::NotEqual => (Comparator::NotIn, Comparator::NotMatches),
            _ => return self.order(source),
        };
        if function(self.value, "pat(").is_some() {
            let pattern = anchored(&alternatives(self.value)?);
            return with_pattern(source, matches, &pattern);
        }
        let (comparator, value) = match function(self.value, "any(") {
            Some(options) => {
                let options = options
                    .split(',')
                    .map(|option| typed(&source, option.trim()));
                (set, Value::List(options.collect::<Result<_, _>>()?))
            }
            None => (self.comparator, typed(&source, self.value)?),
        };
        Ok(Assertion {
            source,
            comparator,
            value,
        })
    }

    fn order(&self, source: Source) -> Result<Assertion, String> {
        let number = self
            .value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("compares a number with \"{}\"", self.value))?;
        let value = match &source {
            Source::Status | Source::Json(_) => Value::Number(number, Unit::None),
            _ => Value::Text(number.to_string()),
        };
        let comparator = self.comparator;
        Ok(Assertion {
            source,
            comparator,
            value,
        })
    }
}

const fn mirrored(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Greater => Comparator::Less,
        Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        Comparator::Less => Comparator::Greater,
        Comparator::LessOrEqual => Comparator::GreaterOrEqual,
        other => other,
    }
}

fn body_of(spec: &Spec) -> Source {
    match spec {
        Spec::Tcp(_) => Source::TcpReply,
        _ => Source::Body,
    }
}

fn function<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.strip_prefix(name)?.strip_suffix(')')
}

/// The value as the source has it.
fn typed(source: &Source, text: &str) -> Result<Value, String> {
    match source {
        Source::Json(_) => Ok(json_value(text)),
        Source::Status => {
            let status = text.parse::<u16>();
            let status = status.map_err(|_| format!("compares a status with \"{text}\""))?;
            Ok(Value::Number(status.into(), Unit::None))
        }
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// The plain text of `pat(*text*)`.
fn contained(value: &str) -> Option<String> {
    let part = function(value, "pat(")?
        .strip_prefix('*')?
        .strip_suffix('*')?;
    (!part.is_empty() && !part.contains(['*', '?', '[', '\\'])).then(|| part.to_owned())
}

/// A pattern for a value, for all of `any(…)`, or for what `pat(…)` means.
fn alternatives(value: &str) -> Result<String, String> {
    if let Some(options) = function(value, "any(") {
        let options: Vec<_> = options
            .split(',')
            .map(|option| escaped(option.trim()))
            .collect();
        return Ok(options.join("|"));
    }
    let Some(glob) = function(value, "pat(") else {
        return Ok(escaped(value));
    };
    if glob.contains(['[', '\\']) {
        return Err(format!("has `{glob}`, and such a pattern {NO_EQUIVALENT}"));
    }
    let mut pattern = String::new();
    for c in glob.chars() {
        match c {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            c => pattern.push_str(&escaped(&c.to_string())),
        }
    }
    Ok(pattern)
}

/// Matches the whole text, said as briefly as possible.
fn anchored(pattern: &str) -> String {
    let (start, pattern) = match pattern.strip_prefix(".*") {
        Some(rest) => ("", rest),
        None => ("^", pattern),
    };
    let (pattern, end) = match pattern.strip_suffix(".*") {
        Some(rest) => (rest, ""),
        None => (pattern, "$"),
    };
    let dots = if pattern.contains(".*") { "(?s)" } else { "" };
    [dots, start, pattern, end].concat()
}

#[cfg(test)]
mod tests {
    use sonde_core::HttpSpec;

    use super::*;

    fn http() -> Spec {
        Spec::Http(Box::new(HttpSpec::get(
            "https://shop.example/".parse().unwrap(),
        )))
    }

    /// The assertions of a condition, or why there are none.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let meaning = Condition::parse(text).and_then(|condition| condition.meaning(&http()));
        let seen = match meaning {
            Err(reason) => reason,
            Ok(Meaning::Expected(assertions)) => {
                let texts: Vec<_> = assertions.iter().map(ToString::to_string).collect();
                for text in &texts {
                    text.parse::<Assertion>().expect(text);
                }
                texts.join("; ")
            }
            Ok(Meaning::Implied) => "implied".to_owned(),
            Ok(_) => "opposite".to_owned(),
        };
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn statuses_times_and_certificates_are_compared_as_numbers() {
        check("[STATUS] == 200", "status == 200");
        check("[status] < 300", "status < 300");
        check("200 == [STATUS]", "status == 200");
        check("300 > [STATUS]", "status < 300");
        check("[STATUS] == any(200, 429)", "status in [200, 429]");
        check("[STATUS] != any(500,503)", "status not in [500, 503]");
        check("[STATUS] == pat(2*)", "status matches \"^2\"");
        check("[RESPONSE_TIME] < 300", "latency < 300ms");
        check("[RESPONSE_TIME] <= 1.5s", "latency <= 1500ms");
        check("[CERTIFICATE_EXPIRATION] > 48h", "tls.days_left >= 2");
        check("[CERTIFICATE_EXPIRATION] > 36h", "tls.days_left >= 2");
        check("[CERTIFICATE_EXPIRATION] > 0", "tls.days_left >= 0");
        check("[CERTIFICATE_EXPIRATION] < 240h", "tls.days_left < 10");
        check("[STATUS] == ok", "compares a status with \"ok\"");
    }

    #[test]
    fn bodies_are_compared_trimmed() {
        check("[BODY] == OK", r#"body matches "(?s)^\\s*(?:OK)\\s*$""#);
        check(
            "[BODY] != a.b",
            r#"body not matches "(?s)^\\s*(?:a\\.b)\\s*$""#,
        );
        check(
            "[BODY] == pat(*<h1>Hi</h1>*)",
            r#"body contains "<h1>Hi</h1>""#,
        );
        check("[BODY] != pat(*down*)", r#"body not contains "down""#);
        check(
            "[BODY] == pat(a?*c)",
            r#"body matches "(?s)^\\s*(?:a..*c)\\s*$""#,
        );
        check(
            "[BODY] == any(up, ok)",
            r#"body matches "(?s)^\\s*(?:up|ok)\\s*$""#,
        );
        check("[BODY] > 5", r#"body > "5""#);
        check("has([BODY]) == true", r#"body matches "\\S""#);
        check("len([BODY]) > 0", "body is not empty");
    }

    #[test]
    fn paths_into_json_become_json_paths() {
        check("[BODY].status == UP", r#"json $.status == "UP""#);
        check("[BODY].data[0].id == 5", "json $.data[0].id == 5");
        check("[BODY][1].ok == true", "json $[1].ok == true");
        check(
            "[BODY].a-b.c d == 1.10",
            r#"json $['a-b']['c d'] == "1.10""#,
        );
        check(
            "[BODY].name == pat(john*)",
            r#"json $.name matches "^john""#,
        );
        check(
            "[BODY].name == pat(*j*n*)",
            r#"json $.name matches "(?s)j.*n""#,
        );
        check(
            "[BODY].role == any(admin, 5)",
            r#"json $.role in ["admin", 5]"#,
        );
        check("[BODY].age >= 18", "json $.age >= 18");
        check("has([BODY].errors) == false", "json $.errors is empty");
        check("has([BODY].data) == true", r#"json $.data matches "^""#);
        check("len([BODY].items) > 0", "json $.items is not empty");
        check("len([BODY].items) == 0", "json $.items is empty");
        check("len([BODY].items) > 5", r#"json $.items[5] matches "^""#);
        check(
            "len([BODY].items) <= 5",
            r#"json $.items[5] not matches "^""#,
        );
        check(
            "len([BODY]) == 2",
            r#"json $[1] matches "^"; json $[2] not matches "^""#,
        );
        check(
            "[HEADER].Content-Type == pat(*json*)",
            r#"header content-type matches "json""#,
        );
    }

    #[test]
    fn what_has_no_equivalent_is_said() {
        check("[CONNECTED] == true", "implied");
        check("[CONNECTED] != true", "opposite");
        for text in [
            "[IP] == 192.0.2.1",
            "[BODY].items[*].ok == true",
            "len([BODY].items) != 5",
            "age([BODY].at) < 1h",
        ] {
            check(text, NO_EQUIVALENT);
        }
        check("[DOMAIN_EXPIRATION] > 720h", OWN_MONITOR);
        let form = "is no condition: VALUE COMPARATOR VALUE is expected";
        check("[STATUS]==200", form);
        check("len([BODY].a) == -1", "compares a length with \"-1\"");
        check("[BODY].a < much", "compares a number with \"much\"");
        check(
            "[BODY] == pat([0-9])",
            "has `[0-9]`, and such a pattern has no equivalent here",
        );
    }
}
