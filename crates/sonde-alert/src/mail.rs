//! Mail, through the operator's own server: that one is trusted, so the egress guard has no say in where it is.
//!
//! Connections are kept here and not by lettre, whose pool takes one back in the middle of a dialogue that was given up:
//! what the server answers to the old mail would then be taken for its answer to the next one.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use sonde_config::settings::{SmtpSecurity, SmtpSettings};
use sonde_notify::Mail;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use crate::send::SendError;

/// From the connection to the last answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Servers limit how many one client may have; Postfix, the most generous, to 50 for everybody behind one address.
const MOST_CONNECTIONS: usize = 4;
/// RFC 5321, 4.5.3.2.7: a server may hang up on who is silent for five minutes. Many do earlier.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// Whether a connection that was kept is good still.
const LOOK: Duration = Duration::from_secs(3);
/// Mails that some of their receivers have; who is forgotten gets one twice.
const MOST_PARTLY_SENT: usize = 1000;
/// RFC 3834: no machine is to answer.
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// Why mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    #[error("`{address}` is no address that mail can come from")]
    From {
        address: String,
        #[source]
        source: AddressError,
    },
    #[error("cannot speak TLS to the SMTP server")]
    Tls(#[source] smtp::Error),
}

/// Sends mails over a few connections to one server.
pub struct Mailer {
    server: SmtpSettings,
    from: Mailbox,
    tls: Option<TlsParameters>,
    turns: Semaphore,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
    /// By message id, who has it already.
    partly_sent: Mutex<HashMap<String, HashSet<String>>>,
}

/// What a server said to a mail.
#[derive(Default)]
struct Verdict {
    taken: HashSet<String>,
    /// To some receivers: not now.
    later: Option<String>,
    /// To some receivers: never.
    never: Option<String>,
}

impl Mailer {
    /// Connects to nothing yet.
    pub fn new(server: SmtpSettings) -> Result<Self, MailerError> {
        let address = &server.from.address;
        let address = address.parse().map_err(|source| MailerError::From {
            address: address.clone(),
            source,
        })?;
        let tls = match server.security {
            SmtpSecurity::None => None,
            SmtpSecurity::StartTls | SmtpSecurity::Tls => {
                let tls = TlsParameters::new_rustls(server.host.clone());
                Some(tls.map_err(MailerError::Tls)?)
            }
        };
        Ok(Self {
            from: Mailbox::new(server.from.name.clone(), address),
            server,
            tls,
            turns: Semaphore::new(MOST_CONNECTIONS),
            idle: Mutex::default(),
            partly_sent: Mutex::default(),
        })
    }

    /// Returns when the server has taken it for all who it ever takes it for.
    pub(crate) async fn send(&self, mail: Mail) -> Result<(), SendError> {
        let turn = self.turns.acquire().await;
        let _turn = turn.expect("nobody closes it");
        let delivered = timeout(TIMEOUT, self.deliver(&mail)).await;
        delivered.unwrap_or_else(|_| {
            let host = &self.server.host;
            Err(SendError::again(format!(
                "the SMTP server {host} does not answer in time"
            )))
        })
    }

    async fn deliver(&self, mail: &Mail) -> Result<(), SendError> {
        let had = self.partly_sent.lock().await.get(&mail.message_id).cloned();
        let had = had.unwrap_or_default();
        let receivers = mail.to.iter().filter(|to| !had.contains(*to));
        let receivers: Result<Vec<Address>, _> = receivers.map(|to| to.parse()).collect();
        let receivers =
            receivers.map_err(|error| SendError::never(format!("an address is none: {error}")))?;
        let text = self.written(mail)?;
        let mut connection = self.connection().await?;
        match self.dialogue(&mut connection, &receivers, &text).await {
            Ok(verdict) => {
                // Where it took nobody, the server waits for the rest of a mail.
                if verdict.taken.is_empty() {
                    connection.abort().await;
                } else {
                    self.idle.lock().await.push((connection, Instant::now()));
                }
                self.settle(mail, had, verdict).await
            }
            Err(error) => {
                connection.abort().await;
                Err(refused(&error))
            }
        }
    }

