//! What the importers have in common: reading what may be anything, and monitors that say no more than the file does.

use std::collections::BTreeSet;
use std::time::Duration;

use sonde_core::{
    AlertRule, Assertion, Comparator, MIN_INTERVAL, Monitor, MonitorId, Pattern, RetryPolicy,
    Source, Spec, Unit, Value as Expected, WorkspaceId, format_duration,
};
use url::Url;

use super::Draft;
use crate::checkup::number;
use crate::decode::{Context, Item};
use crate::fields::Fields;
use crate::names;
use crate::node::{Literal, Node, Value};
use crate::shared::{DEFAULT_INTERVAL, DEFAULT_TIMEOUT};

/// What is said of things that Sonde has nothing for.
pub(super) const NO_EQUIVALENT: &str = "has no equivalent here";

/// Longer durations are slips, and would not be read back.
const LONGEST_S: f64 = 366.0 * 86_400.0;

/// Nanoseconds of the units of Go, and of those that Prometheus adds.
const UNITS: [(&str, f64); 10] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
    ("w", 7.0 * 86_400e9),
    ("y", 365.0 * 86_400e9),
];

pub(super) fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.literal() == Literal::Null)
}

/// Whether a value says more than the zero value that exports write for everything.
pub(super) fn is_set(item: &Item<'_>) -> bool {
    match &item.node.value {
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Scalar(scalar) => match scalar.literal() {
            Literal::Null | Literal::Bool(false) | Literal::Integer(0) => false,
            _ => !scalar.text.is_empty(),
        },
    }
}

/// Says so where nothing came of an item; why is said at the part of it that was the reason.
pub(super) fn kept(item: &Item<'_>, draft: Option<Draft>) -> Option<Draft> {
    if draft.is_none() {
        item.warning("left out");
    }
    draft
}

/// Takes keys that say something which cannot be said here.
pub(super) fn leave_out(fields: &mut Fields<'_>, keys: &[&'static str]) {
    for key in keys {
        if let Some(item) = fields.take(key).filter(is_set) {
            item.warning(NO_EQUIVALENT);
        }
    }
}

/// Takes keys that mean nothing to a monitor.
pub(super) fn pass_over(fields: &mut Fields<'_>, keys: &[&'static str]) {
    for key in keys {
        fields.take(key);
    }
}

/// Any scalar as text, nothing when it is empty.
pub(super) fn text(item: Option<Item<'_>>) -> Option<&str> {
    let text = item?.scalar()?;
    (!text.is_empty()).then_some(text)
}

/// `true` and `false`, or 1 and 0 as databases export them.
pub(super) fn flag(item: Option<Item<'_>>) -> Option<bool> {
    let item = item?;
    if item.is_number() {
        return Some(item.integer::<u8>(0, 1)? == 1);
    }
    item.boolean()
}

/// `1m30s` as Go and Prometheus write it; a bare number is nanoseconds, as for Go.
pub(super) fn duration(item: &Item<'_>) -> Option<Duration> {
    if item.is_number() {
        return nanoseconds_to(item, item.number(0.0, f64::MAX)?);
    }
    match nanoseconds(item.scalar()?) {
        Some(nanoseconds) => nanoseconds_to(item, nanoseconds),
        None => item.expected("a duration such as 30s or 1m30s"),
    }
}

pub(super) fn seconds(item: &Item<'_>) -> Option<Duration> {
    Duration::try_from_secs_f64(item.number(0.0, LONGEST_S)?).ok()
}

pub(super) fn milliseconds(item: &Item<'_>) -> Option<Duration> {
    Duration::try_from_secs_f64(item.number(0.0, LONGEST_S * 1e3)? / 1e3).ok()
}

