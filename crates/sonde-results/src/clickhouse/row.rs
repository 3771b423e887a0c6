//! A result as a row, and back to the identical result.
//!
//! Numbers and common texts are columns of their own. What the columns cannot say (details of rarer kinds, values out of
//! the ordinary) is the JSON merge patch in `rest`, so that nothing is ever lost and a plain check costs nothing for it.

use std::borrow::Cow;

use clickhouse::Row;
use clickhouse::types::UInt256;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sonde_core::{
    Attempt, CheckKey, CheckResult, CheckerInfo, Evidence, FailedAssertion, HttpDetail, Kind,
    MonitorId, Outcome, Phases, RANK_BYTES, Reason, Region, RunId, Timestamp, TlsDetail, Trigger,
    WorkspaceId, rank, start_of_rank,
};

/// Why a row is not a result, or a result cannot be a row.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("`{0}` is not a known {1}")]
    Unknown(String, &'static str),
    #[error(transparent)]
    InvalidId(#[from] sonde_core::InvalidId),
    #[error("a detail is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    #[error("check {0} does not read back as it was")]
    Changed(String),
    #[error("the slot {0} is not between 1970 and 2100")]
    SlotOutOfRange(Timestamp),
}

/// Columns of `check_results` and `latest_results` by name; empty texts and zeros stand for what is absent.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
pub(super) struct ResultRow<'a> {
    pub(super) workspace: &'a str,
    pub(super) monitor: &'a str,
    pub(super) slot: i64,
    pub(super) region: &'a str,
    pub(super) run_id: u64,
    /// The rank; in `latest_results` below the slot.
    pub(super) version: UInt256,
    name: &'a str,
    kind: &'a str,
    target: &'a str,
    pub(super) trigger: &'a str,
    interval_us: u64,
    pub(super) outcome: &'a str,
    reason: &'a str,
    message: &'a str,
    attempts: u8,
    #[serde(rename = "earlier_attempts.reason", borrow)]
    earlier_reasons: Vec<&'a str>,
    #[serde(rename = "earlier_attempts.total_us")]
    earlier_totals: Vec<u64>,
    dns_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    send_us: Option<u64>,
    wait_us: Option<u64>,
    receive_us: Option<u64>,
    pub(super) total_us: Option<u64>,
    queue_wait_us: Option<u64>,
    schedule_lag_us: Option<u64>,
    checker_id: &'a str,
    checker_version: &'a str,
    remote_address: &'a str,
    http_status: u16,
    http_version: &'a str,
    http_bytes: u64,
    http_redirects: u8,
    tls_version: &'a str,
    tls_not_after: Option<i64>,
    #[serde(borrow)]
    tls: Cow<'a, str>,
    #[serde(rename = "failed.assertion", borrow)]
    failed_assertions: Vec<&'a str>,
    #[serde(rename = "failed.expected", borrow)]
    failed_expected: Vec<&'a str>,
    #[serde(rename = "failed.seen", borrow)]
    failed_seen: Vec<&'a str>,
    suspect: bool,
    pub(super) in_maintenance: bool,
    #[serde(borrow)]
    evidence: Cow<'a, str>,
    #[serde(borrow)]
    rest: Cow<'a, str>,
}

impl<'a> ResultRow<'a> {
    /// The row that reads back as `result`, or why there is none.
    pub(super) fn new(result: &'a CheckResult) -> Result<Self, RowError> {
        if !(0..super::END_OF_TIME).contains(&result.slot.as_micros()) {
            return Err(RowError::SlotOutOfRange(result.slot));
        }
        let mut row = Self::columns(result)?;
        let read_back = row.decode_columns()?;
        if read_back != *result {
            let patch = difference(
                &serde_json::to_value(&read_back)?,
                &serde_json::to_value(result)?,
            );
            row.rest = patch.unwrap_or_default().to_string().into();
            if row.decode()? != *result {
                return Err(RowError::Changed(result.check_id.to_string()));
            }
        }
        Ok(row)
    }

