//! `sonde probe TARGET`: a monitor from one word, its kind from the scheme.

use std::time::Duration;

use sonde_core::{
    AlertRule, DnsSpec, DomainSpec, HttpSpec, Kind, Monitor, MonitorId, NetworkOptions, Region,
    RetryPolicy, Spec, TcpSpec, TlsOptions, TlsSpec, WorkspaceId, slugify,
};
use url::form_urlencoded;

use crate::shared::{DEFAULT_INTERVAL, DEFAULT_TIMEOUT};
use crate::{address, kind};

/// Why a target cannot be probed, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTarget(pub String);

const SCHEMES: &str = "https, http, tcp, tls, dns, icmp, domain";

/// A monitor without retries and assertions, with a timeout of 10 s, in the local workspace and region.
///
/// `https://…`, `http://…`, `tcp://host:port`, `tls://host[:443]`, `icmp://host`, and
/// `dns://[server]/name?type=A&class=IN&transport=udp`, `domain://name?server=URL`; without a scheme it is `https://`.
pub fn monitor_from_target(target: &str) -> Result<Monitor, InvalidTarget> {
    let target = target.trim();
    let spec = spec(target).map_err(InvalidTarget)?;
    let interval = match spec.kind() {
        Kind::Domain => kind::DOMAIN_INTERVAL,
        _ => DEFAULT_INTERVAL,
    };
    let id = slugify(&spec.target()).and_then(|slug| MonitorId::new(&slug).ok());
    Ok(Monitor {
        workspace: WorkspaceId::local(),
        id: id.ok_or_else(|| InvalidTarget(format!("\"{target}\" names no host")))?,
        name: spec.target(),
        spec,
        interval,
        timeout: DEFAULT_TIMEOUT,
        retry: RetryPolicy {
            retries: 0,
            initial: Duration::from_millis(500),
            factor: 2.0,
            max: Duration::from_secs(5),
            jitter: 0.5,
        },
        regions: vec![Region::local()],
        expect: Vec::new(),
        degraded: Vec::new(),
        alert: AlertRule::default(),
        depends_on: Vec::new(),
        tags: Vec::new(),
        paused: false,
    })
}

fn spec(target: &str) -> Result<Spec, String> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return web(&format!("https://{target}"));
    };
    // A path after host and port would be dropped in silence; only the slash alone is nothing.
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let network = NetworkOptions::default();
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => web(target),
        "tcp" => {
            let (host, port) = address::host_port(rest, None)?;
            Ok(Spec::Tcp(Box::new(TcpSpec {
                host,
                port,
                tls: None,
                dialogue: Vec::new(),
                network,
            })))
        }
        "tls" => {
            let (host, port) = address::host_port(rest, Some(kind::TLS_PORT))?;
            let tls = TlsOptions::default();
            Ok(Spec::Tls(Box::new(TlsSpec {
                host,
                port,
                tls,
                starttls: None,
                network,
            })))
        }
        "icmp" => Ok(Spec::Icmp(kind::ping(address::host(rest)?, network))),
        "dns" => dns(target),
        "domain" => domain(rest),
        other if Kind::from_name(other).is_some() => Err(format!("{other} is not probed by a URL")),
        other => Err(format!(
            "\"{other}\" is not a scheme that can be probed: use one of {SCHEMES}"
        )),
    }
}

fn web(url: &str) -> Result<Spec, String> {
    let (url, auth) = kind::parse_url(url)?;
    Ok(Spec::Http(Box::new(HttpSpec {
        auth,
        ..HttpSpec::get(url)
    })))
}