fn nanoseconds_to(item: &Item<'_>, nanoseconds: f64) -> Option<Duration> {
    let seconds = nanoseconds / 1e9;
    if seconds > LONGEST_S {
        item.problem("longer than a year, which is taken for a slip");
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// The length of a duration as Go and Prometheus write it.
pub(super) fn nanoseconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0.0);
    }
    let numeric = |c: char| c.is_ascii_digit() || c == '.';
    let mut total = None;
    while !rest.is_empty() {
        let (amount, after) = rest.split_at(rest.find(|c| !numeric(c))?);
        let (unit, after) = after.split_at(after.find(numeric).unwrap_or(after.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = Some(total.unwrap_or(0.0) + amount.parse::<f64>().ok()? * factor);
        rest = after;
    }
    total
}

/// A duration, with its place where the file has it.
#[derive(Clone)]
pub(super) struct Timed<'a> {
    item: Option<Item<'a>>,
    value: Duration,
}

impl<'a> Timed<'a> {
    /// `standard` where the file says nothing, or zero.
    pub(super) fn new(
        item: Option<Item<'a>>,
        read: fn(&Item<'_>) -> Option<Duration>,
        standard: Duration,
    ) -> Self {
        let given = item
            .as_ref()
            .and_then(read)
            .filter(|given| !given.is_zero());
        Self {
            item: item.filter(|_| given.is_some()),
            value: given.unwrap_or(standard),
        }
    }

    pub(super) const fn value(&self) -> Duration {
        self.value
    }
}

/// Sets the interval, raised to the shortest that there is, and the timeout, lowered to that; says so where it does.
pub(super) fn set_times(monitor: &mut Monitor, interval: &Timed<'_>, timeout: &Timed<'_>) {
    monitor.interval = rounded(interval.value).max(MIN_INTERVAL);
    monitor.timeout = rounded(timeout.value).min(monitor.interval);
    if let Some(item) = &interval.item
        && interval.value < MIN_INTERVAL
    {
        let (from, to) = (
            format_duration(interval.value),
            format_duration(MIN_INTERVAL),
        );
        item.warning(format!("raised from {from} to {to}, the shortest interval"));
    }
    if let Some(item) = &timeout.item
        && timeout.value > monitor.interval
    {
        let (from, to) = (
            format_duration(timeout.value),
            format_duration(monitor.interval),
        );
        item.warning(format!(
            "lowered from {from} to {to}: a timeout is at most the interval"
        ));
    }
}

/// To whole microseconds, which durations are written in, and never to nothing.
fn rounded(duration: Duration) -> Duration {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(microseconds.max(1))
}

/// A monitor that is checked once per interval, without a second attempt.
pub(super) fn monitor(context: &Context<'_>, id: MonitorId, name: &str, spec: Spec) -> Monitor {
    Monitor {
        workspace: WorkspaceId::local(),
        name: shown(name, &id),
        id,
        spec,
        interval: DEFAULT_INTERVAL,
        timeout: DEFAULT_TIMEOUT,
        retry: RetryPolicy {
            retries: 0,
            ..context.inputs.queues.retry
        },
        regions: context
            .inputs
            .options
            .default_region
            .iter()
            .cloned()
            .collect(),
        expect: Vec::new(),
        degraded: Vec::new(),
        alert: AlertRule::default(),
        depends_on: Vec::new(),
        tags: Vec::new(),
        paused: false,
    }
}

/// The name without what cannot be shown, or the id where nothing is left.
pub(super) fn shown(name: &str, id: &MonitorId) -> String {
    let plain = |c| if names::is_plain(c) { c } else { ' ' };
    let name: String = name.chars().map(plain).collect();
    match name.trim() {
        "" => id.to_string(),
        name => name.to_owned(),
    }
}

/// Each once, and none that is empty.
pub(super) fn tags(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let tags = tags.into_iter().map(|tag| tag.trim().to_owned());
    tags.filter(|tag| !tag.is_empty() && seen.insert(tag.clone()))
        .collect()
}

/// A name and a value as one tag.
pub(super) fn tag(name: &str, value: &str) -> String {
    if value.trim().is_empty() {
        name.to_owned()
    } else {
        format!("{name}:{value}")
    }
}

/// Lets anything pass that Sonde takes for granted and the other tool does not, unless something is asserted on it.
pub(super) fn presume_nothing(spec: &Spec, expect: &mut Vec<Assertion>) {
    let asserted = |expect: &[Assertion], source: &Source| {
        expect.iter().any(|assertion| assertion.source == *source)
    };
    match spec {
        Spec::Http(_) if !asserted(expect, &Source::Status) => {
            let comparator = Comparator::GreaterOrEqual;
            expect.push(number(Source::Status, comparator, 100.0, Unit::None));
        }
        Spec::Dns(_) => {
            if !asserted(expect, &Source::DnsRcode) {
                expect.push(plain(Source::DnsRcode, Comparator::IsNotEmpty));
            }
            if !asserted(expect, &Source::DnsCount) && !asserted(expect, &Source::DnsAnswer) {
                let comparator = Comparator::GreaterOrEqual;
                expect.push(number(Source::DnsCount, comparator, 0.0, Unit::None));
            }
        }
        _ => {}
    }
}

/// An assertion without a value.
pub(super) fn plain(source: Source, comparator: Comparator) -> Assertion {
    Assertion {
        source,
        comparator,
        value: Expected::Nothing,
    }
}

pub(super) fn with_text(source: Source, comparator: Comparator, text: &str) -> Assertion {
    Assertion {
        source,
        comparator,
        value: Expected::Text(text.to_owned()),
    }
}

/// Whether it compares numbers only.
pub(super) const fn is_order(comparator: Comparator) -> bool {
    matches!(
        comparator,
        Comparator::Greater
            | Comparator::GreaterOrEqual
            | Comparator::Less
            | Comparator::LessOrEqual
    )
}

/// The value as JSON may hold it: the number or word that is written, else the text.
pub(super) fn json_value(text: &str) -> Expected {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number.filter(|number| number.to_string() == text), text) {
        (Some(number), _) => Expected::Number(number, Unit::None),
        (None, "true" | "false") => Expected::Bool(text == "true"),
        _ => Expected::Text(text.to_owned()),
    }
}

