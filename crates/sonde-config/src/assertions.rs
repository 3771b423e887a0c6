//! `expect` and `degraded`: assertions as text, or as a mapping with the same meaning.

use sonde_core::{Assertion, Comparator, Kind, ParseError, Source};

use crate::decode::Item;
use crate::fields::Fields;
use crate::problem::nearest;

/// The assertions that could be read. Without a kind (it is missing or wrong) none is held against it.
pub(crate) fn decode(item: Option<Item<'_>>, kind: Option<Kind>) -> Vec<Assertion> {
    let list = item.and_then(|item| item.list_of(|item| assertion(&item, kind)));
    list.unwrap_or_default()
}

fn assertion(item: &Item<'_>, kind: Option<Kind>) -> Option<Assertion> {
    let assertion = if item.is_map() {
        if swallowed_colon(item) {
            return None;
        }
        item.fields("assertion", structured).flatten()?
    } else {
        let parsed = item.filled()?.parse();
        parsed.map_err(|error| refuse(item, &error, kind)).ok()?
    };
    if let Some(kind) = kind
        && !assertion.source.applies_to(kind)
    {
        item.problem(format!(
            "a check of kind {kind} has no `{}`",
            assertion.source
        ));
        return None;
    }
    Some(assertion)
}

/// `- body contains a: b` is a mapping to YAML, which is never what was meant.
fn swallowed_colon(item: &Item<'_>) -> bool {
    let entries = item.entries().unwrap_or_default();
    let swallowed = matches!(&entries[..], [(key, _)] if key.trim().contains(' '));
    if swallowed {
        item.problem("an assertion that contains `: ` must stand in quotes");
    }
    swallowed
}

fn refuse(item: &Item<'_>, error: &ParseError, kind: Option<Kind>) {
    let near = error
        .unknown_source
        .as_deref()
        .and_then(|name| nearest_source(name, kind));
    item.problem_suggesting(error.message.clone(), near);
}

fn nearest_source(name: &str, kind: Option<Kind>) -> Option<String> {
    let applies = |name: &String| {
        let source = Source::new(name, Some("$"));
        kind.is_none_or(|kind| source.is_ok_and(|source| source.applies_to(kind)))
    };
    let names: Vec<_> = Source::names().filter(applies).collect();
    nearest(name, names.iter().map(String::as_str))
}

fn structured(fields: &mut Fields<'_>) -> Option<Assertion> {
    let source = fields.required("source");
    let argument = fields.take("argument").map(|item| item.filled());
    let comparator = fields.required("comparator").and_then(|item| {
        let options = Comparator::ALL.map(|comparator| (comparator.as_str(), comparator));
        item.choice(&options)
    });
    let value = fields.take("value");
    let (item, comparator) = (source?, comparator?);
    if argument == Some(None) {
        return None;
    }
    let source = Source::new(item.text()?, argument.flatten());
    let source = source.map_err(|error| refuse(&item, &error, None)).ok()?;
    let text = match &value {
        Some(value) => value_text(value, &source)?,
        None => String::new(),
    };
    let at = value.as_ref().unwrap_or(&fields.item);
    Assertion::new(source, comparator, &text)
        .map_err(|error| refuse(at, &error, None))
        .ok()
}

/// The value as the text form has it; a list becomes `[a, b]`.
fn value_text(value: &Item<'_>, source: &Source) -> Option<String> {
    if value.is_list() {
        let items = value.list_of(|item| scalar_text(&item, source))?;
        return Some(format!("[{}]", items.join(", ")));
    }
    scalar_text(value, source)
}

/// In quotes where text must not be taken for anything else: `"5"` in JSON is not `5`.
fn scalar_text(item: &Item<'_>, source: &Source) -> Option<String> {
    let Some(scalar) = item.as_scalar() else {
        item.problem("expected a value or a list of values");
        return None;
    };
    if scalar.quoted && is_textual(source) {
        let escaped = scalar.text.replace('\\', r"\\").replace('"', "\\\"");
        return Some(format!("\"{escaped}\""));
    }
    Some(scalar.text.clone())
}

fn is_textual(source: &Source) -> bool {
    matches!(
        source,
        Source::Header(_)
            | Source::Body
            | Source::Json(_)
            | Source::HttpVersion
            | Source::TlsVersion
            | Source::TlsIssuer
            | Source::TlsSan
            | Source::DnsRcode
            | Source::DnsAnswer
            | Source::TcpReply
            | Source::ExecOutput
    )
}