fn dns(target: &str) -> Result<Spec, String> {
    const FORM: &str = "a DNS target is dns://[server]/name?type=A&class=IN&transport=udp";
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let (server, rest) = rest.split_once('/').ok_or(FORM)?;
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut spec = DnsSpec {
        name: kind::dns_name(name).map_err(|error| format!("{error}; {FORM}"))?,
        record_type: "A".to_owned(),
        class: sonde_core::DnsClass::In,
        server: (!server.is_empty())
            .then(|| address::server(server))
            .transpose()?,
        transport: sonde_core::DnsTransport::Udp,
        recursion: true,
        tls: TlsOptions::default(),
        network: NetworkOptions::default(),
    };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "type" => {
                spec.record_type = kind::record_type(&value).map_err(|(message, _)| message)?;
            }
            "class" => spec.class = chosen(&kind::CLASSES, &value.to_uppercase())?,
            "transport" => spec.transport = chosen(&kind::TRANSPORTS, &value.to_lowercase())?,
            other => return Err(format!("\"{other}\" is not known here; {FORM}")),
        }
    }
    Ok(Spec::Dns(Box::new(spec)))
}

fn domain(rest: &str) -> Result<Spec, String> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut spec = DomainSpec::of(kind::domain_name(name)?);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "server" => spec.server = Some(kind::rdap_server(&value)?),
            other => {
                return Err(format!(
                    "\"{other}\" is not known here; a domain is domain://name?server=URL"
                ));
            }
        }
    }
    if spec.server.is_none() {
        kind::check_registered(&spec.name).map_err(|(message, near)| match near {
            Some(near) => format!("{message} (did you mean `domain://{near}`?)"),
            None => message,
        })?;
    }
    Ok(Spec::Domain(Box::new(spec)))
}

fn chosen<T: Copy>(options: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = options.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = options.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}, got \"{text}\"", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, kind: Kind, expected: &str) {
        let monitor = monitor_from_target(target).expect(target);
        assert_eq!(
            (monitor.spec.kind(), monitor.target().as_str()),
            (kind, expected)
        );
    }

    #[test]
    fn the_scheme_gives_the_kind() {
        check(
            "https://shop.example/health",
            Kind::Http,
            "https://shop.example/health",
        );
        check("shop.example", Kind::Http, "https://shop.example/");
        check(
            "shop.example:8443/a?b=c",
            Kind::Http,
            "https://shop.example:8443/a?b=c",
        );
        check(
            "http://me:pass@shop.example",
            Kind::Http,
            "http://shop.example/",
        );
        check("tcp://db.internal:5432", Kind::Tcp, "db.internal:5432");
        check("tcp://[::1]:5432/", Kind::Tcp, "[::1]:5432");
        check("tls://shop.example", Kind::Tls, "shop.example:443");
        check("icmp://192.0.2.1", Kind::Icmp, "192.0.2.1");
        check("icmp://::1", Kind::Icmp, "::1");
        check("domain://Shop.Example/", Kind::Domain, "shop.example");
        check(
            "domain://a.shop.example?server=https://rdap.example/v1/",
            Kind::Domain,
            "a.shop.example",
        );
        check("dns:///shop.example", Kind::Dns, "shop.example A");
        check(
            "dns://192.0.2.53:5353/shop.example?type=mx&transport=tcp",
            Kind::Dns,
            "shop.example MX @192.0.2.53:5353",
        );
    }

    #[test]
    fn what_cannot_be_probed_is_said() {
        let refused = |target: &str| monitor_from_target(target).expect_err(target).to_string();
        assert_eq!(
            refused("tcp://shop.example"),
            "\"shop.example\" has no port: use host:port"
        );
        assert_eq!(refused("exec://ls"), "exec is not probed by a URL");
        assert_eq!(
            refused("gopher://a"),
            "\"gopher\" is not a scheme that can be probed: use one of https, http, tcp, tls, dns, icmp, domain"
        );
        assert_eq!(
            refused("domain://www.example.com"),
            "\"www.example.com\" is below the domain that is registered (did you mean `domain://example.com`?)"
        );
        for target in [
            "",
            "domain://com",
            "domain://shop.example?sever=https://a",
            "domain://shop.example?server=a",
            "https://",
            "icmp://a/b",
            "dns://192.0.2.53",
            "dns:///a?typ=A",
            "a b",
            "tls://a:x",
        ] {
            assert!(monitor_from_target(target).is_err(), "{target}");
        }
    }
}
