//! `blackbox.yml` of Prometheus' `blackbox_exporter`: a monitor for each target, probed as its module says.
//!
//! Keys and defaults are those of its CONFIGURATION.md. It makes one attempt, and prefers IPv6.

mod dns;
mod http;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};

use sonde_core::{
    Assertion, ClientCertificate, IcmpSpec, IpPreference, NetworkOptions, Spec, TlsOptions,
};

use super::Draft;
use super::lenient::{self, NO_EQUIVALENT, Timed};
use super::targets::Target;
use crate::decode::Item;
use crate::fields::Fields;
use crate::kind::icmp::MAX_PAYLOAD;
use crate::names::unique_id;
use crate::problem::nearest;
use crate::{address, kind};

/// What is probed, and what has to hold.
struct Probe {
    spec: Spec,
    expect: Vec<Assertion>,
}

pub(super) fn read(root: &Item<'_>, targets: &[Target<'_>]) -> Vec<Draft> {
    let modules = root.fields("blackbox.yml", |fields| fields.take("modules"));
    let modules = modules.flatten().and_then(|item| item.entries());
    let modules: BTreeMap<_, _> = modules.unwrap_or_default().into_iter().collect();
    let mut ids = BTreeSet::new();
    let mut used = BTreeSet::new();
    let mut drafts = Vec::new();
    for target in targets {
        let module = find(&modules, target);
        used.extend(module.as_ref().map(|(name, _)| *name));
        let draft = module.and_then(|(name, module)| {
            let (probe, timeout) = probe(module, target)?;
            let name = format!("{} ({name})", target.address);
            let id = unique_id(&name, "target", &mut ids)?;
            let mut monitor = lenient::monitor(root.context, id, &name, probe.spec);
            lenient::set_times(&mut monitor, &target.interval, &timeout);
            monitor.expect = probe.expect;
            monitor.tags = lenient::tags(target.tags.clone());
            Some(Draft::new(&target.item, monitor))
        });
        drafts.extend(lenient::kept(&target.item, draft));
    }
    for (name, module) in &modules {
        if !used.contains(name) {
            module.warning("no target uses it, so nothing came of it");
        }
    }
    drafts
}

/// The target's module by its name.
fn find<'m, 'a>(
    modules: &'m BTreeMap<&'a str, Item<'a>>,
    target: &Target<'_>,
) -> Option<(&'a str, &'m Item<'a>)> {
    let Some(wanted) = target.module else {
        target
            .item
            .problem("nothing says which module probes it: name one (--module)");
        return None;
    };
    let found = modules
        .get_key_value(wanted)
        .map(|(name, item)| (*name, item));
    if found.is_none() {
        let near = nearest(wanted, modules.keys().copied());
        target
            .item
            .problem_suggesting(format!("there is no module `{wanted}`"), near);
    }
    found
}

/// What a module makes of a target, with the timeout of either.
fn probe<'a>(item: &Item<'a>, target: &Target<'_>) -> Option<(Probe, Timed<'a>)> {
    item.fields("a module", |fields| {
        let prober = fields.take("prober");
        let timeout = fields.take("timeout");
        let sections = ["http", "tcp", "dns", "icmp", "grpc"].map(|name| (name, fields.take(name)));
        let Some(prober) = prober else {
            fields.item.problem("`prober` is missing");
            return None;
        };
        let name = prober.scalar()?;
        let section = sections.into_iter().find(|(section, _)| *section == name);
        let mut section = open(item, section.and_then(|(_, section)| section))?;
        let probe = match name {
            "http" => http::read(&mut section, target),
            "tcp" => tcp::read(&mut section, target),
            "dns" => dns::read(&mut section, target),
            "icmp" => icmp(&mut section, target),
            other => {
                prober.warning(format!("a probe by `{other}` {NO_EQUIVALENT}"));
                return None;
            }
        };
        section.finish();
        let timeout = Timed::new(timeout, lenient::duration, target.timeout.value());
        Some((probe?, timeout))
    })
    .flatten()
}

/// The part of a module that is about its prober. Where it is missing everything is at its default.
fn open<'a>(module: &Item<'a>, section: Option<Item<'a>>) -> Option<Fields<'a>> {
    let entries = section.as_ref().map_or(Some(Vec::new()), Item::entries)?;
    let item = section.unwrap_or_else(|| module.clone());
    Some(Fields::new(item, "a probe", entries))
}

fn icmp(fields: &mut Fields<'_>, target: &Target<'_>) -> Option<Probe> {
    let network = network(fields);
    lenient::leave_out(fields, &["source_ip_address", "dont_fragment"]);
    let size = fields
        .take("payload_size")
        .and_then(|item| item.integer(0, MAX_PAYLOAD));
    let ttl = fields.take("ttl").and_then(|item| item.integer(1, 255));
    let host = target.item.parse(|_| address::host(target.address))?;
    let standard = kind::ping(host, network);
    let spec = Spec::Icmp(IcmpSpec {
        packets: 1,
        payload_size: size.unwrap_or(standard.payload_size),
        ttl,
        ..standard
    });
    Some(Probe {
        spec,
        expect: Vec::new(),
    })
}

/// `preferred_ip_protocol`, which is IPv6, and whether the other one will do, which it will.
fn network(fields: &mut Fields<'_>) -> NetworkOptions {
    let protocol = fields.take("preferred_ip_protocol");
    let prefers_v4 = lenient::text(protocol) == Some("ip4");
    let fallback = lenient::flag(fields.take("ip_protocol_fallback")).unwrap_or(true);
    let ip = match (prefers_v4, fallback) {
        (true, true) => IpPreference::PreferV4,
        (true, false) => IpPreference::V4,
        (false, true) => IpPreference::PreferV6,
        (false, false) => IpPreference::V6,
    };
    NetworkOptions { ip, resolver: None }
}

/// `tls_config`; the names of files stand where their content may stand itself.
fn tls(fields: &mut Fields<'_>) -> TlsOptions {
    let Some(item) = fields.take("tls_config") else {
        return TlsOptions::default();
    };
    let options = item.fields("tls_config", |fields| {
        lenient::leave_out(fields, &["min_version", "max_version"]);
        let mut either = |file, inline| {
            let (file, inline) = (lenient::text(fields.take(file)), fields.take(inline));
            lenient::text(inline).or(file).map(str::to_owned)
        };
        let ca = either("ca_file", "ca");
        let certificate = either("cert_file", "cert").zip(either("key_file", "key"));
        TlsOptions {
            skip_verify: lenient::flag(fields.take("insecure_skip_verify")).unwrap_or(false),
            server_name: lenient::text(fields.take("server_name")).map(str::to_owned),
            ca,
            client_certificate: certificate
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
        }
    });
    options.unwrap_or_default()
}
