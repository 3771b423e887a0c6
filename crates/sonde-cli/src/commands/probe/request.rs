//! From the arguments of `sonde probe` to a monitor. An option that the kind has no use for is an error, not ignored.

use anyhow::Context as _;
use axum::http::{HeaderName, HeaderValue, Method};
use sonde_core::{HttpSpec, IpPreference, Monitor, NetworkOptions, Spec, TlsOptions};

use super::{Ip, Options};
use crate::exit::Error;

pub(super) fn monitor(options: &Options) -> Result<Monitor, Error> {
    let target = &options.target;
    let mut monitor = sonde_config::monitor_from_target(target)
        .map_err(|error| Error::usage(format!("cannot probe `{target}`: {error}")))?;
    monitor.timeout = options.timeout;
    monitor.retry.retries = options.retries;
    let kind = monitor.spec.kind();
    if let Some(other) = options
        .expect
        .iter()
        .find(|one| !one.source.applies_to(kind))
    {
        return Err(Error::usage(format!(
            "`{other}` cannot be asserted of {kind}"
        )));
    }
    monitor.expect.clone_from(&options.expect);
    if let Some(network) = network(&mut monitor.spec) {
        network.ip = options.ip.into();
        // From here the prober's own setting does it; a checker elsewhere has only what the task says.
        if !options.regions.is_empty() {
            network.resolver = options.resolver;
        }
    }
    if options.insecure {
        let tls = tls(&mut monitor.spec);
        tls.ok_or_else(|| Error::usage(format!("--insecure means nothing for {kind}")))?
            .skip_verify = true;
    }
    match &mut monitor.spec {
        Spec::Http(spec) => http(spec, options)?,
        _ if options.method.is_some() || options.body.is_some() || !options.headers.is_empty() => {
            return Err(Error::usage(format!(
                "--header, --method and --body mean nothing for {kind}"
            )));
        }
        _ => {}
    }
    Ok(monitor)
}

fn http(spec: &mut HttpSpec, options: &Options) -> Result<(), Error> {
    spec.headers.extend(options.headers.iter().cloned());
    spec.body = options.body.as_deref().map(body).transpose()?;
    if spec.body.is_some() {
        "POST".clone_into(&mut spec.method);
    }
    if let Some(method) = &options.method {
        spec.method.clone_from(method);
    }
    Ok(())
}

fn body(text: &str) -> Result<Vec<u8>, Error> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.as_bytes().to_vec());
    };
    let read = std::fs::read(path).with_context(|| format!("cannot read {path}"));
    read.map_err(Error::Usage)
}

fn network(spec: &mut Spec) -> Option<&mut NetworkOptions> {
    match spec {
        Spec::Http(spec) => Some(&mut spec.network),
        Spec::Tcp(spec) => Some(&mut spec.network),
        Spec::Dns(spec) => Some(&mut spec.network),
        Spec::Icmp(spec) => Some(&mut spec.network),
        Spec::Tls(spec) => Some(&mut spec.network),
        Spec::Domain(spec) => Some(&mut spec.network),
        Spec::Exec(_) | Spec::Heartbeat(_) => None,
    }
}

fn tls(spec: &mut Spec) -> Option<&mut TlsOptions> {
    match spec {
        Spec::Http(spec) => Some(&mut spec.tls),
        Spec::Tls(spec) => Some(&mut spec.tls),
        Spec::Dns(spec) => Some(&mut spec.tls),
        Spec::Tcp(_) | Spec::Icmp(_) | Spec::Domain(_) | Spec::Exec(_) | Spec::Heartbeat(_) => None,
    }
}

impl From<Ip> for IpPreference {
    fn from(ip: Ip) -> Self {
        match ip {
            Ip::PreferV4 => Self::PreferV4,
            Ip::PreferV6 => Self::PreferV6,
            Ip::V4 => Self::V4,
            Ip::V6 => Self::V6,
        }
    }
}

/// `name: value`, as curl takes it.
pub(super) fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is `name: value`")?;
    let (name, value) = (name.trim(), value.trim());
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name"))?;
    HeaderValue::try_from(value)
        .map_err(|_| "a header value has no control characters".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn parse_method(text: &str) -> Result<String, String> {
    let method = text.to_ascii_uppercase();
    match Method::try_from(method.as_str()) {
        Ok(Method::CONNECT) => Err("CONNECT is for proxies".to_owned()),
        Ok(_) => Ok(method),
        Err(_) => Err(format!("`{text}` is not an HTTP method")),
    }
}
