//! The configuration written out in full: every default decided.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use sonde_core::{
    AlertRule, Assertion, Auth, DnsSpec, DomainSpec, ExecSpec, HeartbeatSpec, HttpSpec, IcmpSpec,
    Monitor, NetworkOptions, Spec, Step, TcpSpec, TlsOptions, TlsSpec, format_duration,
};
use sonde_notify::ChannelConfig;

use crate::Config;
use crate::emit::Out;
use crate::expand::escape;
use crate::kind::{CLASSES, IP_PREFERENCES, TRANSPORTS, VERSIONS};

/// A `sonde.yaml` that means the same, with secrets masked and without anything left to defaults, variables or files.
/// It parses again.
pub fn render(config: &Config) -> String {
    document(config).write()
}

/// The same in JSON, which is read by the same rules.
pub fn render_json(config: &Config) -> Json {
    document(config).into_json(escape)
}

fn document(config: &Config) -> Out {
    let masked = |monitor: &Monitor| Monitor {
        spec: monitor.spec.masked(),
        ..monitor.clone()
    };
    let monitors = config.monitors.iter().map(masked);
    let monitors = monitors.map(|one| (one.id.to_string(), monitor(&one)));
    let mut sections = vec![("monitors", Out::Map(monitors.collect()))];
    sections.extend(beside(config, ChannelConfig::masked));
    Out::map(sections)
}

/// What stands beside the monitors, as it is read.
pub(crate) fn beside(
    config: &Config,
    shown: impl Fn(&ChannelConfig) -> ChannelConfig,
) -> Vec<(&'static str, Out)> {
    let channels = config.channels.as_ref().map(|channels| {
        let channels = channels.iter();
        let channels = channels.map(|(id, one)| (id.clone(), Out::of(&shown(one))));
        ("channels", Out::Map(channels.collect()))
    });
    let maintenance = config.maintenance.as_ref().map(|maintenance| {
        let maintenance = maintenance.iter();
        let maintenance = maintenance.map(|(id, one)| (id.clone(), Out::of(one)));
        ("maintenance", Out::Map(maintenance.collect()))
    });
    channels.into_iter().chain(maintenance).collect()
}

/// What stands below the monitor's id in `sonde.yaml`, everything said, and secrets as they are: callers who show it
/// to anyone mask them first.
///
/// Below `{"monitors": {"<id>": …}}` it is read as the same monitor, from [`Origin::Network`](crate::Origin), where
/// `$` needs no escape.
pub fn monitor_to_json(monitor: &Monitor) -> Json {
    self::monitor(monitor).into_json(str::to_owned)
}

/// All settings of a monitor but its id.
pub(crate) fn monitor(monitor: &Monitor) -> Out {
    let Monitor {
        workspace: _,
        id: _,
        name,
        spec,
        interval,
        timeout,
        retry,
        regions,
        ..
    } = monitor;
    let backoff = Out::map([
        ("initial", Out::text(format_duration(retry.initial))),
        ("factor", Out::raw(&retry.factor)),
        ("max", Out::text(format_duration(retry.max))),
        ("jitter", Out::raw(&retry.jitter)),
    ]);
    let AlertRule {
        within,
        confirm,
        expiry,
        ..
    } = &monitor.alert;
    let alert = Out::map(
        [
            ("fail_after", Out::raw(&monitor.alert.fail_after)),
            ("recover_after", Out::raw(&monitor.alert.recover_after)),
            ("quorum", Out::text(monitor.alert.quorum.to_string())),
        ]
        .into_iter()
        .chain(within.map(|within| ("within", Out::raw(&within))))
        .chain(confirm.then(|| ("confirm", Out::raw(&true))))
        .chain([("expiry", Out::List(expiry.iter().map(Out::raw).collect()))]),
    );
    Out::map([
        ("name", Out::text(name)),
        (spec.kind().as_str(), self::spec(spec)),
        ("interval", Out::text(format_duration(*interval))),
        ("timeout", Out::text(format_duration(*timeout))),
        ("regions", Out::texts(regions)),
        ("expect", assertions(&monitor.expect)),
        ("degraded", assertions(&monitor.degraded)),
        ("retries", Out::raw(&retry.retries)),
        ("retry_backoff", backoff),
        ("alert", alert),
        ("tags", Out::texts(&monitor.tags)),
        ("depends_on", Out::texts(&monitor.depends_on)),
        ("paused", Out::raw(&monitor.paused)),
    ])
}

fn assertions(assertions: &[Assertion]) -> Out {
    Out::texts(assertions)
}

/// What stands behind the key that names the kind.
pub(crate) fn spec(spec: &Spec) -> Out {
    match spec {
        Spec::Http(spec) => http(spec),
        Spec::Tcp(spec) => tcp(spec),
        Spec::Dns(spec) => dns(spec),
        Spec::Icmp(spec) => icmp(spec),
        Spec::Tls(spec) => tls(spec),
        Spec::Domain(spec) => domain(spec),
        Spec::Exec(spec) => exec(spec),
        Spec::Heartbeat(spec) => heartbeat(spec),
    }
}

