//! What each kind of check needs to know. These types are the wire format of tasks and of the stored configuration.
//!
//! Files named in a configuration are read when it is loaded: a spec holds their content, so that a checker needs none.

mod masked;
mod redacted;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Pattern;
use crate::time::serde_micros;

pub use masked::{MASK, MASKED_KEY, MaskError, masked_url};
pub use redacted::{secret_parameters, without_credentials, without_userinfo};

/// What kind of check a monitor makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Http,
    Tcp,
    Dns,
    Icmp,
    Tls,
    Domain,
    Exec,
    Heartbeat,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Http,
        Self::Tcp,
        Self::Dns,
        Self::Icmp,
        Self::Tls,
        Self::Domain,
        Self::Exec,
        Self::Heartbeat,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Dns => "dns",
            Self::Icmp => "icmp",
            Self::Tls => "tls",
            Self::Domain => "domain",
            Self::Exec => "exec",
            Self::Heartbeat => "heartbeat",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    Http(Box<HttpSpec>),
    Tcp(Box<TcpSpec>),
    Dns(Box<DnsSpec>),
    Icmp(IcmpSpec),
    Tls(Box<TlsSpec>),
    Domain(Box<DomainSpec>),
    Exec(ExecSpec),
    Heartbeat(HeartbeatSpec),
}

