//! What an attempt has seen so far, phase by phase. It stays when the attempt fails or runs out of time.

use std::future::Future;
use std::time::Duration;

use sonde_core::{
    DnsDetail, DomainDetail, Evidence, ExecDetail, HttpDetail, IcmpDetail, Phase, Phases, Reason,
    TcpDetail, TlsDetail,
};
use tokio::time::Instant;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// A sentence for people: what happened, with the names and addresses involved.
    pub(crate) message: String,
    /// The checker itself may be what is unwell.
    pub(crate) suspect: bool,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            suspect: false,
        }
    }
}

/// One attempt: its deadline, and all that it has found out.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) deadline: Instant,
    /// Whether an assertion does, so that more of it than evidence needs is kept.
    pub(crate) looks_at_body: bool,
    pub(crate) phases: Phases,
    /// Set by kinds whose latency is not the attempt's duration (icmp: the mean round trip; domain: of the question alone).
    pub(crate) latency: Option<Duration>,
    pub(crate) remote_address: Option<String>,
    pub(crate) http: Option<HttpDetail>,
    /// Of the final answer; names as received.
    pub(crate) headers: ::http::HeaderMap,
    /// Decoded, at most what assertions may look at.
    pub(crate) body: Option<bytes::Bytes>,
    /// Bytes of the decoded body.
    pub(crate) size: Option<u64>,
    pub(crate) tls: Option<TlsDetail>,
    pub(crate) tcp: Option<TcpDetail>,
    pub(crate) dns: Option<DnsDetail>,
    pub(crate) icmp: Option<IcmpDetail>,
    pub(crate) exec: Option<ExecDetail>,
    pub(crate) domain: Option<DomainDetail>,
    pub(crate) evidence: Evidence,
}

impl Observation {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            looks_at_body: false,
            phases: Phases::default(),
            latency: None,
            remote_address: None,
            http: None,
            headers: ::http::HeaderMap::new(),
            body: None,
            size: None,
            tls: None,
            tcp: None,
            dns: None,
            icmp: None,
            exec: None,
            domain: None,
            evidence: Evidence::default(),
        }
    }

    /// Runs one phase until the deadline and adds its time, whether it succeeds, fails or is cut off.
    pub(crate) async fn phase<T>(
        &mut self,
        phase: Phase,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let done = tokio::time::timeout_at(self.deadline, work).await;
        self.add(phase, start.elapsed());
        done.unwrap_or_else(|_| Err(timed_out(phase)))
    }

    pub(crate) fn add(&mut self, phase: Phase, took: Duration) {
        self.phases
            .add(phase, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// The failure of a phase that the deadline cut off.
pub(crate) fn timed_out(phase: Phase) -> Failure {
    let reason = match phase {
        Phase::Dns => Reason::DnsTimeout,
        Phase::Connect => Reason::ConnectTimeout,
        Phase::Tls => Reason::TlsTimeout,
        Phase::Send => Reason::SendTimeout,
        Phase::Wait => Reason::WaitTimeout,
        Phase::Receive => Reason::ReceiveTimeout,
    };
    Failure::new(reason, reason.sentence())
}
