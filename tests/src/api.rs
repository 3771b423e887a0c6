//! A caller of the API: a key, a session, or nobody.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::http;
use crate::sonde::{Running, Sonde};
use crate::wait_until;

/// Somebody who calls one server.
#[derive(Clone)]
pub struct Caller {
    base: String,
    client: Client,
    headers: Vec<(String, String)>,
}

impl Caller {
    /// Nobody yet.
    pub fn of(base: impl Into<String>) -> Self {
        Self {
            base: base.into().trim_end_matches('/').to_owned(),
            client: http::client(),
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn header(&self, name: &str, value: impl Into<String>) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name.to_owned(), value.into()));
        caller
    }

    /// The value of a header that this caller sends.
    pub fn shown(&self, name: &str) -> Option<String> {
        let mut headers = self.headers.iter();
        headers
            .find(|(of, _)| of == name)
            .map(|(_, value)| value.clone())
    }

    #[must_use]
    pub fn key(&self, secret: &str) -> Self {
        self.header("authorization", format!("Bearer {secret}"))
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.expect("the server answers")
    }

    /// The status and the JSON that came; null where there was none.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the whole answer comes");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends a form that answers with a session, and becomes who signed in.
    ///
    /// # Panics
    /// When there is no session in the answer.
    pub async fn session(&self, path: &str, body: &Value) -> Self {
        let answer = self.send(Method::POST, path, Some(body)).await;
        let cookie = answer.headers().get("set-cookie").cloned();
        let status = answer.status();
        let text = answer.text().await.expect("the whole answer comes");
        assert!(cookie.is_some(), "no session: {status} {text}");
        let cookie = cookie.expect("asserted above");
        let cookie = cookie.to_str().expect("a cookie is text");
        let pair = cookie.split(';').next().expect("it has a first part");
        self.header("cookie", pair)
    }

    /// A key of this caller's workspace with these scopes.
    pub async fn new_key(&self, scopes: &[&str], only: Option<&[&str]>) -> Self {
        let body = json!({ "name": "a test's", "scopes": scopes, "only": only });
        let (status, key) = self.post("/v1/keys", &body).await;
        assert_eq!(status, 201, "{key}");
        let secret = key["secret"].as_str().expect("it is shown once");
        Self::of(self.base.clone()).key(secret)
    }

    /// Somebody new in this caller's workspace.
    pub async fn member(&self, email: &str, role: &str, only: Option<&[&str]>) -> Self {
        let body = json!({ "email": email, "role": role, "only": only });
        let (status, invitation) = self.post("/v1/invitations", &body).await;
        assert_eq!(status, 201, "{invitation}");
        let body = json!({ "token": invitation["token"], "name": role, "password": PASSWORD });
        let nobody = Self::of(self.base.clone());
        nobody.session("/v1/invitations/accept", &body).await
    }
}

/// For a server to say how it is set up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery";

/// The link that a server printed to set it up with, as its token.
///
/// # Panics
/// When there is none.
pub fn set_up_token(log: &str) -> String {
    let begin = log.find("sonde_setup_").expect("a link is printed");
    let token = log[begin..].split_whitespace().next();
    token.expect("it is not empty").to_owned()
}

/// The first owner.
pub async fn set_up(server: &Running) -> Caller {
    set_up_at(&server.url(""), server).await
}

/// The same where the API is served elsewhere than what is asked whether it is well.
pub async fn set_up_at(base: &str, server: &Running) -> Caller {
    wait_until(PATIENCE, async || server.log().contains("sonde_setup_")).await;
    let token = set_up_token(&server.log());
    let body =
        json!({ "token": token, "email": "ada@example.org", "name": "Ada", "password": PASSWORD });
    Caller::of(base).session("/v1/setup", &body).await
}

/// `sonde up` in a folder with one monitor of a target that nobody answers at, and its owner.
pub async fn owned(folder: &std::path::Path) -> (Running, Caller) {
    let text = "monitors: { shop: { tcp: '127.0.0.1:9', interval: 1h } }";
    std::fs::write(folder.join("sonde.yaml"), text).expect("the folder can be written to");
    let server = Sonde::up(folder).serve().await;
    let owner = set_up(&server).await;
    (server, owner)
}