    fn columns(result: &'a CheckResult) -> Result<Self, RowError> {
        let earlier = result.attempts.split_last().map_or(&[][..], |(_, all)| all);
        let phases = &result.phases_us;
        let http = result.http.as_ref();
        let tls = result.tls.as_ref();
        let checker = result.checker.as_ref();
        let leaf = tls.and_then(|tls| tls.certificates.first());
        let failed = |text: fn(&FailedAssertion) -> &str| result.failed.iter().map(text).collect();
        Ok(Self {
            workspace: result.workspace.as_str(),
            monitor: result.monitor.as_str(),
            slot: result.slot.as_micros(),
            region: result.region.as_str(),
            run_id: result.run_id.as_u64(),
            version: version(&rank(result)),
            name: &result.name,
            kind: result.kind.as_str(),
            target: &result.target,
            trigger: result.trigger.as_str(),
            interval_us: result.interval_us,
            outcome: result.outcome.as_str(),
            reason: reason_text(result.reason),
            message: result.message.as_deref().unwrap_or_default(),
            attempts: u8::try_from(result.attempts.len()).unwrap_or(u8::MAX),
            earlier_reasons: earlier.iter().map(|one| reason_text(one.reason)).collect(),
            earlier_totals: earlier.iter().map(|one| one.total_us).collect(),
            dns_us: phases.dns,
            connect_us: phases.connect,
            tls_us: phases.tls,
            send_us: phases.send,
            wait_us: phases.wait,
            receive_us: phases.receive,
            total_us: result.total_us,
            queue_wait_us: result.queue_wait_us,
            schedule_lag_us: result.schedule_lag_us,
            checker_id: checker.map_or("", |checker| &checker.id),
            checker_version: checker.map_or("", |checker| &checker.version),
            remote_address: result.remote_address.as_deref().unwrap_or_default(),
            http_status: http.map_or(0, |http| http.status),
            http_version: http.map_or("", |http| &http.version),
            http_bytes: http.map_or(0, |http| http.bytes),
            http_redirects: http.map_or(0, |http| {
                u8::try_from(http.redirects.len()).unwrap_or(u8::MAX)
            }),
            tls_version: tls.and_then(|tls| tls.version.as_deref()).unwrap_or(""),
            tls_not_after: leaf.map(|leaf| leaf.not_after.as_micros()),
            tls: json(tls)?,
            failed_assertions: failed(|one| &one.assertion),
            failed_expected: failed(|one| &one.expected),
            failed_seen: failed(|one| &one.seen),
            suspect: result.suspect,
            in_maintenance: result.in_maintenance,
            evidence: json(result.evidence.as_ref())?,
            rest: Cow::Borrowed(""),
        })
    }

    /// The result that this row was made of.
    pub(super) fn decode(&self) -> Result<CheckResult, RowError> {
        let result = self.decode_columns()?;
        if self.rest.is_empty() {
            return Ok(result);
        }
        let mut value = serde_json::to_value(&result)?;
        apply(&mut value, serde_json::from_str(&self.rest)?);
        Ok(serde_json::from_value(value)?)
    }

    fn decode_columns(&self) -> Result<CheckResult, RowError> {
        let key = self.key()?;
        let total_us = self.total_us;
        let reason = reason(self.reason)?;
        Ok(CheckResult {
            v: CheckResult::VERSION,
            check_id: key.check_id(),
            workspace: key.workspace,
            monitor: key.monitor,
            name: self.name.to_owned(),
            kind: Kind::from_name(self.kind).ok_or_else(|| unknown(self.kind, "kind"))?,
            target: self.target.to_owned(),
            region: key.region,
            trigger: trigger(self.trigger)?,
            slot: key.slot,
            interval_us: self.interval_us,
            run_id: key.run_id,
            started_at: self.started_at(),
            outcome: Outcome::from_name(self.outcome)
                .ok_or_else(|| unknown(self.outcome, "outcome"))?,
            reason,
            message: text(self.message),
            attempts: self.attempts(reason)?,
            phases_us: self.phases(),
            total_us,
            queue_wait_us: self.queue_wait_us,
            schedule_lag_us: self.schedule_lag_us,
            checker: text(self.checker_id).map(|id| CheckerInfo {
                id,
                version: self.checker_version.to_owned(),
            }),
            remote_address: text(self.remote_address),
            http: (self.http_status != 0).then(|| HttpDetail {
                status: self.http_status,
                version: self.http_version.to_owned(),
                bytes: self.http_bytes,
                redirects: Vec::new(),
            }),
            tls: parse::<TlsDetail>(&self.tls)?,
            tcp: None,
            dns: None,
            icmp: None,
            exec: None,
            domain: None,
            failed: self.failed(),
            evidence: parse::<Evidence>(&self.evidence)?,
            suspect: self.suspect,
            in_maintenance: self.in_maintenance,
        })
    }

