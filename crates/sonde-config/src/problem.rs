//! What is wrong with a file: every problem with its place, never only the first.

use std::fmt;

use crate::names;

/// One problem or warning, at one place of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file's name as it was given.
    pub file: String,
    /// Counted from 1; 0 for what stands in no file, as a variable of the environment, which `file` names then.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key's path, `monitors.shop.expect[2]`; empty for the file as a whole.
    pub path: String,
    pub message: String,
    /// The nearest thing that would have been right.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            path,
            message,
            suggestion,
        } = self;
        if *line == 0 {
            write!(f, "{file}: ")?;
        } else {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)?;
        match suggestion {
            Some(suggestion) => write!(f, " (did you mean `{suggestion}`?)"),
            None => Ok(()),
        }
    }
}

/// All that is wrong with a file, sorted by position; never empty. Displays one problem per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error without a problem");
        Self(sorted(problems))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Line and column of a byte of `text`, counted from 1.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[line_start..].chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// By position; one that several monitors inherit is said once.
pub(crate) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

/// The candidate that is most like `word`, where one is like enough to have been meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let word = word.to_lowercase();
    // A third of the letters wrong is still a slip; more is another word.
    let length = word.chars().count();
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Where nothing names a region, neither the file nor the options.
pub const NO_REGION: &str = "name at least one region";

/// Longer ones repeat what nobody wrote by hand.
const LONGEST_MESSAGE: usize = 1000;

/// The message without what a terminal must not see. Regular expressions are drawn on lines of their own.
pub(crate) fn readable(message: &str) -> String {
    let lines: Vec<_> = shortened(message, LONGEST_MESSAGE)
        .split('\n')
        .map(visible)
        .collect();
    lines.join("\n")
}

/// What would move the cursor or turn text around, as its escape.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if names::is_plain(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    out
}

/// Its first `characters`.
pub(crate) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
