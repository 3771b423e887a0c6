//! Values that must not be shown, and URLs that may have such values in them.

use std::fmt;

use sonde_core::{MASK, masked_url};
use url::Url;

/// A value that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Where a service is. Shown without the password and the secrets of its query.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(Url);

impl ServiceUrl {
    /// An error does not repeat the text, which may have a password in it.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let begins = schemes.iter().map(|scheme| format!("{scheme}://"));
        let begins: Vec<String> = begins.collect();
        let wanted = begins.join(" or ");
        if !begins.iter().any(|begin| text.starts_with(begin)) {
            return Err(format!("must begin with {wanted}"));
        }
        let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("names no host".to_owned());
        }
        Ok(Self(url))
    }

    /// With all its secrets, for the client of the service.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        masked_url(&self.0).fmt(f)
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
