//! Sends one message. Every address goes through the guard that checks go through; redirects are not followed.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use sonde_notify::{Command, HttpRequest, Message};
use sonde_probe::Egress;
use tokio::io::AsyncWriteExt as _;
use url::{Host, Url};

use crate::mail::Mailer;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Of an answer, to see whether it says that it took the message, or why not.
const LARGEST_ANSWER: usize = 16 * 1024;
const LONGEST_REASON: usize = 200;
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Sends to channels of every kind.
pub struct Sender {
    http: Client,
    egress: Egress,
    /// Whether channels may run commands here.
    allow_exec: bool,
    /// None where no SMTP server is set.
    mailer: Option<Mailer>,
}

/// Why something was not sent.
#[derive(Debug)]
pub struct SendError {
    /// Another try would end the same.
    pub is_final: bool,
    /// How long the receiver wants to be left alone.
    pub wait: Option<Duration>,
    /// For people; no secrets.
    pub error: String,
}

impl SendError {
    pub(crate) fn again(error: impl Into<String>) -> Self {
        Self {
            is_final: false,
            wait: None,
            error: error.into(),
        }
    }

    pub(crate) fn never(error: impl Into<String>) -> Self {
        Self {
            is_final: true,
            ..Self::again(error)
        }
    }
}

impl Sender {
    pub fn new(
        egress: Egress,
        allow_exec: bool,
        mailer: Option<Mailer>,
    ) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .user_agent(concat!("sonde/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            // A proxy would be asked for addresses that nobody looked at.
            .no_proxy()
            .dns_resolver(Guard(egress.clone()))
            .build()?;
        Ok(Self {
            http,
            egress,
            allow_exec,
            mailer,
        })
    }

    /// Returns when the receiver has it.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        match message {
            Message::Http(request) => self.request(request).await,
            Message::Mail(mail) => match &self.mailer {
                Some(mailer) => mailer.send(mail).await,
                None => Err(SendError::never(
                    "this server sends no mail: its operator has to name an SMTP server (SONDE_SMTP_URL, SONDE_SMTP_FROM)",
                )),
            },
            Message::Command(command) if self.allow_exec => run(command).await,
            Message::Command(_) => Err(SendError::never("this server runs no commands")),
        }
    }

    async fn request(&self, request: HttpRequest) -> Result<(), SendError> {
        let url: Url = request
            .url
            .parse()
            .map_err(|_| SendError::never("its URL is none"))?;
        self.look_at(&url)?;
        let method = Method::from_bytes(request.method.as_str().as_bytes());
        let method = method.map_err(|_| SendError::never("its method is none"))?;
        let mut sent = self.http.request(method, url);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let answer = sent.body(request.body).send().await;
        // The URL may be a secret.
        let answer =
            answer.map_err(|error| SendError::again(sonde_core::chain(&error.without_url())))?;
        let (status, wait) = (answer.status(), retry_after(&answer));
        let body = beginning(answer).await;
        if request.accepted.accepts(status.as_u16(), &body) {
            return Ok(());
        }
        let is_final = status.is_client_error() && !is_temporary(status);
        Err(SendError {
            is_final,
            wait,
            error: format!("it answered {status}: {}", shown(&body)),
        })
    }

    /// Addresses in place of names are not resolved, so the guard would not see them.
    fn look_at(&self, url: &Url) -> Result<(), SendError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        match self.egress.forbids(address) {
            Some(why) => Err(SendError::never(format!(
                "the egress guard forbids {address}: {why}"
            ))),
            None => Ok(()),
        }
    }
}

const fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429)
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let wait = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(wait.min(LONGEST_RETRY_AFTER))
}

async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < LARGEST_ANSWER
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(LARGEST_ANSWER);
    body
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_REASON).collect()
}

/// Resolves names to addresses that may be dialled, and to no others: what is connected to is what was looked at.
struct Guard(Egress);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (allowed, forbidden): (Vec<SocketAddr>, Vec<SocketAddr>) =
                found.partition(|address| egress.forbids(address.ip()).is_none());
            if allowed.is_empty() && !forbidden.is_empty() {
                return Err("the egress guard forbids all addresses of this name".into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

async fn run(command: Command) -> Result<(), SendError> {
    let failed =
        |error: std::io::Error| SendError::again(format!("cannot run the command: {error}"));
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        .envs(
            command
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read is no failure.
        let _ = stdin.write_all(command.stdin.as_bytes()).await;
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    Err(SendError::again(format!("the command ended with {status}")))
}