impl Spec {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Http(_) => Kind::Http,
            Self::Tcp(_) => Kind::Tcp,
            Self::Dns(_) => Kind::Dns,
            Self::Icmp(_) => Kind::Icmp,
            Self::Tls(_) => Kind::Tls,
            Self::Domain(_) => Kind::Domain,
            Self::Exec(_) => Kind::Exec,
            Self::Heartbeat(_) => Kind::Heartbeat,
        }
    }

    /// What is checked, for people and labels: never with credentials, never a command's arguments.
    pub fn target(&self) -> String {
        match self {
            Self::Http(spec) => without_credentials(spec.url.clone()).into(),
            Self::Tcp(spec) => host_port(&spec.host, spec.port),
            Self::Tls(spec) => host_port(&spec.host, spec.port),
            Self::Dns(spec) => match &spec.server {
                Some(server) => format!("{} {} @{server}", spec.name, spec.record_type),
                None => format!("{} {}", spec.name, spec.record_type),
            },
            Self::Icmp(spec) => spec.host.clone(),
            Self::Domain(spec) => spec.name.clone(),
            Self::Exec(spec) => spec.command.clone(),
            Self::Heartbeat(_) => Kind::Heartbeat.as_str().to_owned(),
        }
    }

    /// Of what is not checked but tells by itself that it is well.
    pub const fn heartbeat(&self) -> Option<&HeartbeatSpec> {
        match self {
            Self::Heartbeat(spec) => Some(spec),
            _ => None,
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Which address family a connection may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpPreference {
    /// IPv4 first, IPv6 when the name has no IPv4 address or none of them connects.
    #[default]
    PreferV4,
    PreferV6,
    V4,
    V6,
}

/// How names become addresses, for every kind that dials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    pub ip: IpPreference,
    /// A name server to use instead of the system's.
    pub resolver: Option<SocketAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsOptions {
    /// Accept any certificate; its details are still recorded.
    pub skip_verify: bool,
    /// The name sent (SNI) and verified instead of the target's host.
    pub server_name: Option<String>,
    /// PEM; trusted instead of the system's roots.
    pub ca: Option<String>,
    pub client_certificate: Option<ClientCertificate>,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// PEM, leaf first.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpSpec {
    pub url: Url,
    pub method: String,
    /// In order; a name may occur twice.
    pub headers: Vec<(String, String)>,
    #[serde(with = "serde_base64", default)]
    pub body: Option<Vec<u8>>,
    pub auth: Option<Auth>,
    pub tls: TlsOptions,
    /// An HTTP proxy, `http://[user:password@]host:port`.
    pub proxy: Option<Url>,
    pub version: HttpVersion,
    /// Redirects followed; one more fails the check. Zero takes the first answer as it is.
    pub max_redirects: u8,
    /// Ask for compressed bodies, as browsers do.
    pub compression: bool,
    pub network: NetworkOptions,
}

impl HttpSpec {
    /// What a bare URL means.
    pub fn get(url: Url) -> Self {
        Self {
            url,
            method: "GET".to_owned(),
            headers: Vec::new(),
            body: None,
            auth: None,
            tls: TlsOptions::default(),
            proxy: None,
            version: HttpVersion::Auto,
            max_redirects: 10,
            compression: true,
            network: NetworkOptions::default(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    Basic { username: String, password: String },
    Bearer { token: String },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/2 where ALPN agrees on it, else HTTP/1.1.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1.1")]
    Http1,
    /// By ALPN over TLS, with prior knowledge over plain TCP.
    #[serde(rename = "2")]
    Http2,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TcpSpec {
    pub host: String,
    pub port: u16,
    /// TLS from the first byte on; with a `StartTls` step in the dialogue, its options instead.
    pub tls: Option<TlsOptions>,
    pub dialogue: Vec<Step>,
    pub network: NetworkOptions,
}

/// One step of a TCP dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Sent as it is, with `${1}` or `${name}` replaced by captures of the last `expect`.
    Send(String),
    /// Sent as it is.
    SendBytes(Vec<u8>),
    /// Read until what has arrived since the last match matches.
    Expect(Pattern),
    /// Switch to TLS now.
    StartTls,
}

/// Protocols whose way into TLS is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartTls {
    Smtp,
    Imap,
    Pop3,
    Ftp,
    Postgres,
}

impl StartTls {
    pub const ALL: [Self; 5] = [
        Self::Smtp,
        Self::Imap,
        Self::Pop3,
        Self::Ftp,
        Self::Postgres,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Postgres => "postgres",
        }
    }

    /// The dialogue before the handshake (RFC 3207, 9051, 2595, 4217; the Postgres protocol's SSL request).
    pub fn steps(self) -> Vec<Step> {
        let expect =
            |text: &str| Step::Expect(Pattern::new(text).expect("a fixed pattern is valid"));
        let send = |text: &str| Step::Send(text.to_owned());
        let mut steps = match self {
            Self::Smtp => vec![
                expect("(?m)^220 "),
                send("EHLO sonde\r\n"),
                expect("(?m)^250 "),
                send("STARTTLS\r\n"),
                expect("(?m)^220 "),
            ],
            Self::Imap => {
                vec![
                    expect(r"(?m)^\* OK"),
                    send("a STARTTLS\r\n"),
                    expect("(?m)^a OK"),
                ]
            }
            Self::Pop3 => vec![expect(r"(?m)^\+OK"), send("STLS\r\n"), expect(r"(?m)^\+OK")],
            Self::Ftp => vec![
                expect("(?m)^220 "),
                send("AUTH TLS\r\n"),
                expect("(?m)^234 "),
            ],
            Self::Postgres => vec![
                Step::SendBytes(vec![0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
                expect("^S"),
            ],
        };
        steps.push(Step::StartTls);
        steps
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TlsSpec {
    pub host: String,
    pub port: u16,
    pub tls: TlsOptions,
    pub starttls: Option<StartTls>,
    pub network: NetworkOptions,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DnsSpec {
    pub name: String,
    /// `A`, `AAAA`, `MX`, … or `TYPE65`.
    pub record_type: String,
    pub class: DnsClass,
    /// `host`, `host:port`; the system's first name server when absent.
    pub server: Option<String>,
    pub transport: DnsTransport,
    pub recursion: bool,
    /// For DNS over TLS.
    pub tls: TlsOptions,
    pub network: NetworkOptions,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DnsClass {
    #[default]
    In,
    Ch,
    Hs,
    Any,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// Falls back to TCP when the answer is truncated.
    #[default]
    Udp,
    Tcp,
    Tls,
}

impl DnsTransport {
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 53,
            Self::Tls => 853,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IcmpSpec {
    pub host: String,
    pub packets: u16,
    /// Bytes after the ICMP header.
    pub payload_size: u16,
    pub ttl: Option<u8>,
    pub network: NetworkOptions,
}

/// A domain whose registration is looked up, by RDAP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainSpec {
    /// As it is registered: in punycode, without a dot at its end.
    pub name: String,
    /// The base URL of the RDAP server to ask; that of the registry where absent.
    pub server: Option<Url>,
    /// An HTTP proxy, `http://[user:password@]host:port`.
    pub proxy: Option<Url>,
    pub network: NetworkOptions,
}

impl DomainSpec {
    /// What a bare name means.
    pub fn of(name: String) -> Self {
        Self {
            name,
            server: None,
            proxy: None,
            network: NetworkOptions::default(),
        }
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    pub command: String,
    pub arguments: Vec<String>,
    /// Beside the checker's own environment.
    pub environment: BTreeMap<String, String>,
    /// A command that fails only degrades.
    pub warn_only: bool,
}

/// What tells by itself that it is well, once in every interval; nobody checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatSpec {
    /// How much later than the interval it may come.
    #[serde(with = "serde_micros", rename = "grace_us")]
    pub grace: Duration,
}

/// Secrets stay out of logs: what holds them prints no values.
macro_rules! redacted_debug {
    ($($type:ident: $text:literal),+) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        })+
    };
}

redacted_debug!(Auth: "Auth(…)", ClientCertificate: "ClientCertificate(…)", ExecSpec: "ExecSpec(…)");

mod serde_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.serialize_some(&STANDARD.encode(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_shows_no_credentials() {
        let url = Url::parse("https://user:secret@shop.example/health?x=1").unwrap();
        let spec = Spec::Http(Box::new(HttpSpec::get(url)));
        assert_eq!(spec.target(), "https://shop.example/health?x=1");
    }

    #[test]
    fn debug_output_shows_no_secrets() {
        let auth = Auth::Bearer {
            token: "hunter2".to_owned(),
        };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn a_body_survives_json_byte_by_byte() {
        let mut spec = HttpSpec::get(Url::parse("http://a/").unwrap());
        spec.body = Some(vec![0, 255, 10]);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<HttpSpec>(&json).unwrap(), spec);
    }
}
