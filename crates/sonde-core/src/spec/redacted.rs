//! What of a spec may be seen by anyone: enough to name the target, and no credential.

use std::borrow::Cow;

use url::Url;

use super::{DnsSpec, DomainSpec, ExecSpec, HttpSpec, Spec, TcpSpec, TlsOptions, TlsSpec};

/// Stands where a credential was.
const REDACTED: &str = "redacted";
/// Shorter values with letters and digits are names and numbers of things, not keys to them.
const SHORTEST_TOKEN: usize = 20;
/// What the names of parameters that hold credentials end with.
const SECRET_ENDINGS: [&str; 6] = ["key", "token", "secret", "password", "signature", "auth"];
/// The same, as whole names.
const SECRET_NAMES: [&str; 7] = ["sig", "pass", "passwd", "pwd", "jwt", "sid", "session"];

impl Spec {
    /// The same target without anything that could be a credential: no headers, bodies, user names, passwords, keys,
    /// dialogues, arguments. Its [`Spec::target`] is the same; it is not there to be executed.
    #[must_use]
    pub fn redacted(&self) -> Self {
        match self {
            Self::Http(spec) => Self::Http(Box::new(HttpSpec {
                method: spec.method.clone(),
                version: spec.version,
                max_redirects: spec.max_redirects,
                compression: spec.compression,
                network: spec.network.clone(),
                ..HttpSpec::get(without_credentials(spec.url.clone()))
            })),
            Self::Tcp(spec) => Self::Tcp(Box::new(TcpSpec {
                host: spec.host.clone(),
                port: spec.port,
                tls: spec.tls.as_ref().map(redacted_tls),
                dialogue: Vec::new(),
                network: spec.network.clone(),
            })),
            Self::Tls(spec) => Self::Tls(Box::new(TlsSpec {
                tls: redacted_tls(&spec.tls),
                ..TlsSpec::clone(spec)
            })),
            Self::Dns(spec) => Self::Dns(Box::new(DnsSpec {
                tls: redacted_tls(&spec.tls),
                ..DnsSpec::clone(spec)
            })),
            Self::Icmp(spec) => Self::Icmp(spec.clone()),
            Self::Domain(spec) => Self::Domain(Box::new(DomainSpec {
                proxy: None,
                ..DomainSpec::clone(spec)
            })),
            Self::Exec(spec) => Self::Exec(ExecSpec {
                command: spec.command.clone(),
                arguments: Vec::new(),
                environment: std::collections::BTreeMap::new(),
                warn_only: spec.warn_only,
            }),
            Self::Heartbeat(spec) => Self::Heartbeat(*spec),
        }
    }
}

fn redacted_tls(options: &TlsOptions) -> TlsOptions {
    TlsOptions {
        skip_verify: options.skip_verify,
        server_name: options.server_name.clone(),
        ca: None,
        client_certificate: None,
    }
}

