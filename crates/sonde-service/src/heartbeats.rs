//! Heartbeats: the address that a job calls to tell that it is well, and what becomes of what it tells.
//!
//! Whoever knows the address may tell, and nothing else: nobody signs in, and the audit log hears of no ping.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sonde_core::{CheckResult, Evidence, Maintenance, Monitor, MonitorId, Outcome, Reason, Scope};
use sonde_queue::results_messages;
use sonde_store::{Expected, Opens, Remove, ResourceKind};

use crate::access::{Access, Permit};
use crate::entries::{Body, decode, encode, put};
use crate::token::{Token, TokenKind};
use crate::{Result, Service, ServiceError};

/// Of what a job says, in bytes.
const LONGEST_TEXT: usize = 4096;
/// Of what is shown in one line, in characters.
const LONGEST_MESSAGE: usize = 300;

/// What a job tells.
#[derive(Debug, Clone, Default)]
pub struct Ping {
    pub told: Told,
    /// How long the job took.
    pub duration: Option<Duration>,
    /// What it said; only the beginning is kept.
    pub message: Option<String>,
}

/// How a job went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Told {
    #[default]
    Ok,
    Degraded,
    Failed,
    /// The status of a command: zero is well.
    Exit(i32),
}

/// What is stored of an address.
#[derive(Serialize, Deserialize)]
struct Address {
    /// Only where secrets are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Body for Address {
    const KIND: ResourceKind = ResourceKind::Heartbeat;
    const WHAT: &'static str = "heartbeat";
}

impl Access {
    /// What the address of a heartbeat ends with. It is made when it is first asked for.
    pub async fn heartbeat_token(&self, id: &MonitorId) -> Result<Token> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        expect_heartbeat(permit, id).await?;
        if let Some(token) = self.stored_token(permit, id).await? {
            return Ok(token);
        }
        match self.new_token(permit, id, Expected::Nothing).await {
            // Somebody else was faster.
            Err(ServiceError::Changed) => {
                let made = self.stored_token(permit, id).await?;
                made.ok_or(ServiceError::Changed)
            }
            other => other,
        }
    }

    /// Another one in its place, which is known to nobody any more.
    pub async fn rotate_heartbeat_token(&self, id: &MonitorId) -> Result<Token> {
        let permit = self.on(Scope::MonitorsWrite, id)?;
        expect_heartbeat(permit, id).await?;
        self.new_token(permit, id, Expected::Anything).await
    }

    async fn stored_token(&self, permit: Permit<'_>, id: &MonitorId) -> Result<Option<Token>> {
        let alerts = &self.service.parts.alerts;
        let Some(body) = alerts.heartbeat(permit.workspace(), id).await? else {
            return Ok(None);
        };
        let address: Address = decode(id.as_str(), &body)?;
        Ok(address.token.as_deref().map(Token::presented))
    }

    async fn new_token(
        &self,
        permit: Permit<'_>,
        id: &MonitorId,
        expected: Expected,
    ) -> Result<Token> {
        let token = Token::generate(TokenKind::Heartbeat);
        let secret = Address {
            token: Some(token.expose().to_owned()),
        };
        let mut put = put(id.as_str(), &Address { token: None });
        put.secrets = Some(encode(&secret));
        put.credential = Some(token.credential(None));
        let mut change = permit.change();
        if expected == Expected::Anything {
            // What opened it goes with it.
            change.removes.push(forget(id));
        } else {
            put = put.expecting(expected);
        }
        change.puts.push(put);
        permit.commit(change).await?;
        Ok(token)
    }
}

/// The address of a monitor that is to be gone.
pub(crate) fn forget(id: &MonitorId) -> Remove {
    Remove {
        kind: ResourceKind::Heartbeat,
        id: id.to_string(),
        expected: Expected::Anything,
    }
}

async fn expect_heartbeat(permit: Permit<'_>, id: &MonitorId) -> Result<()> {
    let found = permit.store().monitor(permit.workspace(), id).await?;
    let found = found.ok_or_else(|| ServiceError::monitor_not_found(id))?;
    match found.value.spec.heartbeat() {
        Some(_) => Ok(()),
        None => Err(ServiceError::NotFound {
            what: Address::WHAT,
            id: id.to_string(),
        }),
    }
}

