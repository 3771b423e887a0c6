//! Secrets of channels: whole in JSON, because that is how they are stored, and never in `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};
use sonde_core::MASK;
use url::Url;

/// A token, key or password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// A URL that whoever knows it may post to: only its origin may be shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(pub String);

impl SecretUrl {
    /// `https://host:port`, or nothing of what is no URL.
    pub(crate) fn origin(&self) -> String {
        origin(&self.0)
    }
}

/// Who gets to see what is sent to a URL.
pub(crate) fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// What can be masked.
pub(crate) trait Hidden {
    fn text(&mut self) -> &mut String;
    fn masked(&self) -> String;
    fn is_masked(&self) -> bool;
}

/// A secret and its place, which is the same for the same secret of another version.
pub(crate) type Placed<'a> = (String, &'a mut dyn Hidden);

pub(crate) fn at(place: impl Into<String>, secret: &mut impl Hidden) -> Placed<'_> {
    (place.into(), secret)
}

impl Hidden for Secret {
    fn text(&mut self) -> &mut String {
        &mut self.0
    }

    fn masked(&self) -> String {
        MASK.to_owned()
    }

    fn is_masked(&self) -> bool {
        self.0 == MASK
    }
}

impl Hidden for SecretUrl {
    fn text(&mut self) -> &mut String {
        &mut self.0
    }

    fn masked(&self) -> String {
        match self.origin() {
            origin if origin.starts_with("http") => format!("{origin}/{MASK}"),
            _ => MASK.to_owned(),
        }
    }

    fn is_masked(&self) -> bool {
        self.0 == self.masked()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}
