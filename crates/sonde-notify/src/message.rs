//! What a channel wants sent. `Debug` shows where it goes and nothing that could be a secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::secret::origin;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Http(HttpRequest),
    Mail(Mail),
    Command(Command),
}

#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    /// A URL, if the channel is valid.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub accepted: Accepted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
}

/// Which answers mean that a message was taken: those of status 2xx that …
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// … say anything.
    AnyBody,
    /// … are JSON with this value in this field.
    Field(&'static str, Value),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// With its angle brackets, as in the header; the same at every attempt.
    pub message_id: String,
    /// The message id of the mail that this one follows: for `In-Reply-To` and `References`.
    pub follows: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// JSON.
    pub stdin: String,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

impl Accepted {
    pub fn accepts(&self, status: u16, body: &[u8]) -> bool {
        let said = match self {
            Self::AnyBody => true,
            Self::Field(name, value) => serde_json::from_slice::<Value>(body)
                .is_ok_and(|body| body.get(name) == Some(value)),
        };
        (200..300).contains(&status) && said
    }
}

/// How channels build requests.
impl HttpRequest {
    pub(crate) fn json(url: impl Into<String>, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).expect("what channels say is JSON");
        Self::post(url.into(), "application/json", body)
    }

    pub(crate) fn form(url: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        Self::post(url.into(), "application/x-www-form-urlencoded", body)
    }

    fn post(url: String, content_type: &str, body: String) -> Self {
        Self {
            method: Method::Post,
            url,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body,
            accepted: Accepted::AnyBody,
        }
    }

    pub(crate) fn put(mut self) -> Self {
        self.method = Method::Put;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn basic(self, username: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{username}:{password}"));
        self.header("authorization", format!("Basic {credentials}"))
    }

    pub(crate) fn accepted_when(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.accepted = Accepted::Field(field, value.into());
        self
    }
}

impl From<HttpRequest> for Message {
    fn from(request: HttpRequest) -> Self {
        Self::Http(request)
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("origin", &origin(&self.url))
            .field("headers", &names(&self.headers))
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &names(&self.environment))
            .finish_non_exhaustive()
    }
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_vendors_say_in_the_body_whether_they_took_it() {
        let ok = Accepted::Field("ok", true.into());
        assert!(ok.accepts(200, br#"{"ok":true,"result":{}}"#));
        assert!(!ok.accepts(200, br#"{"ok":false}"#));
        assert!(!ok.accepts(200, b"<html>"));
        assert!(!ok.accepts(500, br#"{"ok":true}"#));
        assert!(Accepted::AnyBody.accepts(204, b"") && !Accepted::AnyBody.accepts(302, b""));
    }
}
