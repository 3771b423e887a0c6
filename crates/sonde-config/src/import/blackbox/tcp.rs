//! Probes by TCP, with their dialogues.

use sonde_core::{Pattern, Spec, Step, TcpSpec, TlsOptions};

use super::super::lenient;
use super::super::targets::Target;
use super::Probe;
use crate::address;
use crate::decode::Item;
use crate::fields::Fields;

pub(super) fn read(fields: &mut Fields<'_>, target: &Target<'_>) -> Option<Probe> {
    let network = super::network(fields);
    let options = super::tls(fields);
    lenient::leave_out(fields, &["source_ip_address"]);
    let enabled = lenient::flag(fields.take("tls")).unwrap_or(false);
    let steps = fields.take("query_response").and_then(|item| item.list());
    let dialogue: Vec<_> = steps.unwrap_or_default().iter().flat_map(step).collect();
    let (host, port) = target
        .item
        .parse(|_| address::host_port(target.address, None))?;
    let upgraded = dialogue.contains(&Step::StartTls) && options != TlsOptions::default();
    let spec = TcpSpec {
        host,
        port,
        tls: (enabled || upgraded).then_some(options),
        dialogue,
        network,
    };
    Some(Probe {
        spec: Spec::Tcp(Box::new(spec)),
        expect: Vec::new(),
    })
}

/// First what is expected, then what is sent, then TLS.
fn step(item: &Item<'_>) -> Vec<Step> {
    let steps = item.fields("a step", |fields| {
        lenient::leave_out(fields, &["labels"]);
        let expect = fields.take("expect");
        // Each line is looked at on its own there.
        let expect = expect.and_then(|item| item.parse(|text| Pattern::new(&by_line(text))));
        let send = lenient::text(fields.take("send")).map(|text| Step::Send(sent(text)));
        let tls = lenient::flag(fields.take("starttls")).unwrap_or(false);
        let steps = [
            expect.map(Step::Expect),
            send,
            tls.then_some(Step::StartTls),
        ];
        steps.into_iter().flatten().collect()
    });
    steps.unwrap_or_default()
}

/// Anchors are those of lines, and nothing goes beyond an end of line: not `.`, and not what a class leaves open.
fn by_line(pattern: &str) -> String {
    let mut out = "(?mR)".to_owned();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match (c, chars.peek()) {
            ('\\', _) => out.extend(chars.next()),
            ('[', Some('^')) => {
                out.extend(chars.next());
                // First in a class, it is no end of it.
                out.extend(chars.next_if_eq(&']'));
                out.push_str(r"\r\n");
            }
            _ => {}
        }
    }
    out
}

/// With the end of the line that `blackbox_exporter` adds, and captures in braces: `$1` is `${1}`, and `$$` is `$`.
fn sent(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = after.split_at(after.find(|c| !word(c)).unwrap_or(after.len()));
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if name.is_empty() {
            out.push('$');
            rest = after;
        } else {
            out.extend(["${", name, "}"]);
            rest = behind;
        }
    }
    [&out, rest, "\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_on_their_line() {
        for (pattern, text, expected) in [
            (
                "^250 STARTTLS$",
                "250-SIZE\r\n250 STARTTLS\r\n",
                "250 STARTTLS",
            ),
            ("PING :([^ ]+)", "PING :abc\r\nNICK", "PING :abc"),
            ("a.*", "abc\r\nd", "abc"),
            (r"\[^a", "[\na", ""),
            ("[^]a]+", "x]a", "x"),
        ] {
            let compiled = Pattern::new(&by_line(pattern)).expect(pattern);
            let found = compiled
                .regex()
                .find(text)
                .map_or("", |found| found.as_str());
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn captures_get_braces_and_lines_their_end() {
        assert_eq!(sent("PASS oauth2:$1"), "PASS oauth2:${1}\n");
        assert_eq!(sent("a ${1} $$5 $name. $"), "a ${1} $5 ${name}. $\n");
    }
}
