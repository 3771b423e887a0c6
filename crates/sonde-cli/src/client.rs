//! The API of a server, for commands that are its clients: one place that knows keys, limits, and what refusals mean.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_core::WorkspaceId;

use crate::configuration;
use crate::exit::Error;
use crate::output::visible;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const KEY_VARIABLE: &str = "SONDE_API_KEY";
/// Which of the workspaces that the key opens; without it, the key's own.
const WORKSPACE_HEADER: &str = "sonde-workspace";

/// For a whole request; servers plan thousands of monitors in a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A page of monitors is a few MiB at most.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

const HEADING: &str = "Server";

/// Where the server is, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerOptions {
    /// Where the server is
    #[arg(long, value_name = "URL", env = "SONDE_URL", hide_env_values = true, default_value = DEFAULT_URL, help_heading = HEADING)]
    url: String,
    #[arg(long, value_name = "FILE", help_heading = HEADING, help = "The API key, in a file [else: SONDE_API_KEY is the key itself]")]
    api_key_file: Option<PathBuf>,
    /// Whose monitors they are; by default the workspace of the key
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    workspace: Option<WorkspaceId>,
}

/// A server's API.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    /// Where the key came from, for messages.
    key: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The server says no: problem+json (RFC 9457).
    Refused(Refusal),
    /// Nobody could be asked, or nobody understood.
    Other(Error),
}

#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Problem,
    /// Whom to blame: where the server is and where the key came from.
    url: String,
    key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
    errors: Vec<ProblemAt>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemAt {
    path: String,
    message: String,
}

impl Client {
    pub(crate) fn new(options: &ServerOptions) -> Result<Self, Error> {
        let base = base(&options.url)?;
        let (mut headers, mut source) = (HeaderMap::new(), None);
        if let Some((key, from)) = key(options)? {
            let value = HeaderValue::try_from(format!("Bearer {key}"));
            let value = value.map_err(|_| Error::usage(format!("{from} holds no API key")))?;
            headers.insert(reqwest::header::AUTHORIZATION, sensitive(value));
            source = Some(from);
        }
        if let Some(workspace) = &options.workspace {
            let value = HeaderValue::try_from(workspace.as_str());
            headers.insert(
                WORKSPACE_HEADER,
                value.context("a workspace fits a header")?,
            );
        }
        // A key is for the server that is named, not for one that it names.
        let builder = || {
            http()
                .default_headers(headers.clone())
                .redirect(Policy::none())
        };
        Ok(Self {
            http: build(builder)?,
            base,
            key: source,
        })
    }

    /// Where the server is.
    pub(crate) const fn url(&self) -> &Url {
        &self.base
    }

