//! The domain: what is checked, when, what came of it, and the one rule that merges duplicates.
//!
//! Pure: no IO, no async, and no clock but the [`Clock`] that is passed in. Everything else stands on this crate.

mod access;
mod assertion;
mod chain;
mod check;
mod clock;
mod frequency;
mod ids;
mod incident;
mod ledger;
mod maintenance;
mod merge;
mod monitor;
mod outcome;
mod packed;
mod reason;
mod report;
mod result;
mod slot;
mod spec;
#[cfg(any(test, feature = "testing"))]
mod testing;
mod time;

pub use access::{Role, Scope};
pub use assertion::{
    Assertion, Comparator, JsonQuery, ParseError, Pattern, Seen, Source, Unit, Value,
};
pub use chain::chain;
pub use check::{Check, CheckKey, Trigger};
pub use clock::{Clock, ManualClock, SystemClock};
pub use frequency::{FrequencyClass, QueueSettings, RetryPolicy};
pub use ids::{Frequency, InvalidId, MonitorId, Region, RunId, WorkspaceId, slugify};
pub use incident::{IncidentCause, IncidentStatus};
pub use ledger::{Balance, DispatchGap, LedgerEntry};
pub use maintenance::{
    InvalidMaintenance, MaintainedMonitors, Maintenance, MaintenanceBody, MaintenanceProblem,
    MaintenanceSchedule, MaintenanceWindow, Recurrence,
};
pub use merge::{RANK_BYTES, merge, rank, start_of_rank};
pub use monitor::{AlertRule, MIN_INTERVAL, MOST_WITHIN, Monitor, Quorum};
pub use outcome::Outcome;
pub use packed::{PackError, PackedMonitor, Packer};
pub use reason::Reason;
pub use report::{InvalidReport, Report, ReportBody, ReportInterval, ReportPeriod, ReportProblem};
pub use result::{
    Attempt, CertificateDetail, CheckResult, CheckerInfo, DnsDetail, DnsRecord, DomainDetail,
    Evidence, ExecDetail, FailedAssertion, HttpDetail, IcmpDetail, Phase, Phases, Redirect,
    TcpDetail, TlsDetail,
};
pub use slot::{Cadence, partition, stable_hash};
pub use spec::{
    Auth, ClientCertificate, DnsClass, DnsSpec, DnsTransport, DomainSpec, ExecSpec, HeartbeatSpec,
    HttpSpec, HttpVersion, IcmpSpec, IpPreference, Kind, MASK, MASKED_KEY, MaskError,
    NetworkOptions, Spec, StartTls, Step, TcpSpec, TlsOptions, TlsSpec, masked_url,
    secret_parameters, without_credentials, without_userinfo,
};
pub use time::{InvalidDuration, InvalidTimestamp, Timestamp, format_duration, parse_duration};
