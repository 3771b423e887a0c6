//! Names that people give (workspaces, monitors, regions) and ids that are computed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest id; a DNS label's length, so that ids fit host names, labels and file names.
const MAX_LENGTH: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid {what}: use 1 to 63 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit"
)]
pub struct InvalidId {
    pub what: &'static str,
    pub text: String,
}

fn is_slug(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LENGTH
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b))
}

/// The nearest valid id for a free text; `None` when nothing of it can stay.
pub fn slugify(name: &str) -> Option<String> {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(MAX_LENGTH);
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

macro_rules! slug_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if is_slug(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { what: $what, text: text.to_owned() })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::read(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

slug_type!(
    /// The tenant.
    WorkspaceId,
    "workspace id"
);
slug_type!(
    /// A monitor's stable id, chosen by its owner, unique in the workspace.
    MonitorId,
    "monitor id"
);
slug_type!(
    /// A place where checkers run.
    Region,
    "region"
);
slug_type!(
    /// The name of a frequency class in `queues.toml`.
    Frequency,
    "frequency"
);

impl WorkspaceId {
    fn read(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }

    /// The one workspace of `sonde up`, `sonde check` and `sonde probe`.
    pub fn local() -> Self {
        Self("default".into())
    }
}

impl Frequency {
    fn read(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl MonitorId {
    /// Stands for all checks in a region: `@fra`, as no monitor can be called.
    pub fn of_region(region: &Region) -> Self {
        Self(format!("@{region}").into())
    }

    /// The region that it stands for.
    pub fn as_region(&self) -> Option<Region> {
        let region = self.as_str().strip_prefix('@')?;
        Region::new(region).ok()
    }

    fn read(text: &str) -> Result<Self, InvalidId> {
        match text.strip_prefix('@') {
            Some(region) => Region::new(region).map(|region| Self::of_region(&region)),
            None => Self::new(text),
        }
    }
}

impl Region {
    fn read(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }

    /// Where checks run when nothing else is said.
    pub fn local() -> Self {
        Self("local".into())
    }

    /// Where heartbeats come from: nobody checks there, and no other monitor may name it.
    pub fn push() -> Self {
        Self(Self::PUSH.into())
    }

    pub fn is_push(&self) -> bool {
        self.as_str() == Self::PUSH
    }

    const PUSH: &str = "push";
}

/// Tells on-demand executions of one slot apart; zero for scheduled ones.
///
/// At most 53 bits, so that every JSON reader keeps it exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(u64);

impl RunId {
    pub const SCHEDULED: Self = Self(0);

    pub fn random() -> Self {
        Self((rand::random::<u64>() >> 11).max(1))
    }

    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_slugs() {
        for good in ["a", "shop", "shop-1", "0", "a_b", &"a".repeat(63)] {
            assert!(MonitorId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "ä", "a/b", &"a".repeat(64)] {
            assert!(MonitorId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_become_ids() {
        assert_eq!(slugify("Example (HTTP)").as_deref(), Some("example-http"));
        assert_eq!(slugify("  Überall 1  ").as_deref(), Some("berall-1"));
        assert_eq!(slugify("日本"), None);
    }
}
