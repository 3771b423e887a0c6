//! Follows a file or a URL: what it says is applied whenever it changes, and never less than it says.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{StatusCode, Url};
use sonde_config::{Inputs, Origin};
use sonde_core::QueueSettings;

use crate::client::{self, Client};
use crate::configuration;
use crate::desired::{Desired, DesiredOptions, Meaning};
use crate::exit::{Error, Exit};
use crate::lifecycle::stop_requested;
use crate::output::plan;

/// Editors write a file in several steps: what is read twice the same is done.
const SETTLE: Duration = Duration::from_millis(300);
/// Configurations are written by people or made by their scripts; what is larger is something else.
const LARGEST: usize = 16 * 1024 * 1024;

/// What is followed.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(PathBuf),
    Url(Url),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Ok(Self::File(text.into()));
        }
        let url = Url::parse(text).map_err(|error| format!("not a valid URL: {error}"));
        url.map(Self::Url)
    }
}

/// Applies until it is told to end. Aborted then: the server applies all of a request or nothing.
pub(super) async fn run(
    source: Source,
    every: Duration,
    options: &DesiredOptions,
    server: &Client,
) -> Result<Exit, Error> {
    let follower = Follower {
        reader: Reader::new(source)?,
        meaning: options.meaning(),
        settings: options.files().queue_settings()?,
        server,
        applied: None,
        said: Vec::new(),
    };
    tokio::select! {
        biased;
        asked = stop_requested() => {
            asked?;
            Ok(Exit::Ok)
        }
        never = follower.follow(every) => match never {},
    }
}

struct Follower<'a> {
    reader: Reader,
    meaning: &'a Meaning,
    settings: QueueSettings,
    server: &'a Client,
    applied: Option<Desired>,
    /// The errors of the last look: the same ones are not said again.
    said: Vec<String>,
}

impl Follower<'_> {
    async fn follow(mut self, every: Duration) -> Infallible {
        let mut looks = tokio::time::interval(every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match self.look().await {
                Ok(()) => self.said.clear(),
                Err(error) => {
                    let lines = error.lines();
                    if lines != self.said {
                        error.log();
                        tracing::error!("not applied: what the server has stays");
                    }
                    self.said = lines;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        self.reader.read().await?;
        let desired = self.reader.parse(&self.settings, self.meaning)?;
        if self.applied.as_ref() == Some(&desired) {
            return Ok(());
        }
        let applied = desired.apply(self.server, None).await?;
        let [added, changed, removed] = plan::counts(&applied);
        tracing::info!(
            added,
            changed,
            removed,
            unchanged = applied.unchanged,
            "applied {}",
            self.reader.name
        );
        self.applied = Some(desired);
        Ok(())
    }
}

/// What is followed, with what it said last.
struct Reader {
    name: String,
    source: Source,
    http: reqwest::Client,
    text: String,
    /// Of the text.
    tag: Option<HeaderValue>,
}

impl Reader {
    fn new(source: Source) -> Result<Self, Error> {
        Ok(Self {
            name: match &source {
                Source::File(path) => path.display().to_string(),
                Source::Url(url) => sonde_core::without_credentials(url.clone()).to_string(),
            },
            source,
            http: client::build(client::http)?,
            text: String::new(),
            tag: None,
        })
    }

    async fn read(&mut self) -> Result<(), Error> {
        match self.source.clone() {
            Source::File(path) => self.read_file(&path).await,
            Source::Url(url) => {
                let read = self.fetch(url).await;
                Ok(read.with_context(|| format!("cannot read {}", self.name))?)
            }
        }
    }

    async fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        loop {
            let text = configuration::read(path)?;
            if text == self.text {
                return Ok(());
            }
            self.text = text;
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn fetch(&mut self, url: Url) -> anyhow::Result<()> {
        let mut request = self.http.get(url);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = request.send().await;
        let response = response.map_err(|error| anyhow!(client::innermost(&error)))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && self.tag.is_some() {
            return Ok(());
        }
        if status != StatusCode::OK {
            return Err(anyhow!("the server answers {status}"));
        }
        let tag = response.headers().get(ETAG).cloned();
        let body = client::bounded(response, LARGEST).await?;
        self.text = String::from_utf8(body).map_err(|_| anyhow!("it is not UTF-8 text"))?;
        self.tag = tag;
        Ok(())
    }

    fn parse(&self, settings: &QueueSettings, meaning: &Meaning) -> Result<Desired, Error> {
        let loaded = match &self.source {
            Source::File(path) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                let (name, text, reading) = (&self.name, &self.text, meaning.reading());
                configuration::load_text(name, text, folder, settings, reading)
            }
            // Whoever writes there must not read what this machine keeps.
            Source::Url(_) => sonde_config::parse(&Inputs {
                name: &self.name,
                text: &self.text,
                origin: Origin::Network {
                    has_monitor: &|_| false,
                },
                queues: settings,
                options: meaning.reading(),
            })
            .map_err(|problems| configuration::listed(&problems)),
        };
        meaning.desired(loaded?.config)
    }
}