    /// Headers and both bodies.
    fn written(&self, mail: &Mail) -> Result<Vec<u8>, SendError> {
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(&mail.subject)
            .message_id(Some(mail.message_id.clone()))
            .raw_header(HeaderValue::new(
                AUTO_SUBMITTED,
                "auto-generated".to_owned(),
            ));
        for to in &mail.to {
            let to = to.parse();
            let to =
                to.map_err(|error| SendError::never(format!("an address is none: {error}")))?;
            message = message.to(Mailbox::new(None, to));
        }
        if let Some(follows) = &mail.follows {
            message = message
                .in_reply_to(follows.clone())
                .references(follows.clone());
        }
        let both = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
        let message = message.multipart(both);
        let message =
            message.map_err(|error| SendError::never(format!("it is no mail: {error}")))?;
        Ok(message.formatted())
    }

    /// One that was kept and is good still, or a new one. Whatever fails here is no fault of the mail's.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        loop {
            let Some((mut connection, since)) = self.idle.lock().await.pop() else {
                break;
            };
            let is_fresh = since.elapsed() < LONGEST_IDLE;
            if is_fresh
                && timeout(LOOK, connection.test_connected())
                    .await
                    .is_ok_and(|good| good)
            {
                return Ok(connection);
            }
        }
        let SmtpSettings { host, port, .. } = &self.server;
        let connection = self.connect().await;
        connection.map_err(|error| {
            SendError::again(format!("cannot use the SMTP server {host}:{port}: {error}"))
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let SmtpSettings {
            host,
            port,
            security,
            user,
            ..
        } = &self.server;
        let name = ClientId::default();
        let at_once = self.tls.clone().filter(|_| *security == SmtpSecurity::Tls);
        let address = (host.as_str(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(TIMEOUT), &name, at_once, None)
                .await?;
        if let Some(tls) = &self.tls
            && *security == SmtpSecurity::StartTls
        {
            connection.starttls(tls.clone(), &name).await?;
        }
        if let Some(user) = user {
            let password = user.password.expose().to_owned();
            let credentials = Credentials::new(user.name.clone(), password);
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// One mail to as many as the server takes it for: one address that is wrong keeps it from nobody else.
    async fn dialogue(
        &self,
        connection: &mut AsyncSmtpConnection,
        receivers: &[Address],
        text: &[u8],
    ) -> Result<Verdict, smtp::Error> {
        let mut verdict = Verdict::default();
        let from = MailFrom::new(Some(self.from.email.clone()), Vec::new());
        connection.command(from).await?;
        for to in receivers {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {
                    verdict.taken.insert(to.to_string());
                }
                Err(error) if error.is_permanent() => verdict.never = Some(error.to_string()),
                Err(error) if error.is_transient() => verdict.later = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if !verdict.taken.is_empty() {
            connection.command(Data).await?;
            connection.message(text).await?;
        }
        Ok(verdict)
    }

    async fn settle(
        &self,
        mail: &Mail,
        mut had: HashSet<String>,
        verdict: Verdict,
    ) -> Result<(), SendError> {
        had.extend(verdict.taken);
        let mut partly_sent = self.partly_sent.lock().await;
        if let Some(error) = verdict.later {
            if !had.is_empty() {
                if partly_sent.len() >= MOST_PARTLY_SENT {
                    partly_sent.clear();
                }
                partly_sent.insert(mail.message_id.clone(), had);
            }
            return Err(SendError::again(error));
        }
        partly_sent.remove(&mail.message_id);
        match verdict.never {
            Some(error) if had.is_empty() => Err(SendError::never(error)),
            Some(error) => {
                let id = &mail.message_id;
                tracing::warn!(
                    error,
                    mail.id = id,
                    "the SMTP server takes a mail for some receivers only"
                );
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn refused(error: &smtp::Error) -> SendError {
    // 530: it wants a password first, which is the operator's to put right.
    let is_ours = error.status().is_some_and(|code| u16::from(code) == 530);
    let text = error.to_string();
    if error.is_permanent() && !is_ours {
        SendError::never(text)
    } else {
        SendError::again(text)
    }
}
