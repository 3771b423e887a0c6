//! What an assertion looks at.

use std::fmt;

use super::parse::ParseError;
use super::value::{Class, JsonQuery};
use crate::{Kind, Phase, Reason};

/// The left side of an assertion.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Status,
    /// Lowercase name.
    Header(String),
    Body,
    Json(JsonQuery),
    Latency,
    Phase(Phase),
    /// Bytes of the decoded body.
    Size,
    Redirects,
    HttpVersion,
    TlsDaysLeft,
    TlsVersion,
    TlsIssuer,
    TlsSan,
    DnsRcode,
    DnsAnswer,
    DnsTtl,
    DnsCount,
    IcmpLoss,
    IcmpAvg,
    IcmpMax,
    TcpReply,
    ExecCode,
    ExecOutput,
    DomainDaysLeft,
    DomainStatus,
    DomainRegistrar,
}

/// Name, whether an argument follows, and what the values are.
const PLAIN: &[(&str, Source, Class)] = &[
    ("status", Source::Status, Class::Number),
    ("body", Source::Body, Class::Text),
    ("latency", Source::Latency, Class::Duration),
    ("size", Source::Size, Class::Bytes),
    ("redirects", Source::Redirects, Class::Number),
    ("http.version", Source::HttpVersion, Class::Text),
    ("tls.days_left", Source::TlsDaysLeft, Class::Number),
    ("tls.version", Source::TlsVersion, Class::Text),
    ("tls.issuer", Source::TlsIssuer, Class::Text),
    ("tls.san", Source::TlsSan, Class::Text),
    ("dns.rcode", Source::DnsRcode, Class::Text),
    ("dns.answer", Source::DnsAnswer, Class::Text),
    ("dns.ttl", Source::DnsTtl, Class::Duration),
    ("dns.count", Source::DnsCount, Class::Number),
    ("icmp.loss", Source::IcmpLoss, Class::Percent),
    ("icmp.avg", Source::IcmpAvg, Class::Duration),
    ("icmp.max", Source::IcmpMax, Class::Duration),
    ("tcp.reply", Source::TcpReply, Class::Text),
    ("exec.code", Source::ExecCode, Class::Number),
    ("exec.output", Source::ExecOutput, Class::Text),
    ("domain.days_left", Source::DomainDaysLeft, Class::Number),
    ("domain.status", Source::DomainStatus, Class::Text),
    ("domain.registrar", Source::DomainRegistrar, Class::Text),
];

impl Source {
    /// Every name that [`Source::new`] takes, for messages and suggestions.
    pub fn names() -> impl Iterator<Item = String> {
        let plain = PLAIN.iter().map(|(name, ..)| (*name).to_owned());
        let phases = Phase::ALL
            .into_iter()
            .map(|phase| format!("phase.{}", phase.as_str()));
        plain
            .chain(["header".to_owned(), "json".to_owned()])
            .chain(phases)
    }

    /// Whether a source of this name needs an argument.
    pub fn takes_argument(name: &str) -> bool {
        matches!(name, "header" | "json")
    }

    pub fn new(name: &str, argument: Option<&str>) -> Result<Self, ParseError> {
        if let Some(phase) = name.strip_prefix("phase.") {
            let phase = Phase::ALL.into_iter().find(|known| known.as_str() == phase);
            if let Some(phase) = phase {
                return Ok(Self::Phase(phase));
            }
        }
        match (name, argument) {
            ("header", Some(header)) => Ok(Self::Header(header.to_ascii_lowercase())),
            ("json", Some(path)) => JsonQuery::new(path)
                .map(Self::Json)
                .map_err(ParseError::new),
            ("header" | "json", None) => {
                let what = if name == "json" {
                    "a path, as in `json $.status`"
                } else {
                    "a name"
                };
                Err(ParseError::new(format!("`{name}` needs {what}")))
            }
            _ => {
                let found = PLAIN.iter().find(|(known, ..)| *known == name);
                found
                    .map(|(_, source, _)| source.clone())
                    .ok_or_else(|| ParseError::source(name))
            }
        }
    }

    /// The reason of a check that fails by an assertion on this source.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Status => Reason::AssertionStatus,
            Self::Header(_) => Reason::AssertionHeader,
            Self::Body => Reason::AssertionBody,
            Self::Json(_) => Reason::AssertionJson,
            Self::Latency | Self::Phase(_) => Reason::AssertionLatency,
            Self::Size => Reason::AssertionSize,
            Self::Redirects => Reason::AssertionRedirects,
            Self::HttpVersion => Reason::HttpVersion,
            Self::TlsDaysLeft | Self::TlsVersion | Self::TlsIssuer | Self::TlsSan => {
                Reason::AssertionTls
            }
            Self::DnsRcode | Self::DnsAnswer | Self::DnsTtl | Self::DnsCount => {
                Reason::AssertionDns
            }
            Self::IcmpLoss | Self::IcmpAvg | Self::IcmpMax => Reason::AssertionIcmp,
            Self::TcpReply => Reason::AssertionTcp,
            Self::ExecCode | Self::ExecOutput => Reason::ExecFailed,
            Self::DomainDaysLeft | Self::DomainStatus | Self::DomainRegistrar => {
                Reason::AssertionDomain
            }
        }
    }

    /// Whether a check of this kind has such a thing at all.
    pub fn applies_to(&self, kind: Kind) -> bool {
        match self {
            Self::Latency => kind != Kind::Heartbeat,
            Self::Phase(_) => !matches!(kind, Kind::Exec | Kind::Heartbeat),
            Self::Status
            | Self::Header(_)
            | Self::Body
            | Self::Json(_)
            | Self::Size
            | Self::Redirects
            | Self::HttpVersion => kind == Kind::Http,
            Self::TlsDaysLeft | Self::TlsVersion | Self::TlsIssuer | Self::TlsSan => {
                matches!(kind, Kind::Http | Kind::Tcp | Kind::Tls | Kind::Dns)
            }
            Self::DnsRcode | Self::DnsAnswer | Self::DnsTtl | Self::DnsCount => kind == Kind::Dns,
            Self::IcmpLoss | Self::IcmpAvg | Self::IcmpMax => kind == Kind::Icmp,
            Self::TcpReply => kind == Kind::Tcp,
            Self::ExecCode | Self::ExecOutput => kind == Kind::Exec,
            Self::DomainDaysLeft | Self::DomainStatus | Self::DomainRegistrar => {
                kind == Kind::Domain
            }
        }
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Header(_) => Class::Text,
            Self::Json(_) => Class::Json,
            Self::Phase(_) => Class::Duration,
            _ => PLAIN
                .iter()
                .find(|(_, source, _)| source == self)
                .map_or(Class::Text, |(.., class)| *class),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Json(query) => write!(f, "json {}", query.as_str()),
            Self::Phase(phase) => write!(f, "phase.{}", phase.as_str()),
            plain => {
                let named = PLAIN.iter().find(|(_, source, _)| source == plain);
                f.write_str(named.map_or("?", |(name, ..)| name))
            }
        }
    }
}
