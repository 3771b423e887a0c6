//! The result of a check: one JSON object everywhere (CLI, API, queue, stores).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    CheckKey, Kind, Monitor, MonitorId, Outcome, Reason, Region, RunId, Timestamp, Trigger,
    WorkspaceId,
};

/// Durations are whole microseconds of the monotonic clock; what did not happen is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The schema's version.
    pub v: u8,
    pub check_id: Uuid,
    pub workspace: WorkspaceId,
    pub monitor: MonitorId,
    pub name: String,
    pub kind: Kind,
    /// Without userinfo.
    pub target: String,
    pub region: Region,
    pub trigger: Trigger,
    pub slot: Timestamp,
    pub interval_us: u64,
    pub run_id: RunId,
    /// When the first attempt began; absent when missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// One sentence for people; what exactly happened where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Of the last attempt.
    #[serde(default)]
    pub phases_us: Phases,
    /// Of the last attempt; the mean round trip for icmp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
    /// From being dispatched to being taken by a checker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait_us: Option<u64>,
    /// From the slot to being dispatched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_lag_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checker: Option<CheckerInfo>,
    /// The address that the last connection went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainDetail>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedAssertion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Taken while the checker was unwell.
    #[serde(default)]
    pub suspect: bool,
    #[serde(default)]
    pub in_maintenance: bool,
}

impl CheckResult {
    pub const VERSION: u8 = 1;

    pub fn key(&self) -> CheckKey {
        CheckKey {
            workspace: self.workspace.clone(),
            monitor: self.monitor.clone(),
            region: self.region.clone(),
            slot: self.slot,
            run_id: self.run_id,
        }
    }

    /// The row of a check that nobody executed.
    pub fn missed(check: &crate::Check, reason: Reason) -> Self {
        Self {
            trigger: check.trigger,
            reason: Some(reason),
            message: Some(reason.sentence().to_owned()),
            in_maintenance: check.in_maintenance,
            ..Self::outline(&check.monitor, check.key())
        }
    }

    /// What a heartbeat told, or that it is late. Its slot is the instant of that: two of them are never one.
    pub fn of_heartbeat(monitor: &Monitor, slot: Timestamp, outcome: Outcome) -> Self {
        let key = CheckKey {
            workspace: monitor.workspace.clone(),
            monitor: monitor.id.clone(),
            region: Region::push(),
            slot,
            run_id: RunId::SCHEDULED,
        };
        Self {
            started_at: Some(slot),
            outcome,
            ..Self::outline(monitor, key)
        }
    }

    /// Who and when, and that nothing is known.
    fn outline(monitor: &Monitor, key: CheckKey) -> Self {
        Self {
            v: Self::VERSION,
            check_id: key.check_id(),
            workspace: key.workspace,
            monitor: key.monitor,
            name: monitor.name.clone(),
            kind: monitor.spec.kind(),
            target: monitor.target(),
            region: key.region,
            trigger: Trigger::Schedule,
            slot: key.slot,
            interval_us: u64::try_from(monitor.interval.as_micros()).unwrap_or(u64::MAX),
            run_id: key.run_id,
            started_at: None,
            outcome: Outcome::Missed,
            reason: None,
            message: None,
            attempts: Vec::new(),
            phases_us: Phases::default(),
            total_us: None,
            queue_wait_us: None,
            schedule_lag_us: None,
            checker: None,
            remote_address: None,
            http: None,
            tls: None,
            tcp: None,
            dns: None,
            icmp: None,
            exec: None,
            domain: None,
            failed: Vec::new(),
            evidence: None,
            suspect: false,
            in_maintenance: false,
        }
    }
}

/// One network try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub reason: Option<Reason>,
    pub total_us: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckerInfo {
    pub id: String,
    pub version: String,
}

/// A part of an attempt's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Send,
    /// To the first byte of the answer.
    Wait,
    Receive,
}

impl Phase {
    pub const ALL: [Self; 6] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Send,
        Self::Wait,
        Self::Receive,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
        }
    }
}

/// Microseconds per phase; absent where the phase did not happen. Sums over hops where there were redirects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive: Option<u64>,
}

impl Phases {
    pub fn get(&self, phase: Phase) -> Option<u64> {
        match phase {
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Tls => self.tls,
            Phase::Send => self.send,
            Phase::Wait => self.wait,
            Phase::Receive => self.receive,
        }
    }

    /// Adds to a phase, so that hops of redirects sum up.
    pub fn add(&mut self, phase: Phase, micros: u64) {
        let slot = match phase {
            Phase::Dns => &mut self.dns,
            Phase::Connect => &mut self.connect,
            Phase::Tls => &mut self.tls,
            Phase::Send => &mut self.send,
            Phase::Wait => &mut self.wait,
            Phase::Receive => &mut self.receive,
        };
        *slot = Some(slot.unwrap_or(0) + micros);
    }

    /// The phases that happened, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, u64)> {
        Phase::ALL
            .into_iter()
            .filter_map(|phase| Some((phase, self.get(phase)?)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpDetail {
    pub status: u16,
    /// `1.0`, `1.1` or `2`.
    pub version: String,
    /// Body bytes on the wire, before decoding.
    pub bytes: u64,
    /// The hops before the final answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub status: u16,
    pub url: String,
    pub location: String,
    pub address: String,
    pub phases_us: Phases,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsDetail {
    /// `1.2` or `1.3`; absent when the handshake did not come so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// Leaf first, as the server sent them.
    pub certificates: Vec<CertificateDetail>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateDetail {
    pub subject: String,
    pub issuer: String,
    pub san: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// SHA-256 of the DER, lowercase hex.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpDetail {
    /// What the peer said during the dialogue, lossily as text, at most 4 KiB.
    pub reply: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsDetail {
    /// `NOERROR`, `NXDOMAIN`, …
    pub rcode: String,
    /// `udp`, `tcp` or `tls`: what the answer came over.
    pub transport: String,
    pub server: String,
    pub authoritative: bool,
    pub answer: Vec<DnsRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authority: Vec<DnsRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<DnsRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    pub name: String,
    #[serde(rename = "type")]
    pub record_type: String,
    pub ttl: u32,
    pub data: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpDetail {
    pub sent: u16,
    pub received: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_us: Option<u64>,
}

impl IcmpDetail {
    /// Share of packets that did not come back, in percent.
    pub fn loss_percent(&self) -> f64 {
        100.0 * f64::from(self.sent.saturating_sub(self.received)) / f64::from(self.sent.max(1))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecDetail {
    /// Absent when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, then standard error; at most 4 KiB.
    pub output: String,
}

/// What the registry says of a domain (RFC 9083).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainDetail {
    /// Some registries do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar: Option<String>,
    /// As in `active`, `client transfer prohibited`, `redemption period`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    /// The base URL of the RDAP server that was asked.
    pub server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAssertion {
    pub assertion: String,
    pub expected: String,
    pub seen: String,
}

/// What a person needs to understand a failure afterwards. Never in public output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Status line and headers of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<String>,
    /// The first 4 KiB, lossily as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_subject: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}
