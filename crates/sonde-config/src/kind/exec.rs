//! `exec`: a program of the checker's machine, where the operator allows it.

use std::collections::BTreeMap;

use sonde_core::ExecSpec;

use crate::decode::Item;
use crate::fields::Fields;

pub(super) fn decode(item: &Item<'_>) -> Option<ExecSpec> {
    if item.is_map() {
        return item.fields("exec", long).flatten();
    }
    let command = item.filled()?;
    if command.contains(char::is_whitespace) {
        item.problem("the short form is a program alone; use `{command: …, arguments: […]}`");
        return None;
    }
    Some(ExecSpec {
        command: command.to_owned(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        warn_only: false,
    })
}

fn long(fields: &mut Fields<'_>) -> Option<ExecSpec> {
    let command = fields.required("command").and_then(|item| words(&item));
    let arguments = fields.take("arguments").and_then(|item| arguments(&item));
    let environment = fields.take("environment").map(|item| environment(&item));
    let warn_only = fields.take("warn_only").and_then(|item| item.boolean());
    let mut words = command?.into_iter();
    Some(ExecSpec {
        command: words.next()?,
        arguments: words.chain(arguments.unwrap_or_default()).collect(),
        environment: environment.unwrap_or_default(),
        warn_only: warn_only.unwrap_or(false),
    })
}

/// The program, alone or at the head of a list with its first arguments. No shell ever splits them.
fn words(item: &Item<'_>) -> Option<Vec<String>> {
    if !item.is_list() {
        return Some(vec![item.filled()?.to_owned()]);
    }
    let words = arguments(item)?;
    if words.first().is_none_or(String::is_empty) {
        item.problem("the program is missing");
        return None;
    }
    Some(words)
}

fn arguments(item: &Item<'_>) -> Option<Vec<String>> {
    item.list_of(|item| item.scalar().map(str::to_owned))
}

fn environment(item: &Item<'_>) -> BTreeMap<String, String> {
    let entries = item.entries().unwrap_or_default().into_iter();
    let variable = |(name, item): (&str, Item<'_>)| {
        if name.is_empty() || name.contains(['=', '\0']) {
            item.problem("not a name for an environment variable");
        }
        Some((name.to_owned(), item.scalar()?.to_owned()))
    };
    entries.filter_map(variable).collect()
}
