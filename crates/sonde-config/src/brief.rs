//! The configuration written out for people to go on with: secrets included, and nothing that goes without saying.

use std::collections::BTreeMap;

use sonde_core::{
    AlertRule, DnsClass, DnsSpec, DnsTransport, DomainSpec, ExecSpec, HeartbeatSpec, HttpSpec,
    Kind, Monitor, NetworkOptions, QueueSettings, Region, Spec, TcpSpec, TlsOptions, TlsSpec,
};
use sonde_notify::ChannelConfig;

use crate::Config;
use crate::emit::Out;
use crate::kind;
use crate::render;
use crate::shared::DEFAULT_TIMEOUT;

/// What says where the target is, and so is written whatever it says.
const TARGET: [&str; 4] = ["url", "host", "name", "command"];

/// A `sonde.yaml` that means the same where `settings` and `region` are what stands in for what is not said. Intervals
/// are always said.
pub(crate) fn brief(config: &Config, settings: &QueueSettings, region: Option<&Region>) -> String {
    let monitors = config.monitors.iter().map(|monitor| {
        let standard = standard(monitor, settings, region);
        (monitor.id.to_string(), entry(monitor, &standard))
    });
    let mut sections = vec![("monitors", Out::Map(monitors.collect()))];
    sections.extend(render::beside(config, ChannelConfig::clone));
    Out::map(sections).write()
}

/// What a monitor is of which only the target and the interval are said.
fn standard(monitor: &Monitor, settings: &QueueSettings, region: Option<&Region>) -> Monitor {
    let is_heartbeat = monitor.spec.heartbeat().is_some();
    Monitor {
        workspace: monitor.workspace.clone(),
        id: monitor.id.clone(),
        name: monitor.id.to_string(),
        spec: standard_spec(&monitor.spec),
        interval: monitor.interval,
        timeout: DEFAULT_TIMEOUT.min(monitor.interval),
        retry: settings.retry,
        regions: if is_heartbeat {
            vec![Region::push()]
        } else {
            region.into_iter().cloned().collect()
        },
        expect: Vec::new(),
        degraded: Vec::new(),
        alert: if is_heartbeat || monitor.spec.kind() == Kind::Domain {
            AlertRule::at_once()
        } else {
            AlertRule::default()
        },
        depends_on: Vec::new(),
        tags: Vec::new(),
        paused: false,
    }
}

fn standard_spec(spec: &Spec) -> Spec {
    let network = NetworkOptions::default();
    match spec {
        Spec::Http(spec) => Spec::Http(Box::new(HttpSpec::get(spec.url.clone()))),
        Spec::Tcp(spec) => Spec::Tcp(Box::new(TcpSpec {
            host: spec.host.clone(),
            // No port goes without saying.
            port: 0,
            tls: None,
            dialogue: Vec::new(),
            network,
        })),
        Spec::Dns(spec) => Spec::Dns(Box::new(DnsSpec {
            name: spec.name.clone(),
            record_type: "A".to_owned(),
            class: DnsClass::In,
            server: None,
            transport: DnsTransport::Udp,
            recursion: true,
            tls: TlsOptions::default(),
            network,
        })),
        Spec::Icmp(spec) => Spec::Icmp(kind::ping(spec.host.clone(), network)),
        Spec::Tls(spec) => Spec::Tls(Box::new(TlsSpec {
            host: spec.host.clone(),
            port: kind::TLS_PORT,
            tls: TlsOptions::default(),
            starttls: None,
            network,
        })),
        Spec::Domain(spec) => Spec::Domain(Box::new(DomainSpec::of(spec.name.clone()))),
        Spec::Exec(spec) => Spec::Exec(ExecSpec {
            command: spec.command.clone(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            warn_only: false,
        }),
        Spec::Heartbeat(_) => Spec::Heartbeat(HeartbeatSpec {
            grace: kind::STANDARD_GRACE,
        }),
    }
}

fn entry(monitor: &Monitor, standard: &Monitor) -> Out {
    let kind = monitor.spec.kind().as_str();
    let written = |monitor| entries(render::monitor(monitor));
    let kept = differing(written(monitor), &written(standard), &[kind, "interval"]);
    let kept = kept.into_iter().map(|(key, value)| {
        let value = if key == kind {
            target(&monitor.spec, &standard.spec)
        } else {
            value
        };
        (key, value)
    });
    Out::Map(kept.collect())
}

/// The short form where nothing more is to be said.
fn target(spec: &Spec, standard: &Spec) -> Out {
    let written = |spec| entries(render::spec(spec));
    let mut kept = differing(written(spec), &written(standard), &TARGET);
    match (spec, kept.len()) {
        (Spec::Tcp(_), 2) => Out::text(spec.target()),
        (Spec::Http(_) | Spec::Dns(_) | Spec::Icmp(_) | Spec::Tls(_) | Spec::Domain(_), 1) => {
            kept.swap_remove(0).1
        }
        _ => Out::Map(kept),
    }
}

/// The entries that are not the same in `standard`, and those of the keys in `always`.
fn differing(
    entries: Vec<(String, Out)>,
    standard: &[(String, Out)],
    always: &[&str],
) -> Vec<(String, Out)> {
    let differing = entries.into_iter().filter_map(|(key, value)| {
        let same = standard.iter().find(|(name, _)| *name == key);
        let value = match (value, same) {
            (value, _) if always.contains(&key.as_str()) => value,
            (value, Some((_, same))) if value == *same => return None,
            (Out::Map(inner), Some((_, Out::Map(same)))) => Out::Map(differing(inner, same, &[])),
            (value, _) => value,
        };
        Some((key, value))
    });
    differing.collect()
}

fn entries(out: Out) -> Vec<(String, Out)> {
    match out {
        Out::Map(entries) => entries,
        _ => Vec::new(),
    }
}
