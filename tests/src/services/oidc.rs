//! An OpenID Connect provider of a test's own, and people who sign in at it as with a browser.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Response};
use url::{Url, form_urlencoded};

use super::private::{Launch, Process};
use super::setting;
use crate::http;

/// Who ends up nowhere after so many redirects goes around in a circle. It takes three.
const MOST_REDIRECTS: usize = 10;

/// What `tests/services/oidc/provider.mjs` is. It has one client and takes codes with PKCE only.
pub struct OidcProvider {
    /// Without a slash at its end. `/.well-known/openid-configuration` tells the rest.
    pub issuer: String,
    pub process: Process,
}

/// Starts the provider with the command that `SONDE_TEST_OIDC_PROVIDER` holds. Its client may send people back to
/// `redirect_uris`; one on 127.0.0.1 stands for every port, so that it can be given before the port is known.
pub async fn oidc_provider(redirect_uris: &[&str]) -> Option<OidcProvider> {
    let command = setting("SONDE_TEST_OIDC_PROVIDER", "the OpenID Connect provider")?;
    let process = Process::start(1, |_, port| Launch {
        command: command
            .split_whitespace()
            .map(str::to_owned)
            .chain([port.to_string()])
            .chain(redirect_uris.iter().map(|&uri| uri.to_owned()))
            .collect(),
        ready: format!("http://127.0.0.1:{port}/.well-known/openid-configuration"),
        pid_file: None,
    });
    let process = process.await;
    Some(OidcProvider {
        issuer: format!("http://127.0.0.1:{}", process.port),
        process,
    })
}

impl OidcProvider {
    pub const CLIENT_ID: &str = "sonde-test";
    pub const CLIENT_SECRET: &str = "sonde-test-secret";

    /// Signs in as `login` where the client sent somebody to, and returns the address that the provider sends them
    /// back to, with `code` and `state`, without going there. `login` is `sub` and `email`; the address of one that
    /// begins with `unverified` is not verified.
    pub async fn sign_in(&self, authorize_url: &str, login: &str) -> String {
        self.answer(authorize_url, "login", login).await
    }

    /// The same for somebody who does not want to: comes back with `error`.
    pub async fn refuse(&self, authorize_url: &str) -> String {
        self.answer(authorize_url, "deny", "1").await
    }

    /// Every call is a browser of its own, that nobody has signed in with before.
    async fn answer(&self, authorize_url: &str, field: &str, value: &str) -> String {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair(field, value)
            .finish();
        let mut browser = Browser::new();
        let mut url: Url = authorize_url.parse().expect("tests give URLs");
        let begin = format!("{}/", self.issuer);
        for _ in 0..MOST_REDIRECTS {
            if !url.as_str().starts_with(&begin) {
                return url.into();
            }
            let form = url.path().starts_with("/interaction/").then_some(&form);
            url = browser.go(&url, form).await;
        }
        unreachable!("the provider sends people around in a circle: {url}");
    }
}

/// Remembers cookies, of one site and whatever their path.
struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        Self {
            client: http::client_that_stays(),
            cookies: BTreeMap::new(),
        }
    }

    /// Where it is sent to, after a GET, or a POST of a form.
    async fn go(&mut self, url: &Url, form: Option<&String>) -> Url {
        let method = form.map_or(Method::GET, |_| Method::POST);
        let mut request = self.client.request(method, url.clone());
        if let Some(form) = form {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone());
        }
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await;
        let answer = answer.expect("the provider answers");
        self.keep_cookies(&answer);
        let location = answer.headers().get(LOCATION);
        let location = location.map(|it| it.to_str().expect("addresses are ASCII").to_owned());
        let Some(location) = location else {
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            unreachable!("the provider sends nobody on from {url}: {status} {text}");
        };
        url.join(&location)
            .expect("the provider sends people to URLs")
    }

    fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("cookies are ASCII");
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair
                .split_once('=')
                .expect("a cookie has a name and a value");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