    pub(super) fn key(&self) -> Result<CheckKey, RowError> {
        Ok(CheckKey {
            workspace: WorkspaceId::new(self.workspace)?,
            monitor: MonitorId::new(self.monitor)?,
            region: Region::new(self.region)?,
            slot: Timestamp::from_micros(self.slot),
            run_id: RunId::from_u64(self.run_id),
        })
    }

    pub(super) fn is_scheduled(&self) -> bool {
        self.trigger == Trigger::Schedule.as_str()
    }

    fn started_at(&self) -> Option<Timestamp> {
        let mut rank = [0; RANK_BYTES];
        rank.copy_from_slice(&self.version.to_le_bytes()[..RANK_BYTES]);
        rank.reverse();
        start_of_rank(&rank)
    }

    fn phases(&self) -> Phases {
        Phases {
            dns: self.dns_us,
            connect: self.connect_us,
            tls: self.tls_us,
            send: self.send_us,
            wait: self.wait_us,
            receive: self.receive_us,
        }
    }

    /// The last attempt is the result itself, and so not stored again.
    fn attempts(&self, last: Option<Reason>) -> Result<Vec<Attempt>, RowError> {
        let mut attempts = Vec::with_capacity(usize::from(self.attempts));
        for (name, total_us) in self.earlier_reasons.iter().zip(&self.earlier_totals) {
            attempts.push(Attempt {
                reason: reason(name)?,
                total_us: *total_us,
            });
        }
        if self.attempts > 0 {
            attempts.push(Attempt {
                reason: last,
                total_us: self.total_us.unwrap_or(0),
            });
        }
        Ok(attempts)
    }

    fn failed(&self) -> Vec<FailedAssertion> {
        let expected_and_seen = self.failed_expected.iter().zip(&self.failed_seen);
        let failed = self.failed_assertions.iter().zip(expected_and_seen);
        failed
            .map(|(assertion, (expected, seen))| FailedAssertion {
                assertion: (*assertion).to_owned(),
                expected: (*expected).to_owned(),
                seen: (*seen).to_owned(),
            })
            .collect()
    }

    /// The same row for the table of the newest ones, where the larger slot comes before the rank.
    pub(super) fn latest(&self) -> Self {
        let mut bytes = self.version.to_le_bytes();
        bytes[RANK_BYTES..].copy_from_slice(&self.slot.to_le_bytes()[..7]);
        Self {
            version: UInt256::from_le_bytes(bytes),
            ..self.clone()
        }
    }
}

fn version(rank: &[u8; RANK_BYTES]) -> UInt256 {
    let mut bytes = [0; 32];
    bytes[..RANK_BYTES].copy_from_slice(rank);
    bytes[..RANK_BYTES].reverse();
    UInt256::from_le_bytes(bytes)
}

fn reason_text(reason: Option<Reason>) -> &'static str {
    reason.map_or("", Reason::as_str)
}

fn reason(name: &str) -> Result<Option<Reason>, RowError> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = Reason::from_name(name).ok_or_else(|| unknown(name, "reason"))?;
    Ok(Some(known))
}

fn trigger(name: &str) -> Result<Trigger, RowError> {
    [Trigger::Schedule, Trigger::OnDemand]
        .into_iter()
        .find(|trigger| trigger.as_str() == name)
        .ok_or_else(|| unknown(name, "trigger"))
}

fn unknown(text: &str, what: &'static str) -> RowError {
    RowError::Unknown(text.to_owned(), what)
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn json<T: Serialize>(value: Option<&T>) -> Result<Cow<'static, str>, RowError> {
    match value {
        Some(value) => Ok(serde_json::to_string(value)?.into()),
        None => Ok(Cow::Borrowed("")),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<Option<T>, RowError> {
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(text)?))
}

/// The JSON merge patch (RFC 7396) that makes `to` out of `from`; `None` where they are equal.
fn difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return Some(to.clone());
    };
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let mut patch: serde_json::Map<_, _> = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in to {
        let changed = match from.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        patch.extend(changed.map(|changed| (key.clone(), changed)));
    }
    Some(Value::Object(patch))
}

fn apply(value: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Some(object) = value.as_object_mut() else {
        return;
    };
    for (key, change) in patch {
        if change.is_null() {
            object.remove(&key);
        } else {
            apply(object.entry(key).or_insert(Value::Null), change);
        }
    }
}
