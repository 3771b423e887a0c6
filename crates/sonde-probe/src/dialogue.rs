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
        let sent = async { work.await.map_err(|error| self.broke(&error, "sending")) };
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
                Ok(Err(error)) => return Err(self.broke(&error, "listening")),
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
            let message = format!(
                "the connection to `{host}` broke while {when}: {}",
                in_words(error)
            );
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sonde_core::{NetworkOptions, StartTls, TcpSpec, TlsSpec};
    use tokio::net::TcpStream;

    use super::*;
    use crate::testing::{Stub, environment, observation, within};
    use crate::{Egress, tcp, tls_kind};

    fn expect(pattern: &str) -> Step {
        Step::Expect(Pattern::new(pattern).unwrap())
    }

    fn spec(stub: &Stub, dialogue: Vec<Step>) -> TcpSpec {
        TcpSpec {
            host: "127.0.0.1".to_owned(),
            port: stub.address.port(),
            tls: None,
            dialogue,
            network: NetworkOptions::default(),
        }
    }

    async fn run(spec: &TcpSpec, seen: &mut Observation) -> Result<(), Failure> {
        tcp::probe(&environment(Egress::open()), spec, seen).await
    }

    /// Says `words`, then repeats what it hears.
    async fn echo(words: &'static str) -> Stub {
        Stub::new(move |mut stream: TcpStream| async move {
            stream.write_all(words.as_bytes()).await.unwrap();
            let (mut from, mut to) = stream.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
        })
        .await
    }

    #[tokio::test]
    async fn captures_of_one_reply_go_into_the_next_words() {
        let stub = echo("+OK hello <1896.697@host>\r\n").await;
        let dialogue = vec![
            expect(r"^\+OK (?<greeting>\w+) <(.+)>\r\n"),
            Step::Send("APOP ${2} ${greeting} ${none} $2\r\n".to_owned()),
            expect(r"^APOP 1896\.697@host hello \$\{none\} \$2\r\n$"),
            Step::SendBytes(vec![0xff, b'!']),
            expect("!$"),
        ];
        let mut seen = observation();
        assert_eq!(run(&spec(&stub, dialogue), &mut seen).await, Ok(()));
        let reply = seen.tcp.unwrap().reply;
        assert!(
            reply.starts_with("+OK hello") && reply.ends_with("\u{fffd}!"),
            "{reply}"
        );
        let phases = seen.phases;
        assert!(phases.send.is_some() && phases.wait.is_some() && phases.tls.is_none());
    }

    #[tokio::test]
    async fn what_is_not_said_fails_with_what_was_said() {
        let stub = Stub::new(|mut stream: TcpStream| async move {
            stream.write_all(b"421 busy\r\n").await.unwrap();
        })
        .await;
        let mut seen = observation();
        let failure = run(&spec(&stub, vec![expect("^220 ")]), &mut seen)
            .await
            .unwrap_err();
        assert_eq!(failure.reason, Reason::AssertionTcp);
        assert!(failure.message.contains("421 busy"), "{}", failure.message);
        assert_eq!(seen.tcp.unwrap().reply, "421 busy\r\n");
    }

    #[tokio::test]
    async fn silence_ends_with_the_deadline_before_and_after_the_first_byte() {
        for (words, reason) in [("", Reason::WaitTimeout), ("2", Reason::ReceiveTimeout)] {
            let stub = echo(words).await;
            let mut seen = within(Duration::from_millis(50));
            let failure = run(&spec(&stub, vec![expect("^220 ")]), &mut seen).await;
            assert_eq!(failure.unwrap_err().reason, reason);
        }
    }

    #[tokio::test]
    async fn an_endless_talker_is_cut_off() {
        let stub = Stub::new(|mut stream: TcpStream| async move {
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        })
        .await;
        let mut seen = observation();
        let failure = run(&spec(&stub, vec![expect("^220 ")]), &mut seen).await;
        assert_eq!(failure.unwrap_err().reason, Reason::AssertionTcp);
        assert_eq!(seen.tcp.unwrap().reply.len(), REPLY_KEPT);
    }

    #[tokio::test]
    async fn the_way_into_tls_ends_in_a_handshake() {
        let stub = Stub::new(|mut stream: TcpStream| async move {
            stream
                .write_all(b"220-hello\r\n220 mail\r\n")
                .await
                .unwrap();
            for answer in ["250-x\r\n250 STARTTLS\r\n", "220 go\r\n"] {
                let mut line = [0; 64];
                let read = stream.read(&mut line).await.unwrap();
                assert!(read > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            // Not TLS: enough to see that the handshake has begun.
            stream.write_all(b"not tls").await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let spec = TlsSpec {
            host: "127.0.0.1".to_owned(),
            port: stub.address.port(),
            tls: TlsOptions::default(),
            starttls: Some(StartTls::Smtp),
            network: NetworkOptions::default(),
        };
        let mut seen = observation();
        let failure = tls_kind::probe(&environment(Egress::open()), &spec, &mut seen).await;
        assert_eq!(failure.unwrap_err().reason, Reason::TlsHandshake);
        assert!(seen.phases.tls.is_some() && seen.tcp.is_none());
    }
}