fn http(spec: &HttpSpec) -> Out {
    let mut out = vec![
        ("url", Out::text(spec.url.as_str())),
        ("method", Out::text(&spec.method)),
    ];
    let headers = spec
        .headers
        .iter()
        .map(|(name, value)| Out::map([("name", Out::text(name)), ("value", Out::text(value))]));
    out.push(("headers", Out::List(headers.collect())));
    if let Some(body) = &spec.body {
        let (form, text) = match std::str::from_utf8(body) {
            Ok(text) => ("text", text.to_owned()),
            Err(_) => ("base64", STANDARD.encode(body)),
        };
        out.push(("body", Out::map([(form, Out::text(text))])));
    }
    match &spec.auth {
        Some(Auth::Basic { username, password }) => {
            let basic = Out::map([
                ("username", Out::text(username)),
                ("password", Out::text(password)),
            ]);
            out.push(("auth", Out::map([("basic", basic)])));
        }
        Some(Auth::Bearer { token }) => {
            out.push(("auth", Out::map([("bearer", Out::text(token))])));
        }
        None => {}
    }
    out.push(("tls", Out::map(tls_options(&spec.tls))));
    if let Some(proxy) = &spec.proxy {
        out.push(("proxy", Out::text(proxy.as_str())));
    }
    out.push(("http_version", name_of(&VERSIONS, &spec.version)));
    out.push(("max_redirects", Out::raw(&spec.max_redirects)));
    out.push(("compression", Out::raw(&spec.compression)));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn tcp(spec: &TcpSpec) -> Out {
    let mut out = vec![
        ("host", Out::text(&spec.host)),
        ("port", Out::raw(&spec.port)),
    ];
    if let Some(tls) = &spec.tls {
        out.push(("tls", Out::map(tls_options(tls))));
    }
    let steps = spec.dialogue.iter().map(|step| match step {
        Step::Send(text) => Out::map([("send", Out::text(text))]),
        Step::SendBytes(bytes) => Out::map([("send_base64", Out::text(STANDARD.encode(bytes)))]),
        Step::Expect(pattern) => Out::map([("expect", Out::text(pattern.regex().as_str()))]),
        Step::StartTls => Out::text("starttls"),
    });
    out.push(("dialogue", Out::List(steps.collect())));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn dns(spec: &DnsSpec) -> Out {
    let mut out = vec![
        ("name", Out::text(&spec.name)),
        ("type", Out::text(&spec.record_type)),
        ("class", name_of(&CLASSES, &spec.class)),
    ];
    if let Some(server) = &spec.server {
        out.push(("server", Out::text(server)));
    }
    out.push(("transport", name_of(&TRANSPORTS, &spec.transport)));
    out.push(("recursion", Out::raw(&spec.recursion)));
    out.push(("tls", Out::map(tls_options(&spec.tls))));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn icmp(spec: &IcmpSpec) -> Out {
    let mut out = vec![
        ("host", Out::text(&spec.host)),
        ("packets", Out::raw(&spec.packets)),
        ("payload_size", Out::raw(&spec.payload_size)),
    ];
    out.extend(spec.ttl.map(|ttl| ("ttl", Out::raw(&ttl))));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn tls(spec: &TlsSpec) -> Out {
    let mut out = vec![
        ("host", Out::text(&spec.host)),
        ("port", Out::raw(&spec.port)),
    ];
    out.extend(
        spec.starttls
            .map(|protocol| ("starttls", Out::text(protocol.as_str()))),
    );
    out.extend(tls_options(&spec.tls));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn domain(spec: &DomainSpec) -> Out {
    let mut out = vec![("name", Out::text(&spec.name))];
    let server = spec.server.as_ref().map(|url| ("server", url));
    let urls = server
        .into_iter()
        .chain(spec.proxy.as_ref().map(|url| ("proxy", url)));
    out.extend(urls.map(|(key, url)| (key, Out::text(url.as_str()))));
    out.extend(network(&spec.network));
    Out::map(out)
}

fn exec(spec: &ExecSpec) -> Out {
    let environment = spec
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), Out::text(value)));
    Out::map([
        ("command", Out::text(&spec.command)),
        ("arguments", Out::texts(&spec.arguments)),
        ("environment", Out::Map(environment.collect())),
        ("warn_only", Out::raw(&spec.warn_only)),
    ])
}

fn heartbeat(spec: &HeartbeatSpec) -> Out {
    Out::map([("grace", Out::text(format_duration(spec.grace)))])
}

fn network(options: &NetworkOptions) -> Vec<(&'static str, Out)> {
    let mut out = vec![("ip", name_of(&IP_PREFERENCES, &options.ip))];
    out.extend(
        options
            .resolver
            .map(|resolver| ("resolver", Out::text(resolver.to_string()))),
    );
    out
}

fn tls_options(options: &TlsOptions) -> Vec<(&'static str, Out)> {
    let mut out = vec![("skip_verify", Out::raw(&options.skip_verify))];
    out.extend(
        options
            .server_name
            .as_ref()
            .map(|name| ("server_name", Out::text(name))),
    );
    out.extend(options.ca.as_ref().map(|ca| ("ca", Out::text(ca))));
    if let Some(client) = &options.client_certificate {
        out.push(("client_certificate", Out::text(&client.certificate)));
        out.push(("client_key", Out::text(&client.key)));
    }
    out
}

fn name_of<T: PartialEq>(options: &[(&'static str, T)], value: &T) -> Out {
    let found = options.iter().find(|(_, option)| option == value);
    Out::text(found.map_or("", |(name, _)| *name))
}