    /// What is at `path`, which begins with no slash.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut url = self.at(path)?;
        url.query_pairs_mut().extend_pairs(query);
        self.answer(self.http.request(Method::GET, url), PATIENCE)
            .await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let request = self.http.request(Method::POST, self.at(path)?);
        self.answer(request.json(body), PATIENCE).await
    }

    /// Any other request, and its answer as it is: null where there is none.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, ApiError> {
        let mut request = self.http.request(method, self.at(path)?);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request, patience).await
    }

    fn at(&self, path: &str) -> Result<Url, Error> {
        let url = self.base.join(path);
        Ok(url.context("a path below a URL is a URL")?)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<T, ApiError> {
        let response = request.timeout(patience).send().await;
        let response = response.map_err(|error| self.unreachable(&error, patience))?;
        let status = response.status();
        let body = bounded(response, LARGEST_ANSWER).await;
        let body = body.with_context(|| format!("the answer of {} breaks off", self.base));
        let body = body.map_err(Error::CouldNotRun)?;
        if !status.is_success() {
            return Err(ApiError::Refused(Refusal {
                status,
                problem: serde_json::from_slice(&body).unwrap_or_default(),
                url: self.base.to_string(),
                key: self.key.clone(),
            }));
        }
        let body = match status {
            StatusCode::NO_CONTENT => b"null",
            _ => body.as_slice(),
        };
        let parsed = serde_json::from_slice(body);
        let parsed = parsed.with_context(|| {
            format!(
                "{} does not answer as a Sonde server of this release",
                self.base
            )
        });
        Ok(parsed.map_err(Error::CouldNotRun)?)
    }

    fn unreachable(&self, error: &reqwest::Error, patience: Duration) -> Error {
        let error = if error.is_timeout() && !error.is_connect() {
            anyhow!("no answer within {} s", patience.as_secs())
        } else {
            anyhow!(innermost(error))
        };
        let url = &self.base;
        let hint = format!("cannot ask the server at {url} (--url or SONDE_URL says where it is)");
        Error::CouldNotRun(error.context(hint))
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl ApiError {
    /// Whether what was planned is not what would happen any more.
    pub(crate) fn is_plan_changed(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.problem.code == "plan_changed")
    }

    /// What a server answered that says no.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Other(_) => None,
        }
    }

    /// What the server says, and of each field what is wrong with it, for who cannot look at a file.
    pub(crate) fn lines(self) -> Vec<String> {
        let said = match &self {
            Self::Refused(refusal) => visible(&refusal.problem.detail),
            Self::Other(_) => String::new(),
        };
        let mut lines = Error::from(self).lines();
        if !said.is_empty() && !lines.iter().any(|line| line.contains(&said)) {
            lines.insert(0, said);
        }
        lines
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(refusal) => refusal.into(),
            ApiError::Other(error) => error,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let said = refusal.said();
        let Refusal {
            status,
            problem,
            url,
            key,
        } = refusal;
        match (status, key) {
            // It is about what was asked for, not about the key; asking again changes nothing.
            _ if matches!(problem.code.as_str(), "refused" | "not_found") => {
                Self::usage(format!("{url} does not do this{said}"))
            }
            (StatusCode::UNAUTHORIZED, None) => Self::usage(format!(
                "{url} asks for an API key: name a file that holds it with --api-key-file, or set {KEY_VARIABLE}"
            )),
            (StatusCode::UNAUTHORIZED, Some(key)) => {
                Self::usage(format!("{url} does not know the API key of {key}{said}"))
            }
            (StatusCode::FORBIDDEN, Some(key)) => {
                Self::usage(format!("the API key of {key} does not allow this{said}"))
            }
            (StatusCode::FORBIDDEN, None) => Self::usage(format!(
                "{url} does not allow this without an API key{said}"
            )),
            _ if !problem.errors.is_empty() => {
                let lines = problem.errors.iter().map(ProblemAt::line);
                Self::Configuration(lines.collect())
            }
            (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY, _) => {
                Self::usage(format!("{url} does not accept this{said}"))
            }
            _ => Self::CouldNotRun(anyhow!("{url} answers {status}{said}")),
        }
    }
}

impl Refusal {
    /// What the server says of it, after a colon; nothing where it says nothing.
    fn said(&self) -> String {
        let Problem {
            code,
            title,
            detail,
            ..
        } = &self.problem;
        let said = [detail, title, code];
        let said = said.into_iter().find(|text| !text.is_empty());
        said.map_or_else(String::new, |said| format!(": {}", visible(said)))
    }
}

impl ProblemAt {
    fn line(&self) -> String {
        let (path, message) = (visible(&self.path), visible(&self.message));
        if path.is_empty() {
            return message;
        }
        format!("{path}: {message}")
    }
}

/// The key, and where it came from.
fn key(options: &ServerOptions) -> Result<Option<(String, String)>, Error> {
    if let Some(file) = &options.api_key_file {
        let key = configuration::read(file)?.trim().to_owned();
        return Ok(Some((key, file.display().to_string())));
    }
    let key = std::env::var(KEY_VARIABLE).ok();
    let key = key.filter(|key| !key.trim().is_empty());
    Ok(key.map(|key| (key.trim().to_owned(), KEY_VARIABLE.to_owned())))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// With a slash at its end, so that paths are below it.
fn base(text: &str) -> Result<Url, Error> {
    let refused = |why: &str| Error::usage(format!("--url or SONDE_URL {why}"));
    let mut url = Url::parse(text).map_err(|error| refused(&format!("is not a URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("begins with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "has a user in it: the server is asked with an API key",
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// What every client here has.
pub(crate) fn http() -> reqwest::ClientBuilder {
    let agent = concat!("sonde/", env!("CARGO_PKG_VERSION"));
    reqwest::Client::builder()
        .user_agent(agent)
        .timeout(PATIENCE)
}

/// Where the system has no roots of trust, there is still plain HTTP.
pub(crate) fn build(
    builder: impl Fn() -> reqwest::ClientBuilder,
) -> anyhow::Result<reqwest::Client> {
    let plain = |_| builder().tls_certs_only([]).build();
    builder()
        .build()
        .or_else(plain)
        .context("cannot ask anything over HTTP")
}

/// The body, refused once it is longer than `most`.
pub(crate) async fn bounded(mut response: Response, most: usize) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| anyhow!(innermost(&error)))? else {
            return Ok(body);
        };
        if body.len() + chunk.len() > most {
            return Err(anyhow!("it is larger than {} MiB", most >> 20));
        }
        body.extend_from_slice(&chunk);
    }
}

/// What it comes down to; what stands around it says the same in more general words.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
