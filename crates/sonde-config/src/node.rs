//! YAML text (and so JSON) as a tree that knows where everything stands.
//!
//! Built from the parser's events with a stack of its own, so that neither deep nesting nor aliases of aliases can
//! take the stack or the memory.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// Deepest nesting; the configuration itself needs eight.
const MAX_DEPTH: usize = 64;

/// Nodes at most, those behind aliases counted each time: far above 100,000 monitors.
const MAX_NODES: usize = 2_000_000;

/// Line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; may hold a key twice.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// In quotes or a block: text, whatever it looks like.
    pub(crate) quoted: bool,
    /// Came out of the environment: may be used as any type, quoted or not.
    pub(crate) expanded: bool,
}

/// What a scalar is by the YAML 1.2 core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Scalar {
    pub(crate) fn literal(&self) -> Literal {
        if self.quoted {
            Literal::Text
        } else {
            literal(&self.text)
        }
    }
}

/// How an unquoted scalar reads.
pub(crate) fn literal(text: &str) -> Literal {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Literal::Null,
        "true" | "True" | "TRUE" => return Literal::Bool(true),
        "false" | "False" | "FALSE" => return Literal::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
    };
    if let Some(number) = text
        .parse()
        .ok()
        .or_else(|| radix("0x", 16))
        .or_else(|| radix("0o", 8))
    {
        return Literal::Integer(number);
    }
    // Rust also reads `inf`, `nan` and `infinity`, which are words here.
    let numeric = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b".+-eE".contains(&b));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Literal::Float(number),
        _ => Literal::Text,
    }
}

/// Why a text is not one YAML document.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// Reads the one document of `text`; an empty text is an empty scalar.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let text = with_whole_escapes(text);
    for event in Parser::new_from_str(&text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        builder.event(event, position(span))?;
    }
    Ok(builder.root.unwrap_or_else(|| Node {
        at: Position::START,
        value: Value::Scalar(Scalar {
            text: String::new(),
            quoted: false,
            expanded: false,
        }),
    }))
}

/// JSON escapes characters beyond U+FFFF as two halves, which YAML refuses: one escape instead. Shifts columns behind
/// it on its line.
fn with_whole_escapes(text: &str) -> Cow<'_, str> {
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    if !text.contains("\\u") || !is_json() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        // What follows a backslash in JSON is one byte; `\\\\` must not begin another escape.
        let (written, length) = match surrogate_pair(escape) {
            Some(whole) => (format!("\\U{:08x}", u32::from(whole)), 12),
            None => (escape[..2].to_owned(), 2),
        };
        out.push_str(&written);
        rest = &escape[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `\uXXXX\uXXXX` at the start of `text`.
fn surrogate_pair(text: &str) -> Option<char> {
    let half = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut halves = char::decode_utf16([half(0)?, half(6)?]);
    let whole = halves.next()?.ok()?;
    halves.next().is_none().then_some(whole)
}

fn position(span: Span) -> Position {
    Position {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

fn syntax(error: &ScanError) -> Fault {
    let at = Position {
        line: error.marker().line().max(1),
        column: error.marker().col() + 1,
    };
    Fault {
        at,
        message: format!("not valid YAML: {}", error.info()),
    }
}

fn fault<T>(at: Position, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        at,
        message: message.into(),
    })
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: Position,
    anchor: usize,
    value: Value,
    /// The key that waits for its value.
    key: Option<(String, Position)>,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    /// Complete nodes by their anchor.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fault(
                        at,
                        "only one YAML document is read; remove the `---` before this one",
                    );
                }
            }
            Event::Alias(anchor) => self.alias(at, anchor)?,
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return fault(at, "YAML tags (`!…`) are not supported");
            }
            Event::Scalar(text, style, anchor, None) => {
                let quoted = style != ScalarStyle::Plain;
                let scalar = Scalar {
                    text: text.into_owned(),
                    quoted,
                    expanded: false,
                };
                self.count(at)?;
                self.complete(
                    Node {
                        at,
                        value: Value::Scalar(scalar),
                    },
                    anchor,
                )?;
            }
            Event::SequenceStart(anchor, None) => self.open(at, anchor, Value::List(Vec::new()))?,
            Event::MappingStart(anchor, None) => self.open(at, anchor, Value::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open {
                    at, anchor, value, ..
                }) = self.stack.pop()
                {
                    self.complete(Node { at, value }, anchor)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Counts before it copies: aliases of aliases grow without bound.
    fn alias(&mut self, at: Position, anchor: usize) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return fault(at, "an alias cannot stand inside what it refers to");
        };
        let (size, depth) = measure(&node.value);
        if self.nodes + size > MAX_NODES {
            return too_large(at);
        }
        if self.stack.len() + depth > MAX_DEPTH {
            return too_deep(at);
        }
        self.nodes += size;
        let node = node.clone();
        self.place(node)
    }

    fn count(&mut self, at: Position) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return too_large(at);
        }
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, value: Value) -> Result<(), Fault> {
        if matches!(
            self.stack.last(),
            Some(Open {
                value: Value::Map(_),
                key: None,
                ..
            })
        ) {
            return fault(at, "a key must be text, not a list or a mapping");
        }
        if self.stack.len() == MAX_DEPTH {
            return too_deep(at);
        }
        self.stack.push(Open {
            at,
            anchor,
            value,
            key: None,
        });
        self.count(at)
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), Fault> {
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::Map(entries), Some((key, key_at))) => {
                entries.push(Entry {
                    key,
                    key_at,
                    value: node,
                });
            }
            (Value::Map(_), None) => match node.value {
                Value::Scalar(scalar) => parent.key = Some((scalar.text, node.at)),
                _ => return fault(node.at, "a key must be text, not a list or a mapping"),
            },
            (Value::List(items), _) => items.push(node),
            (Value::Scalar(_), _) => {}
        }
        Ok(())
    }
}

fn too_large<T>(at: Position) -> Result<T, Fault> {
    fault(at, "the file is too large, or its aliases make it so")
}

fn too_deep<T>(at: Position) -> Result<T, Fault> {
    fault(at, format!("nested more than {MAX_DEPTH} deep"))
}

/// Number of nodes in it, itself included, and depth below it. The depth is bounded, and so is the recursion.
fn measure(value: &Value) -> (usize, usize) {
    let children: Box<dyn Iterator<Item = &Node>> = match value {
        Value::Scalar(_) => return (1, 0),
        Value::List(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.iter().map(|entry| &entry.value)),
    };
    children
        .map(|child| measure(&child.value))
        .fold((1, 1), |(size, depth), (more, below)| {
            (size + more, depth.max(below + 1))
        })
}
