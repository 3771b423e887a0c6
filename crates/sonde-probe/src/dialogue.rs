//! Send and expect over one connection, with TLS in between where a protocol asks for it. Shared by tcp and tls.

use std::io;

use regex::Captures;
use sonde_core::{Pattern, Phase, Reason, Step, TlsOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::dial::{Stream, in_words};
use crate::environment::Environment;
use crate::observe::{Failure, Observation};
use crate::tls;

/// Bytes that may come without a match; what text protocols say first is far shorter.
const UNMATCHED: usize = 16 * 1024;
/// Bytes of the peer's words that are kept.
const REPLY_KEPT: usize = 4 * 1024;
/// Characters of them that a message quotes.
const QUOTED: usize = 200;

/// One side of a conversation.
pub(crate) struct Dialogue<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) host: &'a str,
    /// For a [`Step::StartTls`].
    pub(crate) tls: &'a TlsOptions,
    /// All that the peer said, lossily as text.
    reply: String,
    /// What came since the last match.
    unmatched: Vec<u8>,
    /// Of the last match, by number and name.
    captures: Vec<(String, String)>,
}

impl<'a> Dialogue<'a> {
    pub(crate) fn new(environment: &'a Environment, host: &'a str, tls: &'a TlsOptions) -> Self {
        Self {
            environment,
            host,
            tls,
            reply: String::new(),
            unmatched: Vec::new(),
            captures: Vec::new(),
        }
    }

    /// What the peer said so far, at most 4 KiB.
    pub(crate) fn into_reply(self) -> String {
        self.reply
    }

    /// Goes through `steps` in order, under the phases send, wait (to a reply's first byte), receive and tls.
    pub(crate) async fn hold(
        &mut self,
        mut stream: Box<dyn Stream>,
        steps: &[Step],
        seen: &mut Observation,
    ) -> Result<(), Failure> {
        for step in steps {
            match step {
                Step::Send(text) => {
                    let text = self.substituted(text);
                    self.send(&mut stream, text.as_bytes(), seen).await?;
                }
                Step::SendBytes(bytes) => self.send(&mut stream, bytes, seen).await?,
                Step::Expect(pattern) => self.expect(&mut stream, pattern, seen).await?,
                Step::StartTls => {
                    // Words slipped in before the handshake must not count as said under TLS.
                    self.unmatched.clear();
                    let (environment, host) = (self.environment, self.host);
                    let shaken =
                        tls::handshake(environment, stream, host, self.tls, &[], seen).await?;
                    stream = Box::new(shaken);
                }
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        stream: &mut Box<dyn Stream>,
        bytes: &[u8],
        seen: &mut Observation,
    ) -> Result<(), Failure> {
        let work = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let sent = async {
            work.await
                .map_err(|error| self.broke(&error, "being sent to"))
        };
        seen.phase(Phase::Send, sent).await
    }

    async fn expect(
        &mut self,
        stream: &mut Box<dyn Stream>,
        pattern: &Pattern,
        seen: &mut Observation,
    ) -> Result<(), Failure> {
        let mut phase = Phase::Wait;
        while !self.matches(pattern) {
            let before = self.unmatched.len();
            if before >= UNMATCHED {
                return Err(self.unlike(pattern, "went on and on"));
            }
            let read = seen
                .phase(phase, async {
                    Ok(stream.read_buf(&mut self.unmatched).await)
                })
                .await;
            match read {
                Ok(Ok(0)) => return Err(self.unlike(pattern, "closed the connection")),
                Ok(Ok(_)) => self.hear(before),
                Ok(Err(error)) => return Err(self.broke(&error, "being listened to")),
                Err(timeout) => {
                    let message = self.unlike(pattern, "said no more in time").message;
                    return Err(Failure { message, ..timeout });
                }
            }
            phase = Phase::Receive;
        }
        Ok(())
    }

    /// Takes what matches, and all before it, off what is unmatched.
    fn matches(&mut self, pattern: &Pattern) -> bool {
        let text = String::from_utf8_lossy(&self.unmatched);
        let Some(found) = pattern.regex().captures(&text) else {
            return false;
        };
        let end = found.get_match().end();
        self.captures = named(&found, pattern);
        self.unmatched = text[end..].as_bytes().to_vec();
        true
    }

    fn hear(&mut self, from: usize) {
        let words = String::from_utf8_lossy(&self.unmatched[from..]);
        let room = REPLY_KEPT - self.reply.len();
        self.reply
            .push_str(&words[..words.floor_char_boundary(room)]);
    }

    fn substituted(&self, text: &str) -> String {
        let replace = |text: String, (name, value): &(String, String)| {
            text.replace(&format!("${{{name}}}"), value)
        };
        self.captures.iter().fold(text.to_owned(), replace)
    }

    fn unlike(&self, pattern: &Pattern, what: &str) -> Failure {
        let host = self.host;
        let wanted = pattern.regex().as_str();
        let message = if self.unmatched.is_empty() {
            format!("`{host}` {what} without anything that matches `{wanted}`")
        } else {
            let text = String::from_utf8_lossy(&self.unmatched);
            let quoted: String = text.chars().take(QUOTED).collect();
            format!("`{host}` {what}; nothing matches `{wanted}` in {quoted:?}")
        };
        Failure::new(Reason::AssertionTcp, message)
    }

    fn broke(&self, error: &io::Error, when: &str) -> Failure {
        let host = self.host;
        tls::broken(error, host).unwrap_or_else(|| {
            let message = format!("`{host}` while {when}: {}", in_words(error));
            Failure::new(Reason::ConnectReset, message)
        })
    }
}

/// Every group that took part, under its number and, where it has one, its name.
fn named(found: &Captures<'_>, pattern: &Pattern) -> Vec<(String, String)> {
    let names = pattern.regex().capture_names().enumerate();
    names
        .filter_map(|(n, name)| Some((n, name, found.get(n)?.as_str())))
        .flat_map(|(n, name, text)| {
            let keys = [Some(n.to_string()), name.map(str::to_owned)];
            keys.into_iter()
                .flatten()
                .map(move |key| (key, text.to_owned()))
        })
        .collect()
}