/// The error says what is wrong with the pattern.
pub(super) fn with_pattern(
    source: Source,
    comparator: Comparator,
    pattern: &str,
) -> Result<Assertion, String> {
    Ok(Assertion {
        source,
        comparator,
        value: Expected::Pattern(Pattern::new(pattern)?),
    })
}

/// A proxy as far as there are such: by HTTP.
pub(super) fn proxy(item: &Item<'_>) -> Option<Url> {
    item.parse(|text| Url::parse(text).map_err(|error| format!("not a valid URL: {error}")))
}

pub(super) fn imply_content_type(headers: &mut Vec<(String, String)>, value: &str) {
    let is_content_type = |name: &str| name.eq_ignore_ascii_case("content-type");
    if !headers.iter().any(|(name, _)| is_content_type(name)) {
        headers.push(("content-type".to_owned(), value.to_owned()));
    }
}

/// A text as the pattern that matches just it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Duration>) {
        let read = nanoseconds(text).map(|ns| Duration::try_from_secs_f64(ns / 1e9).unwrap());
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn durations_are_read_as_go_and_prometheus_write_them() {
        check("30s", Some(Duration::from_secs(30)));
        check("1m30s", Some(Duration::from_secs(90)));
        check("1.5h", Some(Duration::from_mins(90)));
        check("300ms", Some(Duration::from_millis(300)));
        check("2d", Some(Duration::from_hours(48)));
        check("0", Some(Duration::ZERO));
        for text in ["", "5", "s", "1x", "1m5", "-1s", "1..s", "1 m"] {
            check(text, None);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself() {
        let text = r"a.b*c (d) [e] {f} ^$ | \ + ? # & - ~ ä";
        let pattern = Pattern::new(&format!("^{}$", escaped(text))).unwrap();
        assert!(pattern.regex().is_match(text));
    }
}