/// The URL without user name and password.
pub fn without_userinfo(mut url: Url) -> Url {
    // Fails only for URLs that cannot have any.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The URL without userinfo, and with the values of parameters that could be tokens replaced.
pub fn without_credentials(url: Url) -> Url {
    with_secret_parameters_as(REDACTED, without_userinfo(url))
}

/// The URL with `stand_in` for the values of parameters that could be tokens.
pub(super) fn with_secret_parameters_as(stand_in: &str, mut url: Url) -> Url {
    if secret_parameters(&url).next().is_some() {
        let parts = url.query().unwrap_or_default().split('&');
        let parts: Vec<Cow<'_, str>> = parts.map(|part| covered(part, stand_in)).collect();
        let query = parts.join("&");
        url.set_query(Some(&query));
    }
    url
}

/// The values in a URL's query that could be tokens, as they are written there.
pub fn secret_parameters(url: &Url) -> impl Iterator<Item = &str> {
    let parts = url.query().unwrap_or_default().split('&');
    parts.filter_map(|part| secret_value(part).filter(|value| *value != REDACTED))
}

/// Whether one `name=value`, or a value alone, could hold a token.
pub(super) fn is_secret_parameter(part: &str) -> bool {
    secret_value(part).is_some()
}

fn covered<'a>(part: &'a str, stand_in: &'a str) -> Cow<'a, str> {
    match (secret_value(part), part.split_once('=')) {
        (Some(_), Some((name, _))) => format!("{name}={stand_in}").into(),
        (Some(_), None) => stand_in.into(),
        (None, _) => part.into(),
    }
}

/// The value of one `name=value` that is a secret by its name or by its looks; or the part alone, by its looks.
fn secret_value(part: &str) -> Option<&str> {
    let (name, value) = part.split_once('=').unwrap_or(("", part));
    let secret = names_secret(name) || looks_like_token(value);
    (secret && !value.is_empty()).then_some(value)
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str())
        || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Long, and a mixture that people do not write.
fn looks_like_token(value: &str) -> bool {
    let of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/%=".contains(&byte);
    value.len() >= SHORTEST_TOKEN
        && value.bytes().all(of_tokens)
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Auth, ClientCertificate, NetworkOptions, Step};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[track_caller]
    fn check(given: &str, expected: &str) {
        let clean = without_credentials(url(given));
        assert_eq!(clean.as_str(), expected);
        assert_eq!(without_credentials(clean.clone()), clean, "said twice");
    }

    #[test]
    fn parameters_that_could_be_tokens_are_replaced_and_others_are_not() {
        check("http://a/x?page=2&q=a+b", "http://a/x?page=2&q=a+b");
        check("http://a/x", "http://a/x");
        check(
            "http://u:p@a/?api_key=1&x=2&SIG=abc",
            "http://a/?api_key=redacted&x=2&SIG=redacted",
        );
        check(
            "http://a/?id=9b1deb4d3b7d4bad9bdd2b0d",
            "http://a/?id=redacted",
        );
        check("http://a/?9b1deb4d3b7d4bad9bdd2b0d", "http://a/?redacted");
        check(
            "http://a/?date=2026-01-01&name=shop",
            "http://a/?date=2026-01-01&name=shop",
        );
        check("http://a/?token=", "http://a/?token=");
    }

    fn specs() -> Vec<Spec> {
        let certificate = ClientCertificate {
            certificate: "hunter2-pem".to_owned(),
            key: "hunter2-key".to_owned(),
        };
        let tls = TlsOptions {
            client_certificate: Some(certificate),
            ..TlsOptions::default()
        };
        let mut http = HttpSpec::get(url("https://hunter2:hunter2@a.example/x?token=hunter2&y=1"));
        http.headers = vec![("X-Api".to_owned(), "hunter2".to_owned())];
        http.body = Some(b"hunter2".to_vec());
        http.auth = Some(Auth::Bearer {
            token: "hunter2".to_owned(),
        });
        http.proxy = Some(url("http://hunter2:hunter2@proxy.example/"));
        http.tls = tls.clone();
        let network = NetworkOptions::default;
        let tcp = TcpSpec {
            host: "a.example".to_owned(),
            port: 25,
            tls: Some(tls.clone()),
            dialogue: vec![Step::Send("PASS hunter2".to_owned())],
            network: network(),
        };
        let tls_spec = TlsSpec {
            host: "::1".to_owned(),
            port: 443,
            tls: tls.clone(),
            starttls: None,
            network: network(),
        };
        let dns = DnsSpec {
            name: "a.example".to_owned(),
            record_type: "A".to_owned(),
            class: crate::DnsClass::In,
            server: Some("192.0.2.1".to_owned()),
            transport: crate::DnsTransport::Tls,
            recursion: true,
            tls,
            network: network(),
        };
        let icmp = crate::IcmpSpec {
            host: "a.example".to_owned(),
            packets: 1,
            payload_size: 56,
            ttl: None,
            network: network(),
        };
        let exec = ExecSpec {
            command: "/bin/check".to_owned(),
            arguments: vec!["hunter2".to_owned()],
            environment: [("P".to_owned(), "hunter2".to_owned())].into(),
            warn_only: true,
        };
        let domain = DomainSpec {
            proxy: Some("http://u:hunter2@proxy.example:3128".parse().unwrap()),
            ..DomainSpec::of("a.example".to_owned())
        };
        vec![
            Spec::Http(Box::new(http)),
            Spec::Domain(Box::new(domain)),
            Spec::Tcp(Box::new(tcp)),
            Spec::Tls(Box::new(tls_spec)),
            Spec::Dns(Box::new(dns)),
            Spec::Icmp(icmp),
            Spec::Exec(exec),
            Spec::Heartbeat(crate::HeartbeatSpec {
                grace: std::time::Duration::from_mins(5),
            }),
        ]
    }

    #[test]
    fn a_redacted_spec_of_any_kind_names_its_target_and_holds_no_secret() {
        let specs = specs();
        assert_eq!(specs.len(), crate::Kind::ALL.len());
        for spec in specs {
            let redacted = spec.redacted();
            assert_eq!(redacted.target(), spec.target());
            assert_eq!(redacted.kind(), spec.kind());
            let json = serde_json::to_string(&redacted).unwrap();
            assert!(!json.contains("hunter2"), "{json}");
            assert!(!redacted.target().contains("hunter2"));
        }
    }
}
