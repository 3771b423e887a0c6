//! Assertions: `source [argument] comparator value`, their text grammar, and whether they hold.
//!
//! What a source's value *is* in a given result is found by `sonde-probe`; here is only the comparison.

mod compare;
mod parse;
mod source;
mod value;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use compare::Seen;
pub use parse::ParseError;
pub use source::Source;
pub use value::{JsonQuery, Pattern, Unit, Value};

/// One expectation. Its text reads back as the same assertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Assertion {
    pub source: Source,
    pub comparator: Comparator,
    pub value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    In,
    NotIn,
    Contains,
    NotContains,
    Matches,
    NotMatches,
    IsEmpty,
    IsNotEmpty,
}

impl Comparator {
    pub const ALL: [Self; 14] = [
        Self::Equal,
        Self::NotEqual,
        Self::GreaterOrEqual,
        Self::LessOrEqual,
        Self::Greater,
        Self::Less,
        Self::In,
        Self::NotIn,
        Self::NotContains,
        Self::NotMatches,
        Self::Contains,
        Self::Matches,
        Self::IsNotEmpty,
        Self::IsEmpty,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Contains => "contains",
            Self::NotContains => "not contains",
            Self::Matches => "matches",
            Self::NotMatches => "not matches",
            Self::IsEmpty => "is empty",
            Self::IsNotEmpty => "is not empty",
        }
    }

    /// The comparator that holds exactly when this one does not, on anything that was seen.
    #[must_use]
    pub const fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Greater => Self::LessOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Less => Self::GreaterOrEqual,
            Self::GreaterOrEqual => Self::Less,
            Self::In => Self::NotIn,
            Self::NotIn => Self::In,
            Self::Contains => Self::NotContains,
            Self::NotContains => Self::Contains,
            Self::Matches => Self::NotMatches,
            Self::NotMatches => Self::Matches,
            Self::IsEmpty => Self::IsNotEmpty,
            Self::IsNotEmpty => Self::IsEmpty,
        }
    }

    /// `is empty` and `is not empty` stand alone.
    pub const fn takes_value(self) -> bool {
        !matches!(self, Self::IsEmpty | Self::IsNotEmpty)
    }
}

impl Assertion {
    /// Puts an assertion together from its parts, as the structured form has them.
    pub fn new(source: Source, comparator: Comparator, value: &str) -> Result<Self, ParseError> {
        parse::assemble(source, comparator, value)
    }

    /// The assertion that the opposite holds.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self {
            comparator: self.comparator.negated(),
            ..self.clone()
        }
    }

    /// What was expected, without the source: `in 200..299`.
    pub fn expected(&self) -> String {
        if self.comparator.takes_value() {
            format!("{} {}", self.comparator.as_str(), self.value)
        } else {
            self.comparator.as_str().to_owned()
        }
    }

    /// Whether what was seen is as expected. A source that is missing holds only for negative comparators.
    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        compare::holds(self.comparator, &self.value, seen)
    }

    /// What was seen, in the expectation's own unit where it has one.
    pub fn show(&self, seen: &Seen<'_>) -> String {
        compare::show(&self.source, seen)
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.expected())
    }
}

impl FromStr for Assertion {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::parse(text)
    }
}

impl From<Assertion> for String {
    fn from(assertion: Assertion) -> Self {
        assertion.to_string()
    }
}

impl TryFrom<String> for Assertion {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
