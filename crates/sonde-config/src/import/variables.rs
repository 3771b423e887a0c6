//! Variables of the environment that a file names, kept as they are instead of being replaced.

use crate::node::{Node, Value};

/// Each variable by a word that stands for it while the file is read: letters and digits only, so that it may be part of
/// a URL or a host name like the value would.
#[derive(Debug, Default)]
pub(super) struct Variables {
    stem: String,
    names: Vec<String>,
}

impl Variables {
    /// Puts a word in place of every `$NAME` and `${NAME}` in the values below `node`, whose text is `text`, and a
    /// dollar sign in place of `$$`.
    pub(super) fn hide(text: &str, node: &mut Node) -> Self {
        let mut stem = "sondevariable".to_owned();
        while text.contains(&stem) {
            stem.push('x');
        }
        let mut variables = Self {
            stem,
            names: Vec::new(),
        };
        variables.walk(node);
        variables
    }

    /// The text with the variables back in it, as `sonde.yaml` names them.
    pub(super) fn show(&self, text: &str) -> String {
        let mut out = text.to_owned();
        if !self.names.is_empty() && text.contains(&self.stem) {
            for (n, name) in self.names.iter().enumerate() {
                let (word, variable) = (self.word(n), format!("${{{name}}}"));
                // Two dollars are one, and one before a variable would be the first of two.
                out = out.replace(&["$", &word].concat(), &["$$", &variable].concat());
                out = out.replace(&word, &variable);
            }
        }
        out
    }

    /// Whether one of them is a part of a text.
    pub(super) fn are_in(&self, text: &str) -> bool {
        !self.names.is_empty() && text.contains(&self.stem)
    }

    fn word(&self, n: usize) -> String {
        format!("{}{n}z", self.stem)
    }

    /// Depth is bounded by the parser, and so is the recursion.
    fn walk(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar(scalar) if scalar.text.contains('$') => {
                scalar.text = self.hidden(&scalar.text);
            }
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| self.walk(item)),
            Value::Map(entries) => {
                let values = entries.iter_mut().map(|entry| &mut entry.value);
                values.for_each(|value| self.walk(value));
            }
        }
    }

    fn hidden(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = name(rest) {
                out.push_str(&self.stand_in(name));
                rest = after;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        out
    }

    fn stand_in(&mut self, name: &str) -> String {
        let known = self.names.iter().position(|known| known == name);
        let n = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.word(n)
    }
}

/// The variable that a text begins with, behind its dollar sign, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, after) = if let Some(inner) = text.strip_prefix('{') {
        inner.split_once('}')?
    } else {
        text.split_at(text.find(|c| !letter(c)).unwrap_or(text.len()))
    };
    let first = name.bytes().next()?;
    (name.chars().all(letter) && !first.is_ascii_digit()).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, hidden: &str, shown: &str) {
        let mut variables = Variables {
            stem: "v".to_owned(),
            names: Vec::new(),
        };
        let seen = variables.hidden(text);
        assert_eq!(seen, hidden);
        assert_eq!(variables.show(&seen), shown);
    }

    #[test]
    fn variables_come_back_and_dollars_stay() {
        check("a ${HOST}/$PATH_2.", "a v0z/v1z.", "a ${HOST}/${PATH_2}.");
        check("${A}${A}$B", "v0zv0zv1z", "${A}${A}${B}");
        check(
            "$$5 $5 $ ${ ${} ${A-B}",
            "$5 $5 $ ${ ${} ${A-B}",
            "$5 $5 $ ${ ${} ${A-B}",
        );
        check("$${A}", "${A}", "${A}");
        check("$$$A", "$v0z", "$$${A}");
    }

    #[test]
    fn a_word_that_the_file_has_is_not_taken() {
        let mut node = crate::node::parse("a: sondevariable0z $X").unwrap();
        let variables = Variables::hide("a: sondevariable0z $X", &mut node);
        assert_eq!(variables.show("sondevariable0z"), "sondevariable0z");
        assert_eq!(variables.show("sondevariablex0z"), "${X}");
    }
}
