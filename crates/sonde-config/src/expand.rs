//! `${NAME}` and `${NAME:-default}` in values, after the YAML is parsed: a value can never become structure.

use crate::decode::{Context, join};
use crate::node::{Node, Position, Value};

/// Where variables are looked up.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands every value below `node`, and reports keys that are set twice. Without `env`, `$` means nothing.
pub(crate) fn prepare(context: &Context<'_>, node: &mut Node, env: Option<Env<'_>>) {
    let at = node.at;
    walk(context, node, at, "", env);
}

fn walk(context: &Context<'_>, node: &mut Node, at: Position, path: &str, env: Option<Env<'_>>) {
    match &mut node.value {
        Value::Scalar(scalar) => match env.map_or(Ok(None), |env| expand(&scalar.text, env)) {
            Ok(None) => {}
            Ok(Some(text)) => {
                scalar.expanded = scalar.text.contains("${");
                scalar.text = text;
            }
            Err(message) => context.report_unexpanded(at, path, message),
        },
        Value::List(items) => {
            for (n, item) in items.iter_mut().enumerate() {
                let at = item.at;
                walk(context, item, at, &format!("{path}[{n}]"), env);
            }
        }
        Value::Map(entries) => {
            let mut first = std::collections::HashMap::new();
            for entry in entries {
                let (key, at) = (&entry.key, entry.key_at);
                let path = join(path, key);
                if let Some(line) = first.insert(key.clone(), at.line) {
                    context.report(at, &path, format!("set twice, first on line {line}"), None);
                }
                walk(context, &mut entry.value, at, &path, env);
            }
        }
    }
}

/// The text with its variables replaced; `None` when it holds no `$` that means anything.
///
/// `$$` is a `$`. A `$` before anything but `{` or `$` stays, as does `${1}`: patterns, JSON paths and the captures
/// of a dialogue use them.
fn expand(text: &str, env: Env<'_>) -> Result<Option<String>, String> {
    if !text.contains("$$") && !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if rest.starts_with('{') && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            let (inner, after) = rest[1..].split_once('}').ok_or_else(|| {
                "`${` without its `}`; write `$${` where no variable is meant".to_owned()
            })?;
            out.push_str(&variable(inner, env)?);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn variable(inner: &str, env: Env<'_>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err(format!(
            "`${{{inner}}}` is no variable; use `${{NAME}}` or `${{NAME:-default}}`, or `$${{` where none is meant"
        ));
    }
    match (env(name), default) {
        // As in a shell: `:-` also stands in for an empty variable.
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable `{name}` is not set; set it or give a default: `${{{name}:-…}}`"
        )),
    }
}

/// The text that [`prepare`] turns back into `text`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '$' && matches!(chars.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("shop.example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let expanded = expand(text, &env).expect(text);
        assert_eq!(expanded.as_deref().unwrap_or(text), expected);
    }

    #[test]
    fn variables_are_replaced_and_defaults_stand_in() {
        check("https://${HOST}/a", "https://shop.example/a");
        check("${HOST}${HOST}", "shop.exampleshop.example");
        check("${NOPE:-a:-b}", "a:-b");
        check("${EMPTY:-x}", "x");
        check("[${EMPTY}]", "[]");
    }

    #[test]
    fn dollars_that_mean_nothing_stay() {
        check("json $.a", "json $.a");
        check("body matches ^a$", "body matches ^a$");
        check("USER ${1}", "USER ${1}");
        check("$$", "$");
        check("$${HOST} $$5", "${HOST} $5");
    }

    #[test]
    fn what_cannot_be_expanded_is_said() {
        for text in ["${NOPE}", "${HOST", "${}", "${A-B}"] {
            assert!(expand(text, &env).is_err(), "{text}");
        }
    }

    #[test]
    fn escaping_is_undone_by_expanding() {
        for text in ["$$${a}", "${HOST}", "$", "a$$", "${1}", "x"] {
            check(&escape(text), text);
        }
    }
}