impl Service {
    /// Takes what a job tells; returns once the queue has it. False when nothing has that address.
    pub async fn ping(&self, token: &Token, ping: Ping) -> Result<bool> {
        if !token.is(TokenKind::Heartbeat) {
            return Ok(false);
        }
        let found = self.valid(token).await?;
        let Some(Opens::Heartbeat { workspace, monitor }) = found.map(|found| found.opens) else {
            return Ok(false);
        };
        let parts = &self.parts;
        let found = parts.store.monitor(&workspace, &monitor).await?;
        let found = found.map(|found| found.value);
        let Some(monitor) = found.filter(|it| it.spec.heartbeat().is_some()) else {
            return Ok(false);
        };
        if monitor.paused {
            return Ok(true);
        }
        let mut result = result(&monitor, &ping, self.now());
        result.in_maintenance = self.is_maintained(&monitor, &result).await?;
        let messages = results_messages(vec![result], parts.partitions);
        let published = parts.queue.publish(messages).await;
        published.map_err(ServiceError::Unheard)?;
        Ok(true)
    }

    async fn is_maintained(&self, monitor: &Monitor, result: &CheckResult) -> Result<bool> {
        let (store, kind) = (&self.parts.store, ResourceKind::Maintenance);
        let all = store.resources(&monitor.workspace, kind, "", u32::MAX);
        // What is unreadable the dispatcher reports.
        let mut all = all
            .await?
            .into_iter()
            .filter_map(|stored| Maintenance::from_json(&stored.value.body).ok());
        Ok(all.any(|it| it.covers(result.slot, &monitor.id, &monitor.tags)))
    }
}

fn result(monitor: &Monitor, ping: &Ping, now: sonde_core::Timestamp) -> CheckResult {
    let outcome = match ping.told {
        Told::Ok | Told::Exit(0) => Outcome::Ok,
        Told::Degraded => Outcome::Degraded,
        Told::Failed | Told::Exit(_) => Outcome::Failed,
    };
    let mut result = CheckResult::of_heartbeat(monitor, now, outcome);
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    result.total_us = ping.duration.map(micros);
    let text = ping.message.as_deref().map(|text| beginning(text.trim()));
    let text = text.filter(|text| !text.is_empty());
    if outcome != Outcome::Ok {
        result.reason = Some(Reason::ExecFailed);
        let line = text.and_then(|text| text.lines().next());
        let line = line.map(|line| line.chars().take(LONGEST_MESSAGE).collect::<String>());
        result.message = Some(match (ping.told, line) {
            (Told::Exit(code), None) => format!("exit status {code}"),
            (Told::Exit(code), Some(line)) => format!("exit status {code}: {line}"),
            (_, Some(line)) => line,
            (Told::Degraded, None) => "the job says that it went badly".to_owned(),
            (_, None) => "the job says that it failed".to_owned(),
        });
    }
    result.evidence = text.map(|text| Evidence {
        body: Some(text.to_owned()),
        ..Evidence::default()
    });
    result
}

fn beginning(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use sonde_core::Timestamp;

    use super::*;

    fn told(told: Told, message: Option<&str>) -> (Outcome, Option<String>, Option<String>) {
        let ping = Ping {
            told,
            duration: Some(Duration::from_millis(1500)),
            message: message.map(str::to_owned),
        };
        let result = result(&Monitor::sample(), &ping, Timestamp::from_micros(7));
        assert_eq!(result.total_us, Some(1_500_000));
        assert_eq!(result.reason.is_none(), result.outcome == Outcome::Ok);
        let body = result.evidence.and_then(|evidence| evidence.body);
        (result.outcome, result.message, body)
    }

    #[test]
    fn what_a_job_says_is_kept_and_its_first_line_shown_when_it_went_badly() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(Told::Ok, None), (Outcome::Ok, None, None));
        assert_eq!(
            told(Told::Exit(0), Some(" 3 files \n")),
            (Outcome::Ok, None, some("3 files"))
        );
        let failed = some("the job says that it failed");
        assert_eq!(told(Told::Failed, None), (Outcome::Failed, failed, None));
        assert_eq!(
            told(Told::Exit(3), Some("disk full\nat /srv")),
            (
                Outcome::Failed,
                some("exit status 3: disk full"),
                some("disk full\nat /srv")
            )
        );
        let (outcome, message, _) = told(Told::Degraded, Some("slow"));
        assert_eq!((outcome, message), (Outcome::Degraded, some("slow")));
    }

    #[test]
    fn only_the_beginning_of_it_is_kept_whole_letters_at_a_time() {
        let long = "é".repeat(LONGEST_TEXT);
        let (_, message, body) = told(Told::Failed, Some(&long));
        assert_eq!(body.unwrap().len(), LONGEST_TEXT);
        assert_eq!(message.unwrap().chars().count(), LONGEST_MESSAGE);
        let odd = format!("a{long}");
        let (_, _, body) = told(Told::Failed, Some(&odd));
        assert_eq!(body.unwrap().len(), LONGEST_TEXT - 1);
    }
}
